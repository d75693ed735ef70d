"""A domain's settings: what is kept, what is left out, which rows, and when. Each is shown with its effect before it is saved.

Customers read the same page without forms: what is kept and what is left out of their site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smartbackup_panel.core.errors import NotAllowed
from smartbackup_panel.core.model import Strategy
from smartbackup_panel.services.exclusion_preview import ExclusionPreview
from smartbackup_panel.services.left_out import RowsPreview
from smartbackup_panel.services.pages import DomainPage
from smartbackup_panel.services.policies import Keeping
from smartbackup_panel.services.schedule_choice import ScheduleTold
from smartbackup_panel.web import choices
from smartbackup_panel.web.choices import Typed
from smartbackup_panel.web.context import words
from smartbackup_panel.web.mount import actor, services, show


@dataclass(frozen=True, slots=True)
class Shown:
    """What was asked to be shown before it is saved: the fields of one form, and what they would mean."""

    exclusions: tuple[Typed, ExclusionPreview | None] | None = None
    rows: tuple[Typed, RowsPreview] | None = None
    schedule: tuple[Typed, ScheduleTold] | None = None


def settings(domain_id: str) -> Response:
    """Show the settings; numbers of rules in the address are shown with their effect, and nothing is changed."""
    page = services().queries.domain_page(actor(), domain_id)
    return _show(page) if actor().is_admin else _show_to_customer(page)


def keep(domain_id: str) -> ResponseReturnValue:
    """Save the rules of what is kept, or let the settings decide again.

    What would go must be what the pressed button said, else its effect is shown anew and nothing is changed.
    """
    page = _page_for_admin(domain_id)
    if request.form.get("action") == "settings":
        services().policies.set_retention(actor(), domain_id, None)
        return _saved(domain_id, "keep")
    present = services().policies.keeping(actor(), domain_id)
    typed = choices.rules_typed(request.form, present.rules)
    if typed.wrong:
        return _refused(page)
    own = choices.own_rules(typed, present.settings)
    going = sum(not row.stays for row in services().policies.keeping(actor(), domain_id, own).verdicts)
    if request.form.get("going") != str(going):
        return _refused(page)
    services().policies.set_retention(actor(), domain_id, own, whole=True)
    return _saved(domain_id, "keep")


def leave_out(domain_id: str) -> ResponseReturnValue:
    """Show what patterns would leave out, save them, or let the settings decide again, as the pressed button says."""
    page, action = _page_for_admin(domain_id), request.form.get("action")
    if action == "settings":
        services().policies.set_exclusions(actor(), domain_id, None)
        return _saved(domain_id, "left-out")
    typed, preview = _look_at_exclusions(domain_id, choices.exclusions_typed(request.form))
    if action == "save" and not typed.wrong:
        general = services().policies.exclusions(actor(), domain_id).settings
        services().policies.set_exclusions(actor(), domain_id, choices.own_exclusions(typed, general), whole=True)
        return _saved(domain_id, "left-out")
    return _show(page, Shown(exclusions=(typed, preview)), 400 if typed.wrong else 200)


def leave_rows_out(domain_id: str) -> ResponseReturnValue:
    """The same for rows of databases."""
    page, action = _page_for_admin(domain_id), request.form.get("action")
    if action == "settings":
        services().left_out.choose_as_settings(actor(), domain_id)
        return _saved(domain_id, "rows")
    how_much, tables = request.form.get("how_much", ""), choices.lines_of(request.form.get("tables", ""))
    general = services().left_out.of(actor(), domain_id).settings
    chosen = None if how_much == general.how_much else how_much
    preview = services().left_out.look(actor(), domain_id, chosen, tables)
    wrong = {"tables": choices.numbered(preview.wrong)} if preview.wrong else {}
    typed = Typed({"how_much": how_much, "tables": "\n".join(tables)}, wrong, is_asked=True)
    if action == "save" and not wrong:
        services().left_out.choose(actor(), domain_id, chosen, tables)
        return _saved(domain_id, "rows")
    return _show(page, Shown(rows=(typed, preview)), 400 if wrong else 200)


def set_schedule(domain_id: str) -> ResponseReturnValue:
    """Show what a schedule means, pin it, or give it back to the analysis, as the pressed button says."""
    page, action = _page_for_admin(domain_id), request.form.get("action")
    if action == "settings":
        services().schedule_choice.choose_by_itself(actor(), domain_id)
        return _saved(domain_id, "schedule")
    wish = choices.wish_of(request.form)
    told = services().schedule_choice.look(actor(), domain_id, wish)
    if action == "save" and not told.wrong:
        services().schedule_choice.choose(actor(), domain_id, wish)
        return _saved(domain_id, "schedule")
    values = {name: request.form.get(name, "") for name in ("expressions", "timezone", "strategy")}
    typed = Typed(values, choices.by_field(told.wrong), is_asked=True)
    return _show(page, Shown(schedule=(typed, told)), 400 if typed.wrong else 200)


def _page_for_admin(domain_id: str) -> DomainPage:
    page = services().queries.domain_page(actor(), domain_id)
    if not actor().is_admin:
        raise NotAllowed("only an administrator changes the settings of a site")
    return page


def _saved(domain_id: str, section: str) -> ResponseReturnValue:
    return redirect(url_for("smartbackup.settings", domain_id=domain_id, saved=section, _anchor=section), 303)


def _refused(page: DomainPage) -> Response:
    return _show(page, status=400)


def _show(page: DomainPage, shown: Shown | None = None, status: int = 200) -> Response:
    """Return the page; what was not asked to be shown is as it holds now."""
    shown, domain_id = shown or Shown(), page.domain.id
    present = services().policies.keeping(actor(), domain_id)
    typed, keeping = _look_at_rules(domain_id, present)
    leaving, told = services().policies.exclusions(actor(), domain_id), services().left_out.of(actor(), domain_id)
    plan = services().schedule_choice.of(actor(), domain_id)
    rows_typed = Typed({"how_much": told.choice.how_much, "tables": "\n".join(told.own_tables)})
    response = show(
        "smartbackup/settings.html",
        "smartbackup/parts/settings_keep_effect.html",
        page=page,
        domain=page.domain,
        choices=choices,
        strategies=tuple(Strategy),
        saved=request.args.get("saved", ""),
        keep=typed,
        present=present,
        keeping=keeping,
        is_refused=status != 200 and request.endpoint == "smartbackup.keep",
        leaving=leaving,
        left_out=shown.exclusions or (choices.exclusions_present(leaving.holds, leaving.own), None),
        told=told,
        rows=shown.rows or (rows_typed, None),
        plan=plan,
        schedule=shown.schedule or (_schedule_present(plan), None),
        newest=next((point for point in page.points if point.left_out is not None), None),
        sb=words(page.schedule.timezone if page.schedule else None),
    )
    response.status_code = status
    return response


def _look_at_rules(domain_id: str, present: Keeping) -> tuple[Typed, Keeping]:
    """Return the numbers in the address or the form, and what they would do; of numbers that cannot be used, what holds now does."""
    is_form = request.endpoint == "smartbackup.keep"
    typed = choices.rules_typed(request.form if is_form else request.args, present.rules)
    if not typed.is_asked or typed.wrong:
        return typed, present
    keeping = services().policies.keeping(actor(), domain_id, choices.own_rules(typed, present.settings))
    return replace(typed, is_asked=keeping.rules != present.rules), keeping


def _look_at_exclusions(domain_id: str, typed: Typed) -> tuple[Typed, ExclusionPreview | None]:
    if typed.wrong:
        return typed, None
    general = services().policies.exclusions(actor(), domain_id).settings
    preview = services().exclusion_previews.look(actor(), domain_id, choices.own_exclusions(typed, general))
    if preview.wrong:
        return replace(typed, wrong={"patterns": choices.numbered(preview.wrong)}), preview
    return typed, preview


def _schedule_present(plan: ScheduleTold) -> Typed:
    made = plan.schedule
    if made is None:
        return Typed({"expressions": "", "timezone": "", "strategy": ""})
    lines = [f"{line.cron}={line.kind}" if line.kind else line.cron for line in made.lines]
    return Typed({"expressions": "\n".join(lines), "timezone": made.timezone, "strategy": made.strategy})


def _show_to_customer(page: DomainPage) -> Response:
    return show(
        "smartbackup/kept.html",
        page=page,
        domain=page.domain,
        keeping=services().policies.keeping(actor(), page.domain.id),
        leaving=services().policies.exclusions(actor(), page.domain.id),
        newest=next((point for point in page.points if point.left_out is not None), None),
        sb=words(page.schedule.timezone if page.schedule else None),
    )

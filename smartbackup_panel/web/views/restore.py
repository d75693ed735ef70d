"""A restore in three steps: choose the parts, see the plan, confirm its effect."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from smartbackup_panel.core.errors import UnknownJob, WrongUsage
from smartbackup_panel.core.model import JobKind, Point
from smartbackup_panel.web.context import words
from smartbackup_panel.web.mount import actor, mount, services, show
from smartbackup_panel.web.plan import plan_from
from smartbackup_panel.web.wording import refusal_of


def choose(domain_id: str, point_id: str) -> ResponseReturnValue:
    """Show what can be put back from a point, and how."""
    page = services().queries.domain_page(actor(), domain_id)
    point = services().queries.point(actor(), domain_id, point_id)
    return show(
        "smartbackup/choose.html",
        page=page,
        point=point,
        sb=words(page.schedule.timezone if page.schedule else None),
    )


def make_plan(domain_id: str, point_id: str) -> ResponseReturnValue:
    """Ask the worker for the plan; nothing of the site changes. Raises WrongUsage where no part was chosen."""
    point = services().queries.point(actor(), domain_id, point_id)
    refusal = refusal_of(point)
    if refusal is not None:
        raise WrongUsage(refusal, hint="Choose another restore point; your site was not changed.")
    parts = request.form.getlist("part")
    tables = chosen_tables(point, request.form.getlist("table"))
    files, databases = "files" in parts, "databases" in parts or bool(tables)
    if not (files or databases):
        raise WrongUsage("Neither files nor databases were chosen, so there is nothing to put back.")
    exact = request.form.get("mode") == "exact"
    into = request.form.get("into", "").strip() or None
    job = services().requests.plan(
        actor(), domain_id, point_id, files=files, databases=databases, exact=exact, tables=tables, into=into
    )
    return redirect(url_for("smartbackup.plan", job_id=job.id), 303)


def chosen_tables(point: Point, ticked: list[str]) -> dict[str, list[str]]:
    """Return the ticked tables by database; a box says the number of its database in the point, a colon, and the table."""
    found: dict[str, list[str]] = {}
    for box in ticked:
        number, _, table = box.partition(":")
        if not (len(number) < 5 and number.isascii() and number.isdecimal()) or not int(number) < len(point.databases):
            raise WrongUsage("A table was ticked that this restore point does not have.")
        found.setdefault(point.databases[int(number)].database, []).append(table)
    return found


def plan(job_id: str) -> ResponseReturnValue:
    """Show a plan, or how far its computation is. Raises UnknownJob for a job that is no plan."""
    page = services().queries.job_page(actor(), job_id)
    if page.job.kind is not JobKind.PLAN or page.domain is None:
        raise UnknownJob("no such plan")
    return show(
        "smartbackup/plan.html",
        "smartbackup/parts/plan_live.html",
        refresh_seconds=0 if page.job.state.has_ended else 1,
        page=page,
        job=page.job,
        domain=page.domain,
        plan=plan_from(page.job.result) if page.job.result else None,
        undo_days=mount().settings.undo_days,
    )


def confirm(job_id: str) -> ResponseReturnValue:
    """Start the restore of a plan. The plan's own id is the key: one plan is carried out once, however often it is sent."""
    typed_name = request.form.get("typed_name")
    typed, keep_newer = typed_name.strip() if typed_name else None, request.form.get("keep_newer") == "1"
    job = services().requests.restore(actor(), job_id, typed, f"plan-{job_id}", keep_newer)
    return redirect(url_for("smartbackup.job", job_id=job.id), 303)

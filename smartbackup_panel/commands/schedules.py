"""`smartbackup schedule show|set|update`: when a domain is backed up, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Domain
    from smartbackup_panel.services.schedule_choice import ScheduleTold


@click.group()
def schedule() -> None:
    """When domains are backed up."""


@schedule.command("show")
@click.argument("domain")
@command
def show(session: Session, domain: str) -> None:
    """Show a domain's schedule, its reason and the next five runs."""
    found = session.domain(domain)
    _tell(session, found)


@schedule.command("set")
@click.argument("domain")
@click.argument("expressions", nargs=-1, metavar="CRON[=TYPE]...")
@click.option("--timezone", metavar="ZONE", help="The domain's time zone, for example Europe/Berlin.")
@click.option(
    "--strategy",
    type=click.Choice(["full", "incremental", "mixed", "differential"]),
    help="What runs without a type make.",
)
@click.option("--dry-run", is_flag=True, help="Only say what they mean and when the next five runs would be.")
@command
def set_lines(
    session: Session,
    domain: str,
    expressions: tuple[str, ...],
    timezone: str | None,
    strategy: str | None,
    dry_run: bool,
) -> None:
    """Pin a domain's schedule to cron expressions, for example '30 2 * * *' '30 2 * * 0=full'."""
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.schedule_choice import Wish, refuse_wrong

    found, wish = session.domain(domain), Wish(expressions, timezone, strategy)
    if dry_run:
        refuse_wrong(wish)
        _tell(session, found, session.services.schedule_choice.look(COMMAND_LINE, found.id, wish))
        return
    session.services.schedule_choice.choose(COMMAND_LINE, found.id, wish)
    session.keep_choices()
    _tell(session, found)


@schedule.command("update")
@click.argument("domain")
@command
def update(session: Session, domain: str) -> None:
    """Analyse a domain and decide its schedule anew, also where it was pinned."""
    from smartbackup_panel.core.model import COMMAND_LINE

    found = session.domain(domain)
    job = session.run(session.services.schedule_choice.choose_by_itself(COMMAND_LINE, found.id))
    if job.error_code is not None:
        session.finish_job(job)
    _tell(session, found)


def _tell(session: Session, domain: Domain, looked_at: ScheduleTold | None = None) -> None:
    from smartbackup_panel.commands.tables import moment, show_facts
    from smartbackup_panel.core.model import COMMAND_LINE

    told = looked_at or session.services.schedule_choice.of(COMMAND_LINE, domain.id)
    found = told.schedule
    words = "; ".join(told.in_words) or "none yet"
    document: dict[str, Any] = {
        "domain": domain.name,
        "schedule": [{"cron": line.cron, "type": line.kind or "auto"} for line in found.lines] if found else [],
        "strategy": found.strategy if found else None,
        "reason": found.reason if found else "decided after the first analysis",
        "timezone": found.timezone if found else session.settings.timezone,
        "pinned": found.pinned if found else False,
        "in_words": words,
        "warning": told.warning,
        "changes": [{"at": at.isoformat(), "text": text} for at, text in told.changes],
        "next_runs": [at.isoformat() for at in told.next_runs],
    }
    facts = [
        ("schedule", words),
        ("why", document["reason"]),
        *([("warning", told.warning)] if told.warning else []),
        *((f"changed {at:%Y-%m-%d}", text) for at, text in told.changes),
        *(("next", moment(at)) for at in told.next_runs),
    ]
    session.answer(document, lambda: show_facts(facts))

"""`smartbackup schedule show|set|update`: when a domain is backed up, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Domain, Schedule


@click.group()
def schedule() -> None:
    """When domains are backed up."""


@schedule.command("show")
@click.argument("domain")
@command
def show(session: Session, domain: str) -> None:
    """Show a domain's schedule, its reason and the next five runs."""
    found = session.domain(domain)
    from smartbackup_panel.core.model import COMMAND_LINE

    _tell(session, found, session.services.queries.schedule(COMMAND_LINE, found.id))


@schedule.command("set")
@click.argument("domain")
@click.argument("expressions", nargs=-1, metavar="CRON[=TYPE]...")
@command
def set_lines(session: Session, domain: str, expressions: tuple[str, ...]) -> None:
    """Pin a domain's schedule to cron expressions, for example '30 2 * * *' '30 2 * * 0=full'."""
    from smartbackup_panel.services.scheduling import set_schedule

    found, installation = session.domain(domain), session.services.installation
    with installation.state.write() as tx:
        made = set_schedule(installation, tx, found, list(expressions))
    _tell(session, found, made)


@schedule.command("update")
@click.argument("domain")
@command
def update(session: Session, domain: str) -> None:
    """Analyse a domain and decide its schedule anew, also where it was pinned."""
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.scheduling import unpin

    found, services = session.domain(domain), session.services
    with services.installation.state.write() as tx:
        unpin(services.installation, tx, found)
    job = session.run(services.requests.analyse(COMMAND_LINE, found.id))
    if job.error_code is not None:
        session.finish_job(job)
    _tell(session, found, services.queries.schedule(COMMAND_LINE, found.id))


def _tell(session: Session, domain: Domain, found: Schedule | None) -> None:
    from smartbackup_panel.commands.tables import moment, show_facts
    from smartbackup_panel.core.schedule import in_words
    from smartbackup_panel.services.scheduling import next_five

    runs = next_five(found, session.services.installation.clock.now()) if found else ()
    document: dict[str, Any] = {
        "domain": domain.name,
        "schedule": [{"cron": line.cron, "type": line.kind or "auto"} for line in found.lines] if found else [],
        "strategy": found.strategy if found else None,
        "reason": found.reason if found else "decided after the first analysis",
        "timezone": found.timezone if found else session.settings.timezone,
        "pinned": found.pinned if found else False,
        "next_runs": [at.isoformat() for at in runs],
    }
    facts = [
        ("schedule", "; ".join(in_words(line) for line in found.lines) if found else "none yet"),
        ("why", document["reason"]),
        *(("next", moment(at)) for at in runs),
    ]
    session.answer(document, lambda: show_facts(facts))

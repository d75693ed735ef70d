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
@click.option("--timezone", metavar="ZONE", help="The domain's time zone, for example Europe/Berlin.")
@command
def set_lines(session: Session, domain: str, expressions: tuple[str, ...], timezone: str | None) -> None:
    """Pin a domain's schedule to cron expressions, for example '30 2 * * *' '30 2 * * 0=full'."""
    from smartbackup_panel.services.scheduling import set_schedule

    found, installation = session.domain(domain), session.services.installation
    with installation.state.write() as tx:
        made = set_schedule(installation, tx, found, list(expressions), timezone)
    session.keep_choices()
    _tell(session, found, made)


@schedule.command("update")
@click.argument("domain")
@command
def update(session: Session, domain: str) -> None:
    """Analyse a domain and decide its schedule anew, also where it was pinned."""
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.scheduling import unpin

    found, services = session.domain(domain), session.services
    unpin(services.installation, found)
    job = session.run(services.requests.analyse(COMMAND_LINE, found.id))
    if job.error_code is not None:
        session.finish_job(job)
    _tell(session, found, services.queries.schedule(COMMAND_LINE, found.id))


def _tell(session: Session, domain: Domain, found: Schedule | None) -> None:
    from smartbackup_panel.commands.tables import moment, show_facts
    from smartbackup_panel.core.cron_words import in_words, warn_of
    from smartbackup_panel.services.scheduling import last_changes, next_five

    now = session.services.installation.clock.now()
    runs = next_five(found, now) if found else ()
    words = "; ".join(in_words(line) for line in found.lines) if found else "none yet"
    warning = warn_of(found, now) if found else None
    document: dict[str, Any] = {
        "domain": domain.name,
        "schedule": [{"cron": line.cron, "type": line.kind or "auto"} for line in found.lines] if found else [],
        "strategy": found.strategy if found else None,
        "reason": found.reason if found else "decided after the first analysis",
        "timezone": found.timezone if found else session.settings.timezone,
        "pinned": found.pinned if found else False,
        "in_words": words,
        "warning": warning,
        "changes": [
            {"at": at.isoformat(), "text": text} for at, text in last_changes(session.services.installation, domain.id)
        ],
        "next_runs": [at.isoformat() for at in runs],
    }
    facts = [
        ("schedule", words),
        ("why", document["reason"]),
        *([("warning", warning)] if warning else []),
        *((f"changed {at:%Y-%m-%d}", text) for at, text in last_changes(session.services.installation, domain.id)),
        *(("next", moment(at)) for at in runs),
    ]
    session.answer(document, lambda: show_facts(facts))

"""A backup that failed by itself is made up for soon, not only at the domain's next turn, which may be a week away."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, jobs
from smartbackup_panel.core.model import PANEL, SCHEDULER, Domain, DomainState, Job, JobKind, LogLine
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import submit
from smartbackup_panel.services.scheduling import is_blackout

WAITS = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(days=1))
"""How long after the first, second, … failure in a row; the last one goes on until a backup ends well."""
LOOK_BACK = timedelta(days=8)


def retry_failed(installation: Installation) -> list[str]:
    """Ask again for backups that were planned, or the first of a new domain, and failed; return the new jobs' ids.

    What a person asked for is that person's to repeat. In a blackout nothing is made.
    """
    now = installation.clock.now()
    if is_blackout(installation, now):
        return []
    made: list[str] = []
    with installation.state.write() as tx:
        streaks = jobs.list_failing_backups(tx, now - LOOK_BACK)
        for domain in domains.list_domains(tx, PANEL) if streaks else ():
            streak = streaks.get(domain.id)
            if streak is not None and _is_due(domain, streak, now):
                made += _ask(installation, tx, streak)
    return made


def _is_due(domain: Domain, streak: list[Job], now: datetime) -> bool:
    last = streak[0]
    wait = WAITS[min(len(streak), len(WAITS)) - 1]
    by_itself = last.actor in (SCHEDULER, PANEL)
    return domain.state is DomainState.ACTIVE and by_itself and now - (last.finished_at or now) >= wait


def _ask(installation: Installation, tx: Connection, streak: list[Job]) -> list[str]:
    last = streak[0]
    assert last.domain_id is not None, "a backup is of a domain"
    key = f"backup:{last.domain_id}"
    job, is_new = submit(installation, tx, JobKind.BACKUP, last.domain_id, last.actor, last.params, key)
    if not is_new:
        return []
    times = "once" if len(streak) == 1 else f"{len(streak)} times in a row"
    said = f"tried again after it failed {times}: {last.error_message or 'without a word'}"
    jobs.add_log(tx, job.id, [LogLine(installation.clock.now(), "info", said)])
    return [job.id]

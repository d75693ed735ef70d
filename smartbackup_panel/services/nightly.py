"""Once a night, in the backup window: old points of each domain go, and a share of all archives is read again."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, people, points
from smartbackup_panel.core.model import PANEL, SCHEDULER, DomainState, JobKind, Point
from smartbackup_panel.core.scrub import choose_scrub
from smartbackup_panel.services.alarms import clock_is_suspect
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import submit
from smartbackup_panel.services.policies import judge

NIGHTLY = "nightly"
AT_LEAST_EVERY = timedelta(hours=36)


def enqueue(installation: Installation) -> int:
    """Ask for tonight's jobs where they are due, and return how many there are; the same night asks once."""
    now = installation.clock.now()
    with installation.state.write() as tx:
        if clock_is_suspect(tx, now) or not _is_due(installation, tx, now):
            return 0
        people.set_note(tx, NIGHTLY, now.isoformat(), now)
    with installation.state.read() as tx:
        every = [domain for domain in domains.list_domains(tx, PANEL) if domain.state is not DomainState.DELETED]
        shrinking = [domain for domain in every if not all(row.stays for row in judge(installation, tx, domain))]
        kept = [point for domain in every for point in points.list_points(tx, domain.id)]
    reading = _by_domain(choose_scrub(kept, now, installation.settings.scrub_days))
    with installation.state.write() as tx:
        asked = [_ask(installation, tx, JobKind.RETENTION, domain.id, {}) for domain in shrinking]
        asked += [
            _ask(installation, tx, JobKind.SCRUB, domain_id, {"points": ids}) for domain_id, ids in reading.items()
        ]
    return sum(asked)


def _is_due(installation: Installation, tx: Connection, now: datetime) -> bool:
    """Return whether this is a night without its jobs yet, or none came for a day and a half (a host that is off at night)."""
    last = people.find_note(tx, NIGHTLY)
    if last is None:
        people.set_note(tx, NIGHTLY, "not yet", now)
        return False
    local = now.astimezone(ZoneInfo(installation.settings.timezone))
    is_night = installation.settings.backup_window.holds(local.hour * 60 + local.minute)
    since = now - last[1]
    return since >= AT_LEAST_EVERY or (is_night and (last[0] == "not yet" or since >= timedelta(hours=12)))


def _by_domain(chosen: list[Point]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for point in chosen:
        found.setdefault(point.domain_id, []).append(point.id)
    return found


def _ask(installation: Installation, tx: Connection, kind: JobKind, domain_id: str, params: dict[str, object]) -> bool:
    _, is_new = submit(installation, tx, kind, domain_id, SCHEDULER, params, f"{kind}:{domain_id}")
    return is_new

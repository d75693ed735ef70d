"""What needs a person: rules over the facts of a domain and of the server, as pure functions.

An alarm's `key` names the fact, not the moment: while the fact lasts it is one alarm, told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from smartbackup_panel.core.model import Domain, DomainState, Job, Point, PointState

GRACE = timedelta(minutes=15)
LONGEST_WAIT = timedelta(hours=2)  # a busy server's planned runs wait an hour at most, then a queue
FORECAST_DAYS = 30
LAST_WARNING_DAYS = 3
CLOCK_JUMP = timedelta(minutes=5)
WORKER_SILENT_AFTER = timedelta(minutes=2)
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Alarm:
    """One fact that needs a person, since when it is so, and what to do next."""

    key: str
    kind: str
    sentence: str
    next_action: str
    since: datetime
    domain_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What the rules know of a domain. `failed_backup` and `failed_check` are its last ones, where they failed.

    `due_at` is when the next point is due, `awaited_since` when a backup that waits or runs was asked for; `damage` is how
    many points are damaged and when the last one was found to be.
    """

    domain: Domain
    last_point: Point | None
    failed_backup: Job | None
    failed_check: Job | None
    due_at: datetime | None
    awaited_since: datetime | None = None
    damage: tuple[int, datetime] | None = None


def domain_alarms(facts: DomainFacts, now: datetime) -> Iterator[Alarm]:
    """Yield the alarms of one domain."""
    domain, name = facts.domain, facts.domain.display_name
    if domain.state is DomainState.MISSING:
        action = "Put the site back from its last restore point, or tell the panel that the domain is deleted."
        yield _alarm(domain, "missing folder", f"The folder of {name} is gone.", action, now)
        return
    job, point, check = facts.failed_backup, facts.last_point, facts.failed_check
    if job is not None:
        text = f"The last backup of {name} failed: {job.error_message}"
        action, since = job.error_hint or "Open its log.", job.finished_at or now
        yield _alarm(domain, "failed backup", text, action, since, job.id)
    if point is not None and point.state is PointState.PARTIAL:
        missing = point.warnings[0] if point.warnings else f"{point.skipped_count} files could not be read."
        text = f"The last restore point of {name} is not complete: {missing}"
        yield _alarm(domain, "partial point", text, "Open the domain to see what is missing.", point.created_at)
    if check is not None:
        text = f"A restore point of {name} did not pass its verification: {check.error_message}"
        action, since = "The next point is a full one.", check.finished_at or now
        yield _alarm(domain, "failed verification", text, action, since, check.id)
    if facts.damage is not None and (point is None or point.created_at <= facts.damage[1]):
        count, found_at = facts.damage
        text = f"{count} restore point{'s' if count != 1 else ''} of {name} {'are' if count != 1 else 'is'} damaged."
        action = "They are not offered any more; the next backup writes everything again."
        yield _alarm(domain, "damaged points", text, action, found_at)
    if (late := _late_since(facts, now)) is not None:
        text = f"{name} should have a restore point since {late:%Y-%m-%d %H:%M} UTC and has none."
        yield _alarm(domain, "missing point", text, "Check that the worker runs: smartbackup check.", late)


def _late_since(facts: DomainFacts, now: datetime) -> datetime | None:
    """Return since when a point is missing, or None: 15 minutes after it was due, unless a backup was asked for just now."""
    if facts.due_at is None or (facts.awaited_since is not None and now - facts.awaited_since < LONGEST_WAIT):
        return None
    late = facts.due_at + GRACE
    return late if now >= late else None


def purge_alarms(domains: Sequence[Domain], grace_days: int, now: datetime) -> Iterator[Alarm]:
    """Yield a last warning for each deleted domain whose points are about to be removed for good."""
    for domain in domains:
        if domain.state is not DomainState.DELETED or domain.deleted_at is None:
            continue
        ends = domain.deleted_at + timedelta(days=grace_days)
        if now >= ends - timedelta(days=LAST_WARNING_DAYS):
            text = f"The restore points of {domain.display_name}, deleted {domain.deleted_at:%Y-%m-%d}, are about to be removed for good."
            action = "Copy what is still needed now; nothing has to be done otherwise."
            yield Alarm(f"purge:{domain.id}", "last warning", text, action, now, domain.id)


@dataclass(frozen=True, slots=True)
class Growth:
    """What the store took on each of the last days (bytes, oldest first) and what is free beyond the reserve."""

    added_bytes: tuple[int, ...]
    free_bytes: int
    reserve_bytes: int


def days_until_full(growth: Growth) -> int | None:
    """Return in how many days the store is full at the mean of the last days, or None when it does not grow."""
    usable = growth.free_bytes - growth.reserve_bytes
    if usable <= 0:
        return 0
    mean = sum(growth.added_bytes) / len(growth.added_bytes) if growth.added_bytes else 0
    return int(usable // mean) if mean > 0 else None


def space_alarm(growth: Growth, now: datetime) -> Alarm | None:
    """Return the alarm for a store that is full or will be within thirty days."""
    days = days_until_full(growth)
    if days is None or days > FORECAST_DAYS:
        return None
    free = f"{growth.free_bytes // MEGABYTE} MB free"
    text = (
        f"The store is full: {free}."
        if days == 0
        else f"The store is full in {days} day{'s' if days != 1 else ''}: {free}."
    )
    return Alarm("space", "space", text, "Free some space, or move the backup root to a larger filesystem.", now)


def clock_alarm(jumped_by: timedelta, at: datetime) -> Alarm:
    """Return the alarm for a clock that jumped: until it is looked at nothing is removed for its age."""
    direction = "forward" if jumped_by > timedelta() else "back"
    text = f"The server's clock jumped {direction} by {_length(abs(jumped_by))} at {at:%Y-%m-%d %H:%M} UTC."
    return Alarm("clock", "clock", text, "Check the server's time (timedatectl); nothing is removed for a day.", at)


def worker_alarm(seen_at: datetime | None, is_running: bool, now: datetime) -> Alarm | None:
    """Return the alarm for a worker that died or is stuck: a running one says every few seconds that it lives."""
    if is_running and (seen_at is None or now - seen_at < WORKER_SILENT_AFTER):
        return None
    said = f"since {seen_at:%Y-%m-%d %H:%M} UTC" if seen_at else "yet"
    what = "The worker is stuck" if is_running else "No worker runs"
    text = f"{what}: nothing was backed up by itself {said}."
    return Alarm("worker", "worker", text, "Start it: smartbackup worker (or its systemd unit).", seen_at or now)


def _alarm(domain: Domain, kind: str, sentence: str, action: str, since: datetime, job_id: str | None = None) -> Alarm:
    return Alarm(f"{kind}:{domain.id}", kind, sentence, action, since, domain.id, job_id)


def _length(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2880 else f"{minutes // 1440} days"

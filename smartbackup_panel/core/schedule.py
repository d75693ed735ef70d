"""When a domain is backed up. Source of the table: docs/design.md, "Schedule" (the original design's cron table).

Times are decided in the domain's time zone. A run's slot is its local date and time without offset, so that an hour
that the clocks repeat runs once, and an hour that they skip runs right after it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Analysis, PointKind, Schedule, ScheduleLine, Strategy

SPREAD_MINUTES = 120
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


@dataclass(frozen=True, slots=True)
class NextSlot:
    """A run to come: when (UTC), the kind of point, and its name, equal for one run however often it is computed."""

    at: datetime
    kind: PointKind | None
    slot: str


def decide_schedule(domain_name: str, analysis: Analysis, strategy: Strategy, timezone: str) -> Schedule:
    """Return the schedule for a strategy and an activity level, near 3 AM but spread over two hours by the domain's name.

    Mixed: increments each day, a full point each Sunday. High activity: every six hours. Medium: daily. Low: Sundays.
    """
    minute_of_window = _spread(domain_name)
    hour, minute = 3 + minute_of_window // 60, minute_of_window % 60
    clock = f"{hour:02d}:{minute:02d}"
    changes = f"{analysis.file_changes} files changed in the last day"
    where = "near 3 AM, spread so that domains do not start together"
    weekly_full = ScheduleLine(f"{minute} {hour} * * 0", PointKind.FULL)
    lines: tuple[ScheduleLine, ...]
    if strategy is Strategy.MIXED:
        lines = (ScheduleLine(f"{minute} {hour} * * *", PointKind.INCREMENTAL), weekly_full)
        reason = f"daily at {clock}, Sundays a full point; {changes}; {where}"
    elif analysis.activity_level == "high":
        lines = (ScheduleLine(f"{minute} {hour % 6}-23/6 * * *"),)
        reason = f"every six hours; {changes}"
    elif analysis.activity_level == "medium":
        lines = (ScheduleLine(f"{minute} {hour} * * *"),)
        reason = f"daily at {clock}; {changes}; {where}"
    else:
        lines = (ScheduleLine(f"{minute} {hour} * * 0"),)
        reason = f"Sundays at {clock}; {changes}; {where}"
    return Schedule(lines=lines, timezone=timezone, strategy=strategy, reason=reason)


def _spread(domain_name: str) -> int:
    """Return a minute from 0 to 119 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(domain_name.encode()).digest()[:4], "big") % SPREAD_MINUTES


def check_cron(expression: str) -> str:
    """Return a five-field cron expression; raises WrongUsage for anything else."""
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise WrongUsage(
            f"{expression!r} is no cron expression of five fields", hint="For example '30 3 * * *' for daily at 03:30."
        )
    return " ".join(expression.split())


def next_slot(schedule: Schedule, after: datetime) -> NextSlot | None:
    """Return the first run after the moment `after` (aware), or None without lines."""
    return next(iter(next_slots(schedule, after, 1)), None)


def next_slots(schedule: Schedule, after: datetime, count: int) -> list[NextSlot]:
    """Return the next `count` runs in order; where two lines fall on one minute the full point is made."""
    zone = ZoneInfo(schedule.timezone)
    found: dict[str, NextSlot] = {}
    for line in schedule.lines:
        # croniter walks naive local times, which name each slot once; the zone is put on afterwards.
        walk = croniter(line.cron, after.astimezone(zone).replace(tzinfo=None))
        taken = 0
        while taken < count:
            local: datetime = walk.get_next(datetime)
            at = local.replace(tzinfo=zone).astimezone(UTC)
            if at <= after:
                continue
            slot = local.isoformat(timespec="minutes")
            if slot not in found or line.kind is PointKind.FULL:
                found[slot] = NextSlot(at, line.kind, slot)
            taken += 1
    return sorted(found.values(), key=lambda run: run.at)[:count]


def in_words(line: ScheduleLine) -> str:
    """Return a cron line in plain words for the shapes this product makes, else the expression itself."""
    minute, hour, day, month, weekday = line.cron.split()
    if not (minute.isdigit() and day == "*" and month == "*"):
        return line.cron
    if hour.isdigit():
        clock = f"{int(hour):02d}:{int(minute):02d}"
        if weekday == "*":
            return f"every day at {clock}"
        if weekday.isdigit():
            return f"{WEEKDAYS[int(weekday) % 7]}s at {clock}"
    if hour.endswith("/6") and weekday == "*":
        return f"every six hours at minute {int(minute):02d}"
    return line.cron

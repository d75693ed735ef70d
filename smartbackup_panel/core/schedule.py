"""When a domain is backed up. Source of the table: docs/design.md, "Schedule" (the original design's cron table).

Times are decided in the domain's time zone. A run's slot is its local date and time without offset, so that an hour
that the clocks repeat runs once, and an hour that they skip runs right after it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter

from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Analysis, PointKind, Schedule, ScheduleLine, Strategy

SPREAD_MINUTES = 120
HOUR = 3
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class Rhythm(StrEnum):
    """How often a domain is backed up. Source: docs/design.md, "Schedule"."""

    SIX_HOURS = "every six hours"
    DAILY = "daily"
    MIXED = "daily, Sundays a full point"
    DIFFERENTIAL = "daily, on the first of the month a full point"
    WEEKLY = "Sundays"

    @property
    def interval(self) -> timedelta:
        """The time between two runs."""
        return {Rhythm.SIX_HOURS: timedelta(hours=6), Rhythm.WEEKLY: timedelta(days=7)}.get(self, timedelta(days=1))

    def starts(self, minute: int) -> tuple[int, ...]:
        """Return the minutes of the week (0 is Sunday 0:00) of runs that begin at a minute of the day."""
        if self is Rhythm.WEEKLY:
            return (minute,)
        if self is Rhythm.SIX_HOURS:
            return tuple(minute % 360 + 360 * number for number in range(28))
        return tuple(minute + 24 * 60 * day for day in range(7))


@dataclass(frozen=True, slots=True)
class Start:
    """The minute of the day at which a domain's runs begin, and why then."""

    minute: int
    because: str


@dataclass(frozen=True, slots=True)
class NextSlot:
    """A run to come: when (UTC), the kind of point, and its name, equal for one run however often it is computed."""

    at: datetime
    kind: PointKind | None
    slot: str


def choose_rhythm(level: str, strategy: Strategy, *, is_suspended: bool = False) -> Rhythm:
    """Return how often a domain of this activity level and strategy is backed up; a suspended one weekly."""
    if is_suspended:
        return Rhythm.WEEKLY
    if strategy is Strategy.MIXED:
        return Rhythm.MIXED
    if strategy is Strategy.DIFFERENTIAL:
        return Rhythm.DIFFERENTIAL
    return {"high": Rhythm.SIX_HOURS, "medium": Rhythm.DAILY}.get(level, Rhythm.WEEKLY)


def decide_schedule(
    domain_name: str,
    analysis: Analysis,
    strategy: Strategy,
    timezone: str,
    start: Start | None = None,
    *,
    is_suspended: bool = False,
) -> Schedule:
    """Return the schedule for a strategy and an activity level.

    Without a `start` runs begin near 3 AM, spread over two hours by the domain's name.
    """
    rhythm = choose_rhythm(analysis.activity_level, strategy, is_suspended=is_suspended)
    start = start or Start(HOUR * 60 + _spread(domain_name), "near 3 AM, spread so that domains do not start together")
    clock = f"{start.minute // 60:02d}:{start.minute % 60:02d}"
    said = {
        Rhythm.SIX_HOURS: "every six hours",
        Rhythm.MIXED: f"daily at {clock}, Sundays a full point",
        Rhythm.DIFFERENTIAL: f"daily at {clock}, on the first of the month a full point",
    }.get(rhythm, f"{rhythm} at {clock}")
    if is_suspended:
        said = f"suspended by the panel: {said}"
    reason = f"{said}; {analysis.file_changes} files changed in the last day; {start.because}"
    return Schedule(lines=_lines(rhythm, start.minute), timezone=timezone, strategy=strategy, reason=reason)


def _lines(rhythm: Rhythm, minute_of_day: int) -> tuple[ScheduleLine, ...]:
    hour, minute = divmod(minute_of_day, 60)
    if rhythm is Rhythm.SIX_HOURS:
        return (ScheduleLine(f"{minute} {hour % 6}-23/6 * * *"),)
    if rhythm is Rhythm.WEEKLY:
        return (ScheduleLine(f"{minute} {hour} * * 0"),)
    daily, sunday = f"{minute} {hour} * * *", f"{minute} {hour} * * 0"
    if rhythm is Rhythm.MIXED:
        return (ScheduleLine(daily, PointKind.INCREMENTAL), ScheduleLine(sunday, PointKind.FULL))
    if rhythm is Rhythm.DIFFERENTIAL:
        return (ScheduleLine(daily, PointKind.DIFFERENTIAL), ScheduleLine(f"{minute} {hour} 1 * *", PointKind.FULL))
    return (ScheduleLine(daily),)


def first_minute(schedule: Schedule) -> int | None:
    """Return the minute of the day at which a schedule of one rhythm begins (a six-hourly one before 6 AM), else None."""
    minute, hour, *_ = schedule.lines[0].cron.split() if schedule.lines else ("", "")
    hour = hour.removesuffix("-23/6")
    return int(hour) * 60 + int(minute) if hour.isdigit() and minute.isdigit() else None


def has_rhythm(schedule: Schedule, rhythm: Rhythm) -> bool:
    """Return whether a schedule's lines are of a rhythm, whatever its minute."""
    minute = first_minute(schedule)
    return minute is not None and schedule.lines == _lines(rhythm, minute)


def interval_of(schedule: Schedule, now: datetime) -> timedelta:
    """Return the longest time between two runs, by the clock on the wall: how old a point may become."""
    for rhythm in Rhythm:
        if has_rhythm(schedule, rhythm):
            return rhythm.interval
    return _longest_gap(tuple(line.cron for line in schedule.lines), now.date())


def due_at(schedule: Schedule, last_point_at: datetime | None, now: datetime) -> datetime | None:
    """Return when the next point is due: the interval after the last one, at the earliest at the schedule's first run.

    The interval is counted by the clock on the wall: the night in which an hour is doubled is an hour longer.
    """
    moments = [] if schedule.first_run_at is None else [schedule.first_run_at]
    if last_point_at is not None:
        zone = ZoneInfo(schedule.timezone)
        local = _summer_clock(last_point_at, zone) + interval_of(schedule, now)
        moments.append(local.replace(tzinfo=zone).astimezone(UTC))
    return max(moments, default=None)


def _summer_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock on the wall showed (without zone); in the hour after it was put back, had it not been.

    A run of 02:45 that ends when the clock shows 02:00 again belongs to 02:45.
    """
    offsets = (at.astimezone(zone).utcoffset() or timedelta() for at in (moment, moment - timedelta(hours=1)))
    return (moment.astimezone(UTC) + max(offsets)).replace(tzinfo=None)


@lru_cache(maxsize=1024)
def _longest_gap(crons: tuple[str, ...], day: date) -> timedelta:
    moments: set[datetime] = set()
    for cron in crons:
        walk = croniter(cron, datetime(day.year, day.month, day.day))
        moments |= {walk.get_next(datetime) for _ in range(60)}
    return max((later - earlier for earlier, later in pairwise(sorted(moments)[:60])), default=timedelta(days=7))


def _spread(domain_name: str) -> int:
    """Return a minute from 0 to 119 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(domain_name.encode()).digest()[:4], "big") % SPREAD_MINUTES


def check_cron(expression: str) -> str:
    """Return a five-field cron expression; raises WrongUsage for anything else, and for a day that no year has."""
    hint = "For example '30 3 * * *' for daily at 03:30."
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise WrongUsage(f"{expression!r} is no cron expression of five fields", hint=hint)
    try:
        croniter(expression, datetime(2024, 1, 1)).get_next(datetime)
    except CroniterBadDateError:
        raise WrongUsage(f"{expression!r} never comes", hint=hint) from None
    return " ".join(expression.split())


def check_timezone(name: str) -> str:
    """Return the name of a time zone; raises WrongUsage for what is none."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongUsage(f"{name!r} is no time zone", hint="For example Europe/Berlin or UTC.") from None


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

"""Cron expressions as a person would say them, and a warning where one is more often than anybody means."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from croniter import croniter

from smartbackup_panel.core.model import Schedule, ScheduleLine
from smartbackup_panel.core.schedule import WEEKDAYS, next_slots

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
OFTEN = timedelta(hours=1)


def in_words(line: ScheduleLine) -> str:
    """Return a checked cron line in plain words; one with a weekday of the month (5#2, L5) as it is."""
    if set(line.cron.lower()) & set("#l"):
        return f"by the cron expression {line.cron}" + (f" ({line.kind})" if line.kind else "")
    fields = [
        [int(value) for value in values if value != "*" and value != "l"] for values in croniter.expand(line.cron)[0]
    ]
    minutes, hours, days, months, weekdays = fields
    when = _times(minutes, hours)
    parts = [_days(days, weekdays, is_repeated=not when.startswith("at ")), when]
    if months:
        parts.append("in " + _listed([MONTHS[month - 1] for month in months]))
    kind = f" ({line.kind})" if line.kind else ""
    return " ".join(part for part in parts if part) + kind


def _times(minutes: list[int], hours: list[int]) -> str:
    """Return "at 03:05", "every 6 hours from 04:07", "every 5 minutes"."""
    if not minutes:
        return "every minute" + _between(hours)
    step = _step(minutes, 60)
    if len(minutes) > 1 and step:
        return f"every {step} minutes" + _between(hours)
    if len(minutes) == 1:
        if not hours:
            return f"every hour at minute {minutes[0]:02d}"
        hour_step = _step(hours, 24)
        if len(hours) > 2 and hour_step:
            return f"every {hour_step} hours from {hours[0]:02d}:{minutes[0]:02d}"
    if len(minutes) * len(hours or [0]) <= 6 and hours:
        return "at " + _listed([f"{hour:02d}:{minute:02d}" for hour in hours for minute in minutes])
    return "every hour at minutes " + _listed([f"{minute:02d}" for minute in minutes]) + _between(hours)


def _between(hours: list[int]) -> str:
    if not hours:
        return ""
    if len(hours) > 1 and hours == list(range(hours[0], hours[-1] + 1)):
        return f" from {hours[0]:02d}:00 to {hours[-1]:02d}:59"
    return " in the hours " + _listed([f"{hour:02d}" for hour in hours])


def _step(values: list[int], size: int) -> int | None:
    """Return the step of values that go round evenly, None for others."""
    steps = {later - earlier for earlier, later in zip(values, [*values[1:], values[0] + size], strict=True)}
    return steps.pop() if len(steps) == 1 else None


def _days(days: list[int], weekdays: list[int], *, is_repeated: bool) -> str:
    on_weekdays = _weekdays(sorted({day % 7 for day in weekdays}))
    on_dates = "on day " + _listed([str(day) for day in days]) + " of the month" if days else ""
    if on_dates and on_weekdays:
        return f"{on_dates} and {on_weekdays}"
    return on_dates or on_weekdays or ("" if is_repeated else "every day")


def _weekdays(days: list[int]) -> str:
    if not days or len(days) == 7:
        return ""
    week = [*days[days[0] == 0 :], *days[: days[0] == 0]]
    if len(days) > 2 and all((later - earlier) % 7 == 1 for earlier, later in pairwise(week)):
        return f"{WEEKDAYS[week[0]]} to {WEEKDAYS[week[-1]]}"
    return _listed([f"{WEEKDAYS[day]}s" for day in days])


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def warn_of(schedule: Schedule, now: datetime) -> str | None:
    """Return a warning when a schedule makes a point an hour or more often somewhere in the coming day, else None."""
    moments = [run.at for run in next_slots(schedule, now, 1500) if run.at <= now + timedelta(days=1)]
    if all(later - earlier > OFTEN for earlier, later in pairwise(moments)):
        return None
    return f"this makes {len(moments)} restore points a day; most sites are served by one every six hours"

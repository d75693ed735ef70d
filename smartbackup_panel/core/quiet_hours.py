"""Hours in which a domain is quiet, and spans of the day in which runs may or may not begin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTES_A_DAY = 24 * 60
HOURS_A_WEEK = 7 * 24
LEAST_DAYS = 7
DEFAULT_MINUTE = 3 * 60

_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the day from `begin` up to, not including, `end` (minutes after midnight); it may pass midnight."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """The length in minutes; equal ends are a whole day."""
        return (self.end - self.begin) % MINUTES_A_DAY or MINUTES_A_DAY

    def holds(self, minute: int) -> bool:
        """Return whether a minute of the day lies in the span."""
        return (minute - self.begin) % MINUTES_A_DAY < self.length

    def __str__(self) -> str:
        return f"{self.begin // 60:02d}:{self.begin % 60:02d}-{self.end // 60:02d}:{self.end % 60:02d}"


def parse_spans(text: str) -> tuple[Span, ...]:
    """Return spans from "08:00-10:00,22:00-01:00"; raises ValueError with a sentence for anything else."""
    spans = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        found = _SPAN.fullmatch(part)
        if found is None:
            raise ValueError("must be spans of the day such as 08:00-10:00")
        begin_hour, begin_minute, end_hour, end_minute = map(int, found.groups())
        spans.append(Span(begin_hour * 60 + begin_minute, (end_hour * 60 + end_minute) % MINUTES_A_DAY))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Mean requests in each hour of the local week, Sunday 0:00 first, and the days that it rests on.

    It counts only once it holds seven days: before that a quiet Tuesday would look like a quiet week.
    """

    hours: tuple[float, ...]
    days: int

    @property
    def counts(self) -> bool:
        return self.days >= LEAST_DAYS and any(self.hours)

    def busyness(self, weekday: int, minute: int) -> float:
        """Return how busy an hour is beside the busiest one (0.0 to 1.0); `weekday` 0 is Sunday."""
        most = max(self.hours)
        return self.hours[weekday * 24 + minute // 60] / most if most else 0.0


NO_HISTORY = Histogram((0.0,) * HOURS_A_WEEK, 0)


def hour_of_week(at: datetime) -> int:
    """Return the hour of the week of a local time: 0 is Sunday 0:00."""
    return at.isoweekday() % 7 * 24 + at.hour


def histogram(days: Mapping[date, Sequence[int]], timezone: str) -> Histogram:
    """Return the histogram of days of 24 hourly counts (UTC) in a time zone; an hour's middle decides where it falls."""
    zone = ZoneInfo(timezone)
    sums, seen = [0] * HOURS_A_WEEK, [0] * HOURS_A_WEEK
    for day, counts in days.items():
        begin = datetime(day.year, day.month, day.day, 0, 30, tzinfo=UTC)
        for hour, count in enumerate(counts):
            place = hour_of_week((begin + timedelta(hours=hour)).astimezone(zone))
            sums[place] += count
            seen[place] += 1
    return Histogram(tuple(total / max(1, times) for total, times in zip(sums, seen, strict=True)), len(days))

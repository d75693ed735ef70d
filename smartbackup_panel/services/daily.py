"""The last days of a domain in figures: how much changed and was asked for, how large it is, and what its points take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from smartbackup_panel.core.model import Analysis, Point
from smartbackup_panel.core.scrub import bytes_of

MOST_DAYS = 30
READINGS = 400
"""Enough for thirty days of a domain that is looked at every two hours."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One day in the domain's time zone. `file_changes` and `requests` are of 24 hours and, as `content_bytes`, None where
    nobody looked; `added_bytes` is what the points of that day that are still kept take, `kept_bytes` that of all up to then.
    """

    day: date
    file_changes: int | None
    requests: int | None
    content_bytes: int | None
    points: int
    added_bytes: int
    kept_bytes: int


def daily_figures(
    points: Iterable[Point], readings: Sequence[Analysis], now: datetime, zone: str, days: int = MOST_DAYS
) -> tuple[DayFigures, ...]:
    """Return the last days, oldest first, beginning with the first one that something is known of; () where nothing is.

    Of a day with several readings the busiest counts for changes and requests, and the last one for the size.
    """
    local = ZoneInfo(zone)
    made: dict[date, list[Point]] = defaultdict(list)
    seen: dict[date, list[Analysis]] = defaultdict(list)
    for point in points:
        made[point.created_at.astimezone(local).date()].append(point)
    for reading in readings:
        seen[reading.analysed_at.astimezone(local).date()].append(reading)
    today = now.astimezone(local).date()
    oldest = min((*made, *seen), default=None)
    if oldest is None:
        return ()
    first = max(oldest, today - timedelta(days=days - 1))
    kept = sum(bytes_of(point) for day, rows in made.items() if day < first for point in rows)
    figures = []
    for day in (first + timedelta(days=number) for number in range((today - first).days + 1)):
        added = sum(bytes_of(point) for point in made[day])
        kept += added
        figures.append(_of_day(day, seen[day], len(made[day]), added, kept))
    return tuple(figures)


def _of_day(day: date, readings: list[Analysis], points: int, added: int, kept: int) -> DayFigures:
    last = max(readings, key=lambda row: row.analysed_at, default=None)
    return DayFigures(
        day=day,
        file_changes=max((row.file_changes for row in readings), default=None),
        requests=max((row.traffic_requests for row in readings), default=None),
        content_bytes=last.size_bytes if last is not None else None,
        points=points,
        added_bytes=added,
        kept_bytes=kept,
    )

"""Which points are read again tonight, so that every archive is read once in so many days, as a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from smartbackup_panel.core.model import Point


def choose_scrub(points: Sequence[Point], now: datetime, days: int) -> list[Point]:
    """Return the points of all domains to read tonight, longest unread first.

    Each night reads its share of the bytes (all divided by `days`) of what was not read for half of the time, and
    whatever would be later than `days` tomorrow. Damaged points are read again too: a disk may have come back.
    """
    share = sum(bytes_of(point) for point in points) / days
    old = sorted((point for point in points if _unread(point, now) >= timedelta(days=days) / 2), key=_read_at)
    chosen: list[Point] = []
    size_bytes = 0
    for point in old:
        if size_bytes >= share and _unread(point, now) < timedelta(days=days - 1):
            break
        chosen.append(point)
        size_bytes += bytes_of(point)
    return chosen


def bytes_of(point: Point) -> int:
    """Return what a point's archive and its own dumps take in the store."""
    return point.archive_bytes + sum(dump.archive_bytes for dump in point.databases if not dump.is_earlier)


def _read_at(point: Point) -> datetime:
    return point.verified_at or point.created_at


def _unread(point: Point, now: datetime) -> timedelta:
    return now - _read_at(point)

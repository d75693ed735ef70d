"""Requests in an access log's lines (common and combined format)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

LONGEST_LINE = 64 * 1024


def request_time(line: bytes) -> datetime | None:
    """Return when a line of a common or combined log was requested (aware), or None for anything else."""
    start = line.find(b"[", 0, LONGEST_LINE)
    end = line.find(b"]", start, start + 64)
    if start < 0 or end < 0:
        return None
    try:
        return datetime.strptime(line[start + 1 : end].decode("ascii"), "%d/%b/%Y:%H:%M:%S %z")
    except ValueError:
        return None


def count_requests(lines: Iterable[bytes], since: datetime) -> int:
    """Return how many lines are requests made at `since` or later."""
    return sum(1 for line in lines if (at := request_time(line)) is not None and at >= since)

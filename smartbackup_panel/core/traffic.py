"""Requests in an access log's lines (common and combined format), counted by hour, bots apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

LONGEST_LINE = 64 * 1024
# A robot says so in its agent (the last quoted field of the combined format); browsers never use these words.
_BOT = re.compile(
    rb"bot\b|bot/|crawl|spider|slurp|monitor|uptime|pingdom|curl/|wget/|python-|go-http|headless|feedfetcher", re.I
)


@dataclass(slots=True)
class Hours:
    """Requests of people and of bots by the hour (UTC) in which they were made."""

    requests: dict[datetime, int] = field(default_factory=dict)
    bots: dict[datetime, int] = field(default_factory=dict)

    def add(self, line: bytes) -> None:
        """Count a line; one that is no request is passed over."""
        start = line.find(b"[", 0, LONGEST_LINE)
        hour = _hour(line[start + 1 : start + 27]) if start >= 0 else None
        if hour is None:
            return
        kind = self.bots if is_bot(line) else self.requests
        kind[hour] = kind.get(hour, 0) + 1


def _hour(text: bytes) -> datetime | None:
    """Return the UTC hour of "01/Feb/2026:12:34:56 +0000"; a log names each minute many times, so it is parsed once."""
    return _hour_of_minute(text[:17] + b":00" + text[20:]) if text[17:18] == b":" else None


@lru_cache(maxsize=4096)
def _hour_of_minute(text: bytes) -> datetime | None:
    at = request_time(b"[" + text + b"]")
    return None if at is None else at.astimezone(UTC).replace(minute=0)


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


def is_bot(line: bytes) -> bool:
    """Return whether the agent of a combined log's line is a robot's; a common log names no agent."""
    quoted = line[:LONGEST_LINE].rsplit(b'"', 2)
    return len(quoted) == 3 and line.count(b'"', 0, LONGEST_LINE) >= 6 and _BOT.search(quoted[1]) is not None


def count_requests(lines: Iterable[bytes], since: datetime) -> int:
    """Return how many lines are requests made at `since` or later."""
    return sum(1 for line in lines if (at := request_time(line)) is not None and at >= since)


def last_day(hours: Iterable[tuple[datetime, int]], now: datetime) -> int:
    """Return the requests of the last 24 hours, the hour that runs and the 23 before it."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    return sum(count for hour, count in hours if hour >= first)

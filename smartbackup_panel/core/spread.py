"""Which minute a domain's runs begin: quiet for the domain, level for the server.

The plan of a week is work in seconds by minute of the week. A run may begin at any minute of its span; its cost is the
work that is planned around it, beside the mean of the span, plus how busy the domain itself is then. Where domains
agree on a quiet hour the load decides, so that the peak stays near the mean; where the server has room, the domain does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from croniter import croniter

from smartbackup_panel.core.quiet_hours import MINUTES_A_DAY, Span

MINUTES_A_WEEK = 7 * MINUTES_A_DAY
LOOK_MINUTES = 10
# A server whose span is emptier than this has room for everybody's wish (seconds of work in ten minutes).
LEAST_MEAN_SECONDS = 60.0
QUIET_WEIGHT = 0.12
LONGEST_SECONDS = 6 * 3600.0

Busyness = Callable[[int, int], float]


@dataclass(slots=True)
class WeekPlan:
    """Planned work of a week: `around[m]` holds the seconds of work in the ten minutes that begin at minute m (0 is Sunday 0:00)."""

    around: list[float] = field(default_factory=lambda: [0.0] * MINUTES_A_WEEK)

    @classmethod
    def of(cls, runs: Iterable[tuple[Iterable[int], float]]) -> WeekPlan:
        """Return the plan of many runs (their minutes of the week, and seconds), the ten-minute sums made in one pass."""
        work = [0.0] * MINUTES_A_WEEK
        for starts, seconds in runs:
            minutes = _minutes(min(LONGEST_SECONDS, max(1.0, seconds)))
            for start in starts:
                for place, share in enumerate(minutes):
                    work[(start + place) % MINUTES_A_WEEK] += share
        around, total = [], sum(work[:LOOK_MINUTES])
        for minute in range(MINUTES_A_WEEK):
            around.append(max(0.0, total))
            total += work[(minute + LOOK_MINUTES) % MINUTES_A_WEEK] - work[minute]
        return cls(around)

    def add(self, starts: Iterable[int], seconds: float) -> None:
        """Plan a run of `seconds` at each of these minutes of the week."""
        shape = _shape(min(LONGEST_SECONDS, max(1.0, seconds)))
        for start in starts:
            first = start - LOOK_MINUTES + 1
            for place, work in enumerate(shape):
                self.around[(first + place) % MINUTES_A_WEEK] += work

    def peak_near(self, start: int, seconds: float) -> float:
        """Return the most work in any ten minutes that a run from `start` would touch."""
        first, count = start - LOOK_MINUTES + 1, LOOK_MINUTES + int(seconds // 60)
        return max(self.around[(first + place) % MINUTES_A_WEEK] for place in range(0, count, 1))

    def mean_on(self, day: int, span: Span) -> float:
        """Return the mean work in ten minutes of a span of the day on one weekday (0 is Sunday)."""
        places = range(0, max(1, span.length - LOOK_MINUTES), LOOK_MINUTES)
        begin = day * MINUTES_A_DAY + span.begin
        return sum(self.around[(begin + minute) % MINUTES_A_WEEK] for minute in places) / len(places)


def _minutes(seconds: float) -> list[float]:
    """Return the seconds of work in each minute of a run."""
    return [min(60.0, seconds - 60.0 * place) for place in range(int((seconds + 59) // 60))]


def _shape(seconds: float) -> list[float]:
    """Return what a run adds to the ten-minute sums from nine minutes before its start on."""
    minutes = _minutes(seconds)
    padded = [0.0] * (LOOK_MINUTES - 1) + minutes + [0.0] * (LOOK_MINUTES - 1)
    return [sum(padded[place : place + LOOK_MINUTES]) for place in range(len(minutes) + LOOK_MINUTES - 1)]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a domain needs: its name, how often (starts of a week from one minute of the day), how long a run is expected
    to take (seconds), the span in which it may begin, and how busy it is at a weekday and minute (0.0 to 1.0)."""

    name: str
    starts: Callable[[int], tuple[int, ...]]
    seconds: float
    span: Span
    busyness: Busyness


def choose_minute(wish: Wish, plan: WeekPlan, blackout: Sequence[Span], present: int | None = None) -> int:
    """Return the minute of the day at which a domain's runs begin, given what is planned for the others.

    Deterministic: equal costs are decided by the domain's name. A `present` minute is kept while no other is clearly
    better, so that schedules do not wander. Where blackouts leave nothing, the minute that meets the fewest is taken.
    """
    minutes = _candidates(wish)
    days = {start // MINUTES_A_DAY for start in wish.starts(minutes[0])}
    means = {day: max(LEAST_MEAN_SECONDS, plan.mean_on(day, wish.span)) for day in days}

    def cost(minute: int) -> tuple[int, float]:
        starts = wish.starts(minute)
        forbidden = sum(span.holds(start % MINUTES_A_DAY) for start in starts for span in blackout)
        load = max(plan.peak_near(start, wish.seconds) / means[start // MINUTES_A_DAY] for start in starts)
        wanted = sum(wish.busyness(start // MINUTES_A_DAY, start % MINUTES_A_DAY) for start in starts) / len(starts)
        return forbidden, load + QUIET_WEIGHT * wanted

    best = min(minutes, key=lambda minute: (*cost(minute), _order(wish.name, minute)))
    if present is not None and wish.span.holds(present):
        (forbidden, kept), (fewest, least) = cost(present), cost(best)
        if forbidden <= fewest and kept <= least + QUIET_WEIGHT:
            return present
    return best


def _candidates(wish: Wish) -> list[int]:
    """Return the minutes of the span at which a run may begin: those from which it ends inside, where it can."""
    last = wish.span.length - min(int(wish.seconds // 60), wish.span.length - 1)
    step = max(1, min(5, wish.span.length // 60))
    shift = _order(wish.name, 0) % step
    return [(wish.span.begin + minute) % MINUTES_A_DAY for minute in range(min(shift, last - 1), last, step)]


@lru_cache(maxsize=4096)
def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _order(name: str, minute: int) -> int:
    return (_digest(name) ^ (minute * 0x9E3779B97F4A7C15)) & 0xFFFFFFFF


@lru_cache(maxsize=8192)
def week_starts(cron: str) -> tuple[int, ...]:
    """Return the minutes of the week at which a cron expression runs; () for one that is bound to days of a month."""
    fields = croniter.expand(cron)[0]
    if fields[2] != ["*"] or fields[3] != ["*"]:
        return ()
    minutes, hours, days = (_values(field, size) for field, size in ((fields[0], 60), (fields[1], 24), (fields[4], 7)))
    return tuple(day % 7 * MINUTES_A_DAY + hour * 60 + minute for day in days for hour in hours for minute in minutes)


def _values(field_values: Sequence[int | str], size: int) -> list[int]:
    return list(range(size)) if list(field_values) == ["*"] else sorted({int(value) for value in field_values})

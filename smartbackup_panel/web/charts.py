"""The geometry of the small charts; the templates draw them as SVG without script or inline style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from smartbackup_panel.core.model import Point, PointState

SPARK_WIDTH, SPARK_HEIGHT = 96, 24
NIGHT_WIDTH, NIGHT_HEIGHT, NIGHT_SLOTS = 480, 56, 48


def spark_points(values: Sequence[float]) -> str:
    """Return the `points` of a polyline through the values, or "" where there are fewer than two."""
    if len(values) < 2:
        return ""
    low, span = min(values), max(values) - min(values)
    step = (SPARK_WIDTH - 4) / (len(values) - 1)
    height = SPARK_HEIGHT - 4
    ratios = [(value - low) / span if span else 0.5 for value in values]
    return " ".join(f"{2 + step * place:.1f},{2 + height * (1 - ratio):.1f}" for place, ratio in enumerate(ratios))


@dataclass(frozen=True, slots=True)
class NightBar:
    """One half hour of the next day: its bar in SVG units, when it starts, and how many runs it holds."""

    x: float
    y: float
    width: float
    height: float
    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Night:
    """The runs of the next 24 hours. `hours` are the axis marks as (x, "03"); `next_at` is the first run, whenever it is."""

    bars: tuple[NightBar, ...]
    hours: tuple[tuple[float, str], ...]
    total: int
    busiest: NightBar | None
    next_at: datetime | None


def night(runs: Iterable[datetime], now: datetime, zone: tzinfo) -> Night:
    """Return the chart of the runs of the next 24 hours, half an hour a bar."""
    begin = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    slot_seconds = 86_400 / NIGHT_SLOTS
    counts = [0] * NIGHT_SLOTS
    every = sorted(runs)
    for run in every:
        slot = int((run - begin).total_seconds() // slot_seconds)
        if 0 <= slot < NIGHT_SLOTS:
            counts[slot] += 1
    bars = _night_bars(counts, begin, slot_seconds)
    hours = tuple(
        (NIGHT_WIDTH * hour / 24, (begin + timedelta(hours=hour)).astimezone(zone).strftime("%H"))
        for hour in range(0, 24, 3)
    )
    return Night(bars, hours, sum(counts), max(bars, key=lambda bar: bar.count, default=None), next(iter(every), None))


def _night_bars(counts: Sequence[int], begin: datetime, slot_seconds: float) -> tuple[NightBar, ...]:
    top, width = max(counts), NIGHT_WIDTH / NIGHT_SLOTS
    bars = []
    for slot, number in enumerate(counts):
        if number:
            height = max(4.0, (NIGHT_HEIGHT - 4) * number / top)
            at = begin + timedelta(seconds=slot * slot_seconds)
            bars.append(NightBar(slot * width + 1, NIGHT_HEIGHT - height, width - 2, height, at, number))
    return tuple(bars)


@dataclass(frozen=True, slots=True)
class DayCell:
    """One day of a domain's last weeks: how many moments it holds, and whether one of them can be restored."""

    date: datetime
    points: int
    look: str


def day_cells(points: Sequence[Point], now: datetime, zone: tzinfo, most_days: int = 28) -> tuple[DayCell, ...]:
    """Return the last days, oldest first; `look` is none, good, partial or damaged (the best point of the day).

    A week at least, `most_days` at most, and no further back than the oldest point.
    """
    rank = {PointState.DAMAGED: 1, PointState.PARTIAL: 2, PointState.GOOD: 3}
    best: dict[object, PointState] = {}
    numbers: dict[object, int] = {}
    for point in points:
        date = point.created_at.astimezone(zone).date()
        numbers[date] = numbers.get(date, 0) + 1
        if date not in best or rank[point.state] > rank[best[date]]:
            best[date] = point.state
    today = now.astimezone(zone)
    oldest = min((point.created_at for point in points), default=now).astimezone(zone)
    days = min(most_days, max(7, (today.date() - oldest.date()).days + 1))
    cells = []
    for back in range(days - 1, -1, -1):
        at = today - timedelta(days=back)
        state = best.get(at.date())
        cells.append(DayCell(at, numbers.get(at.date(), 0), "none" if state is None else state.value))
    return tuple(cells)


DAY_WIDTH, DAY_HEIGHT = 12, 64


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar in SVG units."""

    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar for each value that is known (None for the others), from zero up; `top` is the largest value."""

    bars: tuple[Bar | None, ...]
    width: int
    top: float


def bar_chart(values: Sequence[float | None]) -> BarChart:
    """Return the bars of some values, each DAY_WIDTH apart; what is not nothing can be seen."""
    top = max((value for value in values if value is not None), default=0)
    bars = []
    for place, value in enumerate(values):
        height = 0.0 if not value else max(2.0, DAY_HEIGHT * value / top)
        bars.append(None if value is None else Bar(DAY_WIDTH * place + 2, DAY_HEIGHT - height, height))
    return BarChart(tuple(bars), DAY_WIDTH * len(values), top)

"""The night of a server with 2,000 domains: level, inside the window, never more than four at once."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from smartbackup_panel.core.quiet_hours import Histogram, Span, parse_spans
from smartbackup_panel.core.schedule import Rhythm
from smartbackup_panel.core.spread import WeekPlan, Wish, choose_minute, week_starts

WINDOW = Span(60, 360)
DAY = 24 * 60


@dataclass(frozen=True)
class Placed:
    rhythm: Rhythm
    minute: int
    seconds: float


def a_night_owl(peak_hour: int) -> Callable[[int, int], float]:
    return lambda _day, minute: max(0.0, 1 - abs(minute / 60 - peak_hour) / 12)


def wishes(count: int) -> list[tuple[Rhythm, Wish]]:
    """Return domains as servers have them: few busy, many quiet, run times from seconds to a quarter of an hour."""
    dice = random.Random(20260301)
    made = []
    for number in range(count):
        share = dice.random()
        rhythm = Rhythm.SIX_HOURS if share < 0.1 else Rhythm.DAILY if share < 0.4 else Rhythm.WEEKLY
        seconds = min(900.0, dice.lognormvariate(2.6, 0.9))
        busy = a_night_owl(dice.choice([10, 14, 20]))
        made.append((rhythm, Wish(f"site{number}.example", rhythm.starts, seconds, WINDOW, busy)))
    return sorted(made, key=lambda pair: (pair[0] is Rhythm.WEEKLY, -pair[1].seconds, pair[1].name))


def place(count: int) -> list[Placed]:
    plan, placed = WeekPlan(), []
    for rhythm, wish in wishes(count):
        minute = choose_minute(wish, plan, ())
        plan.add(rhythm.starts(minute), wish.seconds)
        placed.append(Placed(rhythm, minute, wish.seconds))
    return placed


def planned_work(placed: list[Placed]) -> list[float]:
    """Return seconds of planned work in each minute of the week, computed apart from the plan itself."""
    work = [0.0] * (7 * DAY)
    for row in placed:
        for start in row.rhythm.starts(row.minute):
            left, minute = row.seconds, start
            while left > 0:
                work[minute % (7 * DAY)] += min(60.0, left)
                left, minute = left - 60, minute + 1
    return work


def peak_to_mean(work: list[float], day: int) -> float:
    """Return the most work in any ten minutes of a night's window beside the mean of all its ten minutes."""
    begin = day * DAY + WINDOW.begin
    sums = [sum(work[begin + minute : begin + minute + 10]) for minute in range(WINDOW.length - 9)]
    return max(sums) / (sum(sums) / len(sums))


def run_week(placed: list[Placed], slots: int) -> tuple[int, float, float]:
    """Run two weeks with a pool of `slots`: return most at once, the longest wait and the longest gap over its interval (seconds)."""
    starts = sorted(
        (start * 60 + week * 7 * DAY * 60, number)
        for number, row in enumerate(placed)
        for start in row.rhythm.starts(row.minute)
        for week in (0, 1)
    )
    running: list[float] = []
    last: dict[int, float] = {}
    most, wait, over = 0, 0.0, 0.0
    for planned, number in starts:
        while running and running[0] <= planned:
            heapq.heappop(running)
        begin = float(planned) if len(running) < slots else heapq.heappop(running)
        heapq.heappush(running, begin + placed[number].seconds)
        most, wait = max(most, len(running)), max(wait, begin - planned)
        if number in last:
            over = max(over, begin - last[number] - placed[number].rhythm.interval.total_seconds())
        last[number] = begin
    return most, wait, over


def test_two_thousand_domains_make_a_level_night(capsys: pytest.CaptureFixture[str]) -> None:
    placed = place(2000)
    work = planned_work(placed)
    ratios = [peak_to_mean(work, day) for day in range(7)]
    most, wait, over = run_week(placed, 4)
    at_three = [Placed(row.rhythm, 3 * 60, row.seconds) for row in placed]
    crowded = planned_work(at_three)
    _, crowded_wait, _ = run_week(at_three, 4)
    at_once = sum(1 for row in at_three)
    with capsys.disabled():
        print(
            f"\n2,000 domains, spread: {most} at once, longest wait {wait:.0f} s, worst peak/mean {max(ratios):.2f}"
            f"\n2,000 domains, all at 3 AM: {at_once} start together, longest wait {crowded_wait:.0f} s,"
            f" worst peak/mean {peak_to_mean_of_three(crowded):.2f}"
        )
    assert max(ratios) <= 1.3
    assert most <= 4
    assert over <= 15 * 60
    assert all(WINDOW.holds(row.minute) for row in placed)


def peak_to_mean_of_three(work: list[float]) -> float:
    """Return peak/mean where all start at 3 AM and each runs at once, as cron does it."""
    return max(peak_to_mean(work, day) for day in range(7))


def test_a_plan_made_at_once_is_the_plan_made_one_by_one() -> None:
    runs = [(row.rhythm.starts(row.minute), row.seconds) for row in place(60)]
    one_by_one = WeekPlan()
    for starts, seconds in runs:
        one_by_one.add(starts, seconds)
    assert WeekPlan.of(runs).around == pytest.approx(one_by_one.around, abs=1e-6)


def test_the_plan_is_the_same_however_often_it_is_made() -> None:
    assert place(150) == place(150)


def test_a_lone_domain_gets_its_quietest_hour() -> None:
    busy: Callable[[int, int], float] = lambda _day, minute: 0.0 if minute // 60 == 4 else 1.0  # noqa: E731
    minute = choose_minute(Wish("shop.example", Rhythm.DAILY.starts, 60.0, WINDOW, busy), WeekPlan(), ())
    assert minute // 60 == 4


def test_a_blackout_moves_even_a_six_hourly_run_out_of_the_way() -> None:
    blackout = parse_spans("08:00-09:30,14:00-15:00")
    wish = Wish("shop.example", Rhythm.SIX_HOURS.starts, 60.0, WINDOW, a_night_owl(14))
    minute = choose_minute(wish, WeekPlan(), blackout)
    assert not any(span.holds(start % DAY) for start in Rhythm.SIX_HOURS.starts(minute) for span in blackout)


def test_a_minute_is_kept_while_no_other_is_clearly_better() -> None:
    wish = Wish("shop.example", Rhythm.DAILY.starts, 60.0, WINDOW, lambda _day, _minute: 0.0)
    best = choose_minute(wish, WeekPlan(), ())
    other = best + 7 if best + 7 < 350 else best - 7
    assert choose_minute(wish, WeekPlan(), (), other) == other
    crowded = WeekPlan()
    for _ in range(30):
        crowded.add(Rhythm.DAILY.starts(other), 60.0)
    assert choose_minute(wish, crowded, (), other) != other


def test_seven_days_of_traffic_make_a_histogram() -> None:
    hours = tuple(float(hour == 3) for hour in range(168))
    assert not Histogram(hours, 6).counts
    assert Histogram(hours, 7).counts


@pytest.mark.parametrize(
    ("cron", "count"), [("0 3 * * *", 7), ("7 4-23/6 * * *", 28), ("0 3 * * 0", 1), ("0 3 1 * *", 0), ("0 3 * * 7", 1)]
)
def test_cron_lines_are_placed_in_the_week(cron: str, count: int) -> None:
    assert len(week_starts(cron)) == count


@pytest.mark.parametrize("text", ["3", "25:00-26:00", "08:00", "08:00-09:60", "a-b"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="spans of the day"):
        parse_spans(text)


def test_a_span_may_pass_midnight() -> None:
    (span,) = parse_spans("22:00-01:00")
    assert (span.length, span.holds(23 * 60), span.holds(0), span.holds(60), span.holds(21 * 60)) == (
        180,
        True,
        True,
        False,
        False,
    )

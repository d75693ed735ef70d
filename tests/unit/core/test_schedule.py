"""When a domain is backed up."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from smartbackup_panel.core.cron_words import in_words, warn_of
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Analysis, PointKind, Schedule, ScheduleLine, Strategy
from smartbackup_panel.core.schedule import check_cron, decide_schedule, next_slot, next_slots

BERLIN = ZoneInfo("Europe/Berlin")


def analysis(level: str) -> Analysis:
    return Analysis(31, level, 0, 31.0, "stable", 0, "small", 10, "static", datetime(2026, 3, 1, tzinfo=UTC), 0.1)


def schedule(*lines: ScheduleLine, timezone: str = "Europe/Berlin") -> Schedule:
    return Schedule(lines, timezone, Strategy.FULL, "a test's")


def local(year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


def test_runs_lie_between_three_and_five_and_depend_on_the_name_alone() -> None:
    starts = set()
    for number in range(300):
        made = decide_schedule(f"site{number}.example", analysis("medium"), Strategy.FULL, "UTC")
        minute, hour, *rest = made.lines[0].cron.split()
        assert rest == ["*", "*", "*"]
        starts.add((int(hour), int(minute)))
        assert made == decide_schedule(f"site{number}.example", analysis("medium"), Strategy.FULL, "UTC")
    assert min(starts) >= (3, 0)
    assert max(starts) < (5, 0)
    assert len(starts) > 80


@pytest.mark.parametrize(("level", "runs_a_week"), [("high", 28), ("medium", 7), ("low", 1)])
def test_the_interval_follows_the_activity(level: str, runs_a_week: int) -> None:
    made = decide_schedule("shop.example", analysis(level), Strategy.FULL, "UTC")
    runs = next_slots(made, datetime(2026, 3, 1, tzinfo=UTC), 100)
    assert sum(run.at < datetime(2026, 3, 8, tzinfo=UTC) for run in runs) == runs_a_week


def test_the_mixed_pair_is_a_daily_increment_and_a_full_point_on_sundays() -> None:
    made = decide_schedule("shop.example", analysis("high"), Strategy.MIXED, "UTC")
    runs = next_slots(made, datetime(2026, 3, 1, 12, tzinfo=UTC), 7)
    assert [run.at.isoweekday() for run in runs] == [1, 2, 3, 4, 5, 6, 7]
    assert [run.kind for run in runs] == [PointKind.INCREMENTAL] * 6 + [PointKind.FULL]


def test_a_skipped_hour_runs_once() -> None:
    made = schedule(ScheduleLine("30 2 * * *"))
    runs = next_slots(made, local(2026, 3, 28, 12), 2)
    assert [run.at.astimezone(BERLIN) for run in runs] == [local(2026, 3, 29, 3, 30), local(2026, 3, 30, 2, 30)]


def test_a_doubled_hour_runs_once() -> None:
    made = schedule(ScheduleLine("30 2 * * *"))
    first, second = next_slots(made, local(2026, 10, 24, 12), 2)
    assert first.slot == "2026-10-25T02:30"
    assert second.slot == "2026-10-26T02:30"
    assert next_slot(made, first.at) == second


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "0 3 * * * *", "@daily", "0 3 * * x; id"])
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(WrongUsage):
        check_cron(expression)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("5 3 * * *", "every day at 03:05"),
        ("40 4 * * 0", "Sundays at 04:40"),
        ("40 4 * * 7", "Sundays at 04:40"),
        ("7 4-23/6 * * *", "every 6 hours from 04:07"),
        ("0 */6 * * *", "every 6 hours from 00:00"),
        ("*/5 * * * *", "every 5 minutes"),
        ("15 * * * *", "every hour at minute 15"),
        ("*/15 8-17 * * 1-5", "Monday to Friday every 15 minutes from 08:00 to 17:59"),
        ("0 3 1 * *", "on day 1 of the month at 03:00"),
        ("30 2 * 1,7 6", "Saturdays at 02:30 in January and July"),
        ("* * * * *", "every minute"),
    ],
)
def test_schedules_are_said_in_words(cron: str, words: str) -> None:
    assert in_words(ScheduleLine(cron)) == words


@pytest.mark.parametrize(
    ("cron", "points_a_day"), [("0 * * * *", 24), ("*/5 * * * *", 288), ("0,30 9 * * *", 2), ("0 */6 * * *", None)]
)
def test_a_point_an_hour_is_warned_of(cron: str, points_a_day: int | None) -> None:
    said = warn_of(schedule(ScheduleLine(cron)), local(2026, 3, 3, 12))
    assert (said is None) == (points_a_day is None)
    assert said is None or said.startswith(f"this makes {points_a_day} restore points a day")

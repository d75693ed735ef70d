"""The geometry of the small charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from smartbackup_panel.core.model import PointKind, PointState
from smartbackup_panel.web import charts
from tests.support.fake_services import SHOP, a_point

NOW = datetime(2026, 11, 23, 13, 20, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def test_a_spark_line_runs_from_the_lowest_to_the_highest_value() -> None:
    assert charts.spark_points([0, 5, 10]) == "2.0,22.0 48.0,12.0 94.0,2.0"
    assert charts.spark_points([7, 7]) == "2.0,12.0 94.0,12.0"
    assert charts.spark_points([7]) == ""


def test_the_night_counts_the_runs_of_the_next_day_in_half_hours() -> None:
    runs = [NOW + timedelta(minutes=minutes) for minutes in (15, 55, 56, 24 * 60)]
    night = charts.night(runs, NOW, ZONE)
    assert [(bar.at.strftime("%H:%M"), bar.count) for bar in night.bars] == [("13:30", 1), ("14:00", 2)]
    assert night.total == 3
    assert night.next_at == NOW + timedelta(minutes=15)
    assert night.busiest is not None
    assert night.busiest.at.strftime("%H:%M") == "14:00"
    assert [hour for _, hour in night.hours] == ["13", "16", "19", "22", "01", "04", "07", "10"]


def test_a_night_without_runs_is_empty() -> None:
    night = charts.night([NOW + timedelta(days=3)], NOW, ZONE)
    assert (night.bars, night.total, night.busiest, night.next_at) == ((), 0, None, NOW + timedelta(days=3))
    assert charts.night([], NOW, ZONE).next_at is None


def test_a_day_looks_like_its_best_point() -> None:
    points = [
        a_point(SHOP, 1, NOW, PointKind.FULL, state=PointState.DAMAGED),
        a_point(SHOP, 2, NOW - timedelta(hours=1), PointKind.FULL, state=PointState.PARTIAL),
        a_point(SHOP, 3, NOW - timedelta(days=2), PointKind.FULL),
    ]
    cells = charts.day_cells(points, NOW, ZONE)
    assert [(cell.look, cell.points) for cell in cells[-4:]] == [("none", 0), ("good", 1), ("none", 0), ("partial", 2)]


def test_the_days_reach_back_to_the_oldest_point_and_no_further_than_four_weeks() -> None:
    def days(back: int) -> int:
        return len(charts.day_cells([a_point(SHOP, 1, NOW - timedelta(days=back), PointKind.FULL)], NOW, ZONE))

    assert [days(0), days(6), days(13), days(300)] == [7, 7, 14, 28]

"""How busy and how large a domain is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from smartbackup_panel.core.activity import activity_level, average_daily_changes, daily_counts, size_category, trend
from smartbackup_panel.core.model import Analysis

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def reading(file_changes: int, days_ago: float) -> Analysis:
    at = NOW - timedelta(days=days_ago)
    return Analysis(file_changes, "low", 0, 0.0, "stable", 0, "small", 0, "static", at, 0.1)


@pytest.mark.parametrize(
    ("changes", "level"), [(0, "low"), (19, "low"), (20, "medium"), (99, "medium"), (100, "high"), (5000, "high")]
)
def test_the_activity_level_follows_the_changes_of_a_day(changes: int, level: str) -> None:
    assert activity_level(changes) == level


@pytest.mark.parametrize(
    ("megabytes", "category"), [(0, "small"), (99.9, "small"), (100, "medium"), (1023, "medium"), (1024, "large")]
)
def test_the_size_category_follows_the_size(megabytes: float, category: str) -> None:
    assert size_category(int(megabytes * 1024 * 1024)) == category


def test_a_day_with_several_analyses_counts_once_with_its_largest_reading() -> None:
    history = [reading(10, 0), reading(40, 0.5), reading(7, 1.2), reading(9, 3.0)]
    assert daily_counts(history) == [40, 7, 9]


def test_the_average_is_of_at_most_thirty_days() -> None:
    assert average_daily_changes([10, 20, 30]) == 20.0
    assert average_daily_changes([1] * 30 + [1000]) == 1.0
    assert average_daily_changes([]) == 0.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100, 90, 110, 20, 20, 20, 20], "rising"),
        ([2, 3, 1, 60, 50, 70], "falling"),
        ([50, 52, 49, 51, 50, 48], "stable"),
        ([500, 1, 1], "stable"),
        ([1, 1, 1, 0, 0, 0], "stable"),
    ],
)
def test_the_trend_compares_three_days_with_those_before(counts: list[int], expected: str) -> None:
    assert trend(counts) == expected

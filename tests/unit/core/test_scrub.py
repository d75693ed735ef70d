"""Every archive is read again within the days of the setting, and the nights share the work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from smartbackup_panel.core.scrub import choose_scrub
from tests.unit.core.test_retention import NOW, a_point


def test_in_thirty_days_all_are_read_whatever_their_sizes() -> None:
    points = [a_point(n, NOW - timedelta(days=90), archive_bytes=1000 + 37 * (n % 50)) for n in range(600)]
    for night in range(60):
        now = NOW + timedelta(days=night)
        chosen = {point.id for point in choose_scrub(points, now, 30)}
        assert night or len(chosen) == 600, "what nobody read for three months is read in the first night"
        points = [replace(point, verified_at=now) if point.id in chosen else point for point in points]
        if night >= 1:
            assert all(now - point.verified_at <= timedelta(days=30) for point in points if point.verified_at)
    assert all(point.verified_at is not None for point in points)


def test_new_points_spread_themselves_and_nothing_is_read_twice_in_half_of_the_time() -> None:
    points = [a_point(n, NOW - timedelta(days=n)) for n in range(30)]
    nights: list[int] = []
    for night in range(30):
        now = NOW + timedelta(days=night)
        chosen = choose_scrub(points, now, 30)
        assert all(now - (point.verified_at or point.created_at) >= timedelta(days=15) for point in chosen)
        points = [replace(point, verified_at=now) if point in chosen else point for point in points]
        nights.append(len(chosen))
    assert max(nights) <= 2
    assert all(NOW + timedelta(days=30) - (row.verified_at or row.created_at) <= timedelta(days=31) for row in points)


def test_nothing_to_read_where_all_is_fresh_or_there_is_nothing() -> None:
    assert choose_scrub([], NOW, 30) == []
    assert choose_scrub([a_point(1, NOW)], NOW, 30) == []

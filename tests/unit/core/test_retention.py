"""What stays and what goes: no combination of rules undercuts the floor, lets a pin go, or breaks a chain."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Point, PointKind, PointState, Verified
from smartbackup_panel.core.retention import Rules, judge_points

LONG = "SMARTBACKUP_LONG" in os.environ
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
NOTHING = Rules(last=0, days=0, daily=0, weekly=0, monthly=0, yearly=0, floor=1)


def a_point(number: int, at: datetime, parent: str | None = None, **other: object) -> Point:
    values: dict[str, object] = {
        "id": f"p{number}",
        "domain_id": "d",
        "kind": PointKind.FULL if parent is None else PointKind.INCREMENTAL,
        "state": PointState.GOOD,
        "verified": Verified.READ_BACK,
        "created_at": at,
        "archive": f"backup_{number}.tar.gz",
        "archive_bytes": 100,
        "original_bytes": 100,
        "file_count": 1,
        "added": 0,
        "changed": 0,
        "deleted": 0,
        "parent_id": parent,
        "root_digest": None,
        "sha256": None,
    }
    return Point(**values | other)  # type: ignore[arg-type]  # each value has its field's type


def daily(count: int, full_every: int = 7) -> list[Point]:
    """Return points of the last `count` days, newest first, a full one each `full_every` days."""
    made: list[Point] = []
    for number in range(count):
        parent = None if number % full_every == 0 else f"p{number - 1}"
        made.append(a_point(number, NOW - timedelta(days=count - number), parent))
    return made[::-1]


def staying(points: list[Point], rules: Rules, now: datetime = NOW, in_use: tuple[str, ...] = ()) -> list[str]:
    return [row.point.id for row in judge_points(points, rules, now, "UTC", in_use) if row.stays]


def test_the_last_ones_stay_with_what_they_build_on() -> None:
    points = daily(30)
    assert staying(points, Rules(3, 0, 0, 0, 0, 0, 1)) == [f"p{n}" for n in range(29, 20, -1)]
    assert staying(points, Rules(1, 0, 0, 0, 0, 0, 1)) == ["p29", "p28"]


def test_of_a_week_the_point_that_stands_alone_stays() -> None:
    assert staying(daily(28), Rules(0, 0, 0, 4, 0, 0, 1))[-3:] == ["p21", "p14", "p7"]


def test_one_of_each_day_month_and_year() -> None:
    hours = [a_point(number, NOW - timedelta(hours=6 * number)) for number in range(12)]
    assert staying(hours, Rules(0, 0, 3, 0, 0, 0, 1)) == ["p0", "p3", "p7"]
    months = [a_point(number, NOW - timedelta(days=31 * number)) for number in range(30)]
    assert staying(months, Rules(0, 0, 0, 0, 4, 0, 1)) == ["p0", "p1", "p2", "p3"]
    assert staying(months, Rules(0, 0, 0, 0, 0, 3, 1)) == ["p0", "p3", "p14"]


def test_days_are_counted_from_the_newest_point_so_that_a_domain_that_stopped_loses_nothing() -> None:
    points = daily(30, full_every=1)
    rules = Rules(0, 10, 0, 0, 0, 0, 1)
    assert (
        staying(points, rules)
        == staying(points, rules, NOW + timedelta(days=3650))
        == [f"p{n}" for n in range(29, 19, -1)]
    )


def test_a_clock_ten_years_ahead_removes_what_one_more_point_would() -> None:
    points = daily(30, full_every=1)
    rules = Rules(3, 7, 7, 4, 6, 1, 3)
    ahead = NOW + timedelta(days=3650)
    assert set(staying(points, rules)) == set(staying(points, rules, ahead))
    jumped = [a_point(99, ahead), *points]
    assert "p99" in staying(jumped, rules, NOW)
    assert set(staying(jumped, rules, NOW)) >= set(staying(points, rules))


def test_damaged_and_unverified_newest_points_do_not_count() -> None:
    old = daily(5, full_every=1)
    failed = [a_point(100 + n, NOW - timedelta(hours=n), state=PointState.DAMAGED) for n in range(3)]
    kept = staying([*failed, *old], Rules(3, 0, 0, 0, 0, 0, 3))
    assert kept == ["p100", "p101", "p102", "p4", "p3", "p2"]
    assert staying([*failed, *old], Rules(3, 0, 0, 0, 0, 0, 3), NOW + timedelta(days=31)) == ["p4", "p3", "p2"]


def test_the_last_good_point_stays_behind_partial_ones() -> None:
    partial = [a_point(10 + n, NOW - timedelta(hours=n), state=PointState.PARTIAL) for n in range(5)]
    assert "p1" in staying([*partial, a_point(1, NOW - timedelta(days=9))], NOTHING)


def test_points_of_databases_alone_do_not_take_the_place_of_files() -> None:
    files = daily(3, full_every=1)
    only = [a_point(50 + n, NOW - timedelta(minutes=n), archive=None, database_only=True) for n in range(9)]
    assert staying([*only, *files], Rules(2, 0, 0, 0, 0, 0, 1)) == ["p50", "p51", "p2", "p1"]


def test_every_verdict_has_a_reason_in_words() -> None:
    points = [*daily(20), a_point(100, NOW - timedelta(days=400), pinned=True)]
    reasons = {
        row.point.id: row.reason for row in judge_points(points, Rules(2, 0, 0, 1, 1, 0, 1), NOW, "UTC", ("p3",))
    }
    assert reasons["p19"] == "the last good point"
    assert reasons["p18"] == "one of the last 2"
    assert reasons["p14"] == "the point of 2026-03-02 12:00 builds on it"
    assert reasons["p100"] == "pinned"
    assert reasons["p3"] == "a job that waits or runs needs it"
    assert reasons["p2"] == "the point of 2026-02-15 12:00 builds on it"
    assert reasons["p8"] == "no rule keeps it"


@pytest.mark.parametrize(
    "wanted", [{"floor": 0}, {"last": -1}, {"hourly": 3}, {"last": True}, {"last": "3"}, {"days": 10_001}]
)
def test_bad_rules_are_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(WrongUsage):
        NOTHING.changed(wanted)


small = st.integers(0, 6)
some_rules = st.builds(Rules, small, st.integers(0, 40), small, small, small, small, st.integers(1, 5))


@st.composite
def histories(draw: st.DrawFn) -> list[Point]:
    """A domain's points: chains of mixed kinds, some damaged, pinned, partial or of databases alone, and odd clocks."""
    made: list[Point] = []
    at = NOW - timedelta(days=draw(st.integers(1, 900)))
    for number in range(draw(st.integers(1, 40))):
        at += timedelta(hours=draw(st.sampled_from([-30, 1, 6, 24, 24, 24, 168, 720])))
        parents = [point for point in made if not point.database_only]
        parent = draw(st.sampled_from([None, *(point.id for point in parents[-4:])])) if parents else None
        alone = parent is None and draw(st.integers(0, 9)) == 0
        made.append(
            a_point(
                number,
                at,
                parent,
                state=draw(st.sampled_from([*[PointState.GOOD] * 5, PointState.PARTIAL, PointState.DAMAGED])),
                pinned=draw(st.integers(0, 11)) == 0,
                verified=draw(st.sampled_from([*[Verified.READ_BACK] * 6, Verified.NOT])),
                archive=None if alone else f"backup_{number}.tar.gz",
                database_only=alone,
            )
        )
    return sorted(made, key=lambda point: point.created_at, reverse=True)


@settings(max_examples=5000 if LONG else 250, deadline=None)
@given(histories(), some_rules, st.integers(-400, 4000), st.data())
def test_no_rules_undercut_the_floor_let_a_pin_go_or_break_a_chain(
    points: list[Point], rules: Rules, days_ahead: int, data: st.DataObject
) -> None:
    used = data.draw(st.lists(st.sampled_from([point.id for point in points]), max_size=2))
    now = NOW + timedelta(days=days_ahead)
    verdicts = judge_points(points, rules, now, "Europe/Berlin", used)
    assert [row.point for row in verdicts] == points
    kept = {row.point.id: row.point for row in verdicts if row.stays}
    by_id = {point.id: point for point in points}
    assert kept.keys() >= set(used) | {point.id for point in points if point.pinned}
    new_fulls = {row.point.id for row in verdicts if row.becomes_full}
    for point in kept.values():
        stands_alone = point.parent_id is None or point.id in new_fulls
        assert stands_alone or point.parent_id in kept or point.parent_id not in by_id
    assert all(row.stays and row.point.is_restorable for row in verdicts if row.becomes_full)
    assert not new_fulls & set(used)
    for has_files in (True, False):
        sound = [point for point in points if point.is_restorable and (point.archive is not None) is has_files]
        assert sum(point.id in kept for point in sound) >= min(rules.floor, len(sound))
        good = [point for point in sound if point.state is PointState.GOOD]
        assert not good or any(point.id in kept for point in good)
    left = [
        replace(point, parent_id=None, kind=PointKind.FULL) if point.id in new_fulls else point
        for point in kept.values()
    ]
    again = judge_points(left, rules, now, "Europe/Berlin", used)
    assert all(row.stays for row in again), "what stays once stays for the same rules at the same moment"
    assert not any(row.becomes_full for row in again)

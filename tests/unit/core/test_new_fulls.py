"""Which kept increments become full points of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from smartbackup_panel.core.model import Point, PointState
from smartbackup_panel.core.retention import Rules, judge_points
from tests.unit.core.test_retention import NOW, a_point, daily

RULES = Rules(last=2, days=0, daily=0, weekly=0, monthly=0, yearly=0, floor=1)


def sized(full_bytes: int, increment_bytes: int) -> list[Point]:
    """Return three weeks of points, newest first, a full one each seven days: p0, p7 and p14."""
    return [replace(point, archive_bytes=increment_bytes if point.parent_id else full_bytes) for point in daily(21)]


def pinned(points: list[Point], *ids: str) -> list[Point]:
    return [replace(point, pinned=True) if point.id in ids else point for point in points]


def judged(points: list[Point], in_use: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Return the ids of points that become full, and of those that stay, newest first."""
    verdicts = judge_points(points, RULES, NOW, "UTC", in_use)
    return [row.point.id for row in verdicts if row.becomes_full], [row.point.id for row in verdicts if row.stays]


def test_a_pinned_increment_of_a_chain_that_is_over_frees_what_it_builds_on() -> None:
    points = pinned(sized(1_000, 100), "p5")
    becoming, staying = judged(points)
    assert becoming == ["p5"]
    assert staying == ["p20", "p19", "p18", "p17", "p16", "p15", "p14", "p5"]
    [verdict] = [row for row in judge_points(points, RULES, NOW, "UTC") if row.becomes_full]
    assert verdict.reason == "pinned; it becomes a full point of its own"


def test_it_is_not_done_where_it_frees_less_than_a_tenth() -> None:
    assert judged(pinned(sized(1_000, 22), "p5")) == (
        [],
        [*(f"p{n}" for n in range(20, 13, -1)), *["p5", "p4", "p3", "p2", "p1", "p0"]],
    )
    assert judged(pinned(sized(1_000, 23), "p5"))[0] == ["p5"]


def test_two_full_points_are_not_made_of_one() -> None:
    assert judged(pinned(sized(1_000, 100), "p3", "p5"))[0] == []
    assert judged(pinned(sized(1_000, 400), "p3", "p6"))[0] == ["p6", "p3"]


def test_a_pinned_full_point_of_the_chain_stays_and_counts() -> None:
    assert judged(pinned(sized(1_000, 100), "p0", "p5"))[0] == []
    assert judged(pinned(sized(1_000, 400), "p0", "p5")) == (
        ["p5"],
        ["p20", "p19", "p18", "p17", "p16", "p15", "p14", "p5", "p0"],
    )


def test_the_chain_that_goes_on_is_left_alone() -> None:
    assert judged(pinned(sized(1_000, 900), "p16"))[0] == []


def test_what_the_last_ones_keep_for_days_is_not_written_again() -> None:
    points = [point for point in pinned(sized(1_000, 900), "p10") if int(point.id[1:]) <= 14]
    assert judged(points)[0] == []


def test_what_is_in_use_damaged_or_lacks_its_chain_is_left_alone() -> None:
    points = pinned(sized(1_000, 100), "p5")
    assert judged(points, in_use=("p5",))[0] == []
    damaged = [replace(point, state=PointState.DAMAGED) if point.id == "p5" else point for point in points]
    assert judged(damaged)[0] == []
    assert judged([point for point in points if point.id != "p0"])[0] == []


def test_a_chain_that_was_refused_is_asked_again_once_another_one_made_room_for_it() -> None:
    """November's newest point stands alone only after its own chain was written anew; till then the other chain's would take its place."""
    days = timedelta(days=1)
    at = datetime(2025, 12, 8, tzinfo=UTC)
    going_on = [a_point(9, at), a_point(8, at - 3 * days, "p7")]
    older = [
        a_point(5, at - 30 * days, "p1"),
        a_point(6, at - 32 * days, "p2"),
        a_point(7, at - 35 * days, "p6", pinned=True),
        a_point(2, at - 64 * days),
        a_point(1, at - 65 * days),
    ]
    points = pinned([*going_on, *older], "p8")
    rules = replace(RULES, last=0, monthly=2)
    verdicts = judge_points(points, rules, NOW, "UTC")
    assert [row.point.id for row in verdicts if row.becomes_full] == ["p8", "p5", "p7"]
    assert [row.point.id for row in verdicts if row.stays] == ["p9", "p8", "p5", "p7"]

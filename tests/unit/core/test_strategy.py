"""Which strategy a domain gets, and what its next point is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smartbackup_panel.core.model import Analysis, Point, PointKind, PointState, Strategy, Verified
from smartbackup_panel.core.strategy import choose_point, choose_strategy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def analysis(size: str, level: str) -> Analysis:
    return Analysis(31, level, 0, 31.0, "stable", 0, size, 10, "static", NOW, 0.1)


def point(name: str, kind: PointKind, days_ago: float, parent: str | None = None) -> Point:
    return Point(
        id=name,
        domain_id="d",
        kind=kind,
        state=PointState.GOOD,
        verified=Verified.READ_BACK,
        created_at=NOW - timedelta(days=days_ago),
        archive=f"{name}.tar.gz",
        archive_bytes=1,
        original_bytes=1,
        file_count=1,
        added=0,
        changed=0,
        deleted=0,
        parent_id=parent,
        root_digest="00",
        sha256="00",
    )


FULL = point("full", PointKind.FULL, 2)
FIRST = point("first", PointKind.INCREMENTAL, 1, "full")
SECOND = point("second", PointKind.INCREMENTAL, 0.5, "first")
CHAIN = [SECOND, FIRST, FULL]


@pytest.mark.parametrize(
    ("size", "level", "strategy"),
    [
        ("small", "high", "full"),
        ("small", "medium", "full"),
        ("small", "low", "full"),
        ("medium", "high", "incremental"),
        ("medium", "medium", "full"),
        ("medium", "low", "full"),
        ("large", "high", "mixed"),
        ("large", "medium", "incremental"),
        ("large", "low", "full"),
    ],
)
def test_the_matrix_of_size_and_activity(size: str, level: str, strategy: str) -> None:
    choice = choose_strategy(analysis(size, level))
    assert choice.strategy == strategy
    assert len(choice.reason) > 20


def test_the_first_point_is_full_whatever_was_asked() -> None:
    assert choose_point(PointKind.INCREMENTAL, Strategy.INCREMENTAL, [], NOW, 7, 0).kind is PointKind.FULL


def test_an_increment_builds_on_the_last_point() -> None:
    chosen = choose_point(None, Strategy.MIXED, CHAIN, NOW, 7, 0)
    assert (chosen.kind, chosen.parent) == (PointKind.INCREMENTAL, SECOND)


def test_a_differential_builds_on_the_last_full_point() -> None:
    chosen = choose_point(PointKind.DIFFERENTIAL, Strategy.FULL, CHAIN, NOW, 7, 0)
    assert (chosen.kind, chosen.parent) == (PointKind.DIFFERENTIAL, FULL)


def test_the_full_strategy_makes_full_points_unless_asked_otherwise() -> None:
    assert choose_point(None, Strategy.FULL, CHAIN, NOW, 7, 0).kind is PointKind.FULL
    assert choose_point(PointKind.INCREMENTAL, Strategy.FULL, CHAIN, NOW, 7, 0).kind is PointKind.INCREMENTAL


def test_a_full_point_is_due_again_after_the_set_days() -> None:
    old = [replace(FULL, created_at=NOW - timedelta(days=7))]
    assert choose_point(None, Strategy.INCREMENTAL, old, NOW, 7, 0).kind is PointKind.FULL
    assert choose_point(None, Strategy.INCREMENTAL, old, NOW, 8, 0).kind is PointKind.INCREMENTAL


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_after_damage_anywhere_in_the_chain_the_next_point_is_full(broken: int) -> None:
    chain = [replace(item, state=PointState.DAMAGED) if index == broken else item for index, item in enumerate(CHAIN)]
    assert choose_point(PointKind.INCREMENTAL, Strategy.INCREMENTAL, chain, NOW, 7, 0).kind is PointKind.FULL


def test_a_chain_whose_parent_is_gone_is_not_built_on() -> None:
    assert choose_point(None, Strategy.INCREMENTAL, [SECOND, FULL], NOW, 7, 0).kind is PointKind.FULL


def test_a_point_of_databases_alone_is_not_built_on() -> None:
    dump = replace(point("dump", PointKind.FULL, 0.1), database_only=True, archive=None)
    chosen = choose_point(None, Strategy.INCREMENTAL, [dump, *CHAIN], NOW, 7, 0)
    assert chosen.parent == SECOND


def test_a_very_large_domain_with_some_changes_gets_differentials_and_a_full_point_a_month() -> None:
    very_large = replace(analysis("large", "medium"), size_bytes=10 * 1024**3)
    assert choose_strategy(very_large).strategy is Strategy.DIFFERENTIAL
    assert choose_strategy(replace(very_large, size_bytes=10 * 1024**3 - 1)).strategy is Strategy.INCREMENTAL
    for days_old, kind in ((30, PointKind.DIFFERENTIAL), (31, PointKind.FULL)):
        base = [replace(FULL, created_at=NOW - timedelta(days=days_old))]
        assert choose_point(None, Strategy.DIFFERENTIAL, base, NOW, 7, 0).kind is kind


def test_a_full_point_that_is_due_takes_over_from_the_last_one() -> None:
    chosen = choose_point(None, Strategy.FULL, CHAIN, NOW, 7, 0)
    assert (chosen.kind, chosen.source, chosen.parent) == (PointKind.FULL, SECOND, None)


def test_a_full_point_that_was_asked_for_reads_everything() -> None:
    chosen = choose_point(PointKind.FULL, Strategy.INCREMENTAL, CHAIN, NOW, 7, 0)
    assert (chosen.source, chosen.reads_whole) == (None, True)


@pytest.mark.parametrize(("days_ago", "is_due"), [(29, False), (30, True)])
@pytest.mark.parametrize("strategy", [Strategy.FULL, Strategy.INCREMENTAL])
def test_all_content_is_read_again_every_thirty_days(strategy: Strategy, days_ago: float, is_due: bool) -> None:
    read = replace(point("read", PointKind.FULL, days_ago), read_whole=True)
    chosen = choose_point(None, strategy, [SECOND, FIRST, FULL, read], NOW, 7, 30)
    assert chosen.reads_whole is is_due
    if is_due:
        assert chosen.source is None

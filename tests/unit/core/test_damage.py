"""What follows from damage: everything that builds on it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from smartbackup_panel.core.damage import broken_points, proved_level, with_parents
from smartbackup_panel.core.model import PointState, Verified
from tests.unit.core.test_retention import NOW, a_point

FULL = a_point(0, NOW)
ONE = a_point(1, NOW, "p0")
TWO = a_point(2, NOW, "p1")
OTHER = a_point(9, NOW)


def test_what_builds_on_a_damaged_point_is_damaged_whatever_was_read_of_it() -> None:
    found = broken_points([TWO, OTHER, ONE, FULL], {"p1": "bits changed", "p2": None, "p9": None})
    assert found == {"p1": "bits changed", "p2": "it builds on a damaged point, that of 2026-03-04 12:00"}


def test_what_was_inherited_ends_with_the_parents_damage_and_the_own_does_not() -> None:
    def damaged(words: str) -> dict[str, object]:
        return {"state": PointState.DAMAGED, "damage": words}

    inherited = replace(TWO, **damaged("it builds on a damaged point, that of then"))  # type: ignore[arg-type]  # fields
    own = replace(OTHER, **damaged("bits changed"))  # type: ignore[arg-type]  # fields of a point
    assert broken_points([inherited, own, ONE, FULL], {"p1": None}) == {"p9": "bits changed"}


def test_parents_that_point_at_each_other_end() -> None:
    round_trip = [replace(ONE, parent_id="p2"), TWO]
    assert broken_points(round_trip, {"p1": "bad"})["p1"] == "bad"
    assert {point.id for point in with_parents([TWO], round_trip)} == {"p1", "p2"}


def test_the_whole_chain_is_proved_where_all_of_it_was_read() -> None:
    every = [TWO, ONE, FULL]
    assert proved_level(TWO, every, {"p0": None, "p1": None, "p2": None}) is Verified.CHAIN
    assert proved_level(TWO, every, {"p1": None, "p2": None}) is Verified.READ_BACK
    assert proved_level(FULL, every, {"p0": None}) is Verified.READ_BACK
    assert [point.id for point in with_parents([TWO], every)] == ["p0", "p1", "p2"]

"""Merging two lists, deciding what is unchanged, and what becomes of every path in a restore."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbackup_panel.core.tree import RestoreMode, RestoreOptions
from smartbackup_panel.engine.changes import is_settled, looks_unchanged, merge
from smartbackup_panel.engine.entries import STAT, UNSTABLE, IndexEntry, sort_key
from smartbackup_panel.engine.restore_choice import choose
from smartbackup_panel.engine.spool import Seen

REGULAR, FOLDER = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
BASE = {
    "mode": REGULAR,
    "uid": 1,
    "gid": 1,
    "nlink": 1,
    "size": 5,
    "mtime_ns": 1_000,
    "ctime_ns": 2_000,
    "device": 9,
    "inode": 7,
}


def packed(**changed: int) -> bytes:
    return STAT.pack(*(BASE | changed).values())


@given(st.lists(st.binary(min_size=1, max_size=4).filter(lambda name: b"\0" not in name)))
def test_merging_pairs_equal_paths_in_order(paths: list[bytes]) -> None:
    left = sorted(set(paths), key=sort_key)
    right = left[::2]
    pairs = list(merge([Seen(path, b"") for path in left], [IndexEntry(path, b"") for path in right]))
    assert [mine.path for mine, _ in pairs if mine is not None] == left
    assert [theirs.path for mine, theirs in pairs if theirs is not None and mine is not None] == right


def test_a_folders_content_follows_it_directly() -> None:
    paths = [b"", b"a", b"a/b", b"a/b/c", b"a/z", b"a-", b"a.txt", b"ab"]
    assert sorted([b"ab", b"a.txt", *paths[:6]], key=sort_key) == paths


@pytest.mark.parametrize("field", BASE)
def test_any_changed_fact_is_a_change(field: str) -> None:
    earlier = IndexEntry(b"a", packed())
    assert looks_unchanged(Seen(b"a", packed()), earlier)
    assert not looks_unchanged(Seen(b"a", packed(**{field: BASE[field] + 1})), earlier)


def test_another_link_text_is_a_change() -> None:
    assert not looks_unchanged(Seen(b"a", packed(), b"there"), IndexEntry(b"a", packed(), link=b"here"))


def test_a_path_that_was_left_out_is_a_change() -> None:
    assert not looks_unchanged(Seen(b"a", packed()), IndexEntry(b"a", packed(), reason="unreadable"))


@pytest.mark.parametrize(
    ("changed", "flags", "settled"),
    [({}, 0, True), ({"mtime_ns": 5_000}, 0, False), ({"ctime_ns": 5_000}, 0, False), ({}, UNSTABLE, False)],
)
def test_young_times_prove_nothing(changed: dict[str, int], flags: int, settled: bool) -> None:
    assert is_settled(IndexEntry(b"a", packed(**changed), flags=flags), 5_000) is settled


def decide(point: list[IndexEntry], live: list[Seen], mode: RestoreMode, *paths: bytes) -> list[tuple[bytes, str]]:
    return [(choice.path, choice.action.name) for choice in choose(point, live, RestoreOptions(mode, paths))]


def of_point(path: bytes, mode: int = REGULAR, reason: str = "") -> IndexEntry:
    return IndexEntry(path, packed(mode=mode), reason=reason)


def of_live(path: bytes, mode: int = REGULAR, reason: str = "") -> Seen:
    return Seen(path, packed(mode=mode), reason=reason)


def test_an_exact_restore_removes_and_a_merge_keeps() -> None:
    point, live = [of_point(b"", FOLDER)], [of_live(b"", FOLDER), of_live(b"new")]
    assert decide(point, live, RestoreMode.EXACT) == [(b"", "RESTORE"), (b"new", "REMOVE")]
    assert decide(point, live, RestoreMode.MERGE) == [(b"", "RESTORE"), (b"new", "KEEP")]


def test_all_but_the_chosen_paths_stays() -> None:
    point = [of_point(b"", FOLDER), of_point(b"a"), of_point(b"b", FOLDER), of_point(b"b/c"), of_point(b"b/d")]
    live = [of_live(b"", FOLDER), of_live(b"a"), of_live(b"b/x")]
    assert decide(point, live, RestoreMode.EXACT, b"b/c") == [
        (b"", "KEEP"),
        (b"a", "KEEP"),
        (b"b", "RESTORE"),
        (b"b/c", "RESTORE"),
        (b"b/x", "KEEP"),
    ]


def test_what_the_point_left_out_stays() -> None:
    point = [of_point(b"", FOLDER), of_point(b"locked", FOLDER, "unreadable")]
    live = [of_live(b"", FOLDER), of_live(b"locked", FOLDER), of_live(b"locked/file"), of_live(b"locked2")]
    assert decide(point, live, RestoreMode.EXACT) == [
        (b"", "RESTORE"),
        (b"locked", "KEEP"),
        (b"locked/file", "KEEP"),
        (b"locked2", "REMOVE"),
    ]


@pytest.mark.parametrize("reason", ["nested_root", "other_filesystem"])
def test_what_cannot_be_moved_is_never_restored_over(reason: str) -> None:
    point, live = [of_point(b"", FOLDER), of_point(b"x", FOLDER)], [of_live(b"", FOLDER), of_live(b"x", FOLDER, reason)]
    assert decide(point, live, RestoreMode.EXACT) == [(b"", "RESTORE"), (b"x", "LOSE")]

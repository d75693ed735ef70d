"""Files are open before their turn, each is handed out once, and no descriptor is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.engine.entries import IndexEntry, pack_stat
from smartbackup_panel.engine.open_ahead import OpenAhead, Pair
from smartbackup_panel.engine.spool import Seen


def seen(root: Path, name: str) -> Seen:
    return Seen(os.fsencode(name), pack_stat(os.lstat(root / name)))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text(f"file {number}")
    return tmp_path


@pytest.fixture
def ahead(root: Path) -> Iterator[OpenAhead]:
    fd = os.open(root, os.O_RDONLY)
    ahead = OpenAhead(fd, lambda found, _before: not found.path.endswith(b"7.txt"))
    yield ahead
    ahead.close()
    os.close(fd)


def pairs(root: Path) -> list[Pair]:
    return [(seen(root, path.name), None) for path in sorted(root.iterdir())]


def test_each_wanted_file_is_there_when_its_pair_comes(root: Path, ahead: OpenAhead) -> None:
    before = descriptors()
    found: dict[bytes, bytes] = {}
    for row, _ in ahead.follow(pairs(root)):
        assert row is not None
        fd = ahead.take(row.path)
        assert ahead.take(row.path) is None
        assert (fd is None) == row.path.endswith(b"7.txt")
        if fd is not None:
            found[row.path] = os.read(fd, 100)
            os.close(fd)
    assert found == {b"%03d.txt" % n: b"file %d" % n for n in range(200) if n % 10 != 7}
    assert descriptors() == before


def test_what_nobody_takes_is_closed_and_only_so_many_are_open(root: Path, ahead: OpenAhead) -> None:
    before = descriptors()
    most = max(descriptors() - before for _ in ahead.follow(pairs(root)))
    assert 32 < most <= 70
    assert descriptors() == before


def test_large_files_are_not_opened_far_ahead(root: Path, ahead: OpenAhead) -> None:
    for number in range(200):
        os.truncate(root / f"{number:03}.txt", 1 << 30)
    before = descriptors()
    assert max(descriptors() - before for _ in ahead.follow(pairs(root))) < 20


def test_what_is_gone_or_a_link_by_now_is_not_open_and_all_others_are(root: Path, ahead: OpenAhead) -> None:
    rows: list[Pair] = [*pairs(root), (None, IndexEntry(b"gone before", b""))]
    (root / "003.txt").unlink()
    (root / "004.txt").unlink()
    (root / "004.txt").symlink_to("/etc/passwd")
    closed: list[bytes] = []
    for row, _ in ahead.follow(rows):
        if row is not None and (fd := ahead.take(row.path)) is not None:
            os.close(fd)
        elif row is not None:
            closed.append(row.path)
    assert closed[:3] == [b"003.txt", b"004.txt", b"007.txt"]
    assert len(closed) == 22


def test_a_walk_that_ends_early_leaves_nothing_open(root: Path, ahead: OpenAhead) -> None:
    before = descriptors()
    walk = ahead.follow(pairs(root))
    next(walk)
    assert descriptors() > before
    ahead.close()
    assert descriptors() == before

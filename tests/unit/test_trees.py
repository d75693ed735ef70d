"""The comparison that restores are judged by sees every difference that matters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.trees import differences, tree_of


def make(root: Path) -> Path:
    (root / "folder" / "empty").mkdir(parents=True)
    (root / "folder" / "a.txt").write_bytes(b"one")
    (root / "link").symlink_to("folder/a.txt")
    os.link(root / "folder" / "a.txt", root / "hard")
    for path in [*sorted(root.rglob("*"), reverse=True), root]:
        os.utime(path, ns=(1, 1_700_000_000_123_456_789), follow_symlinks=False)
    return root


def test_equal_trees_have_no_differences(tmp_path: Path) -> None:
    assert differences(tree_of(make(tmp_path / "a")), tree_of(make(tmp_path / "b"))) == []


def test_an_entry_holds_the_facts_themselves(tmp_path: Path) -> None:
    tree = tree_of(make(tmp_path / "a"))
    assert list(tree) == [b"", b"folder", b"folder/a.txt", b"folder/empty", b"hard", b"link"]
    hard = tree[b"hard"]
    assert (hard.kind, hard.size_bytes, hard.same_as) == ("file", 3, b"folder/a.txt")
    assert hard.content == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert hard.mtime_ns == 1_700_000_000_123_456_789
    assert (tree[b"link"].kind, tree[b"link"].content) == ("link", "folder/a.txt")
    assert list(tree_of(tmp_path / "a", without=(b"folder",))) == [b"", b"hard", b"link"]


def _replace(root: Path, name: str, content: bytes) -> None:
    times = os.lstat(root / name)
    (root / name).write_bytes(content)
    os.utime(root / name, ns=(times.st_atime_ns, times.st_mtime_ns))


def _retarget(root: Path) -> None:
    times = os.lstat(root / "link")
    (root / "link").unlink()
    (root / "link").symlink_to("folder/b.txt")
    os.utime(root / "link", ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)
    os.utime(root, ns=(1, 1_700_000_000_123_456_789))


def _copy_hard_link(root: Path) -> None:
    (root / "hard").unlink()
    (root / "hard").write_bytes(b"one")
    for name in ("hard", "."):
        os.utime(root / name, ns=(1, 1_700_000_000_123_456_789))


CHANGES: dict[str, Callable[[Path], object]] = {
    "same size, same time, other bytes": lambda root: _replace(root, "hard", b"two"),
    "one nanosecond": lambda root: os.utime(root / "hard", ns=(1, 1_700_000_000_123_456_790)),
    "a folder's time": lambda root: os.utime(root / "folder" / "empty", ns=(1, 2)),
    "a mode": lambda root: (root / "hard").chmod(0o600),
    "the root's mode": lambda root: root.chmod(0o700),
    "a link's target": _retarget,
    "a link's time": lambda root: os.utime(root / "link", ns=(1, 2), follow_symlinks=False),
    "a hard link that became a copy": _copy_hard_link,
    "a missing folder": lambda root: (root / "folder" / "empty").rmdir(),
    "a new file": lambda root: (root / "folder" / "empty" / "x").write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_difference_is_seen(change: Callable[[Path], object], tmp_path: Path) -> None:
    expected = tree_of(make(tmp_path / "a"))
    change(tmp_path / "a")
    assert differences(expected, tree_of(tmp_path / "a")) != []

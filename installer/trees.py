"""What a folder holds, down to the nanosecond, so that two folders can be compared exactly."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree: `content` is a file's sha256 or a link's text, `same_as` the first path of its hard links."""

    kind: str
    mode: int
    mtime_ns: int
    content: str = ""
    size_bytes: int = 0
    same_as: bytes | None = None
    owner: tuple[int, int] | None = None


def tree_of(
    root: str | os.PathLike[str], *, owners: bool = False, without: tuple[bytes, ...] = ()
) -> dict[bytes, Entry]:
    """Return every path below `root` (relative, as bytes; the root itself is b"") with what it is.

    Paths in `without` and what lies below them are left out. OSError when something cannot be read.
    """
    top = os.fsencode(root)
    first_of_inode: dict[tuple[int, int], bytes] = {}
    return {
        path: _entry(os.path.join(top, path) if path else top, path, first_of_inode, owners)
        for path in _paths(top, b"", without)
    }


def differences(expected: dict[bytes, Entry], found: dict[bytes, Entry]) -> list[str]:
    """Return one sentence for each path that is not the same in both trees, in path order."""
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        name = os.fsdecode(path) or "(the folder itself)"
        if path not in found:
            lines.append(f"{name!r} is missing")
        elif path not in expected:
            lines.append(f"{name!r} should not be there")
        elif expected[path] != found[path]:
            lines.append(f"{name!r} differs: expected {expected[path]}, found {found[path]}")
    return lines


def _paths(top: bytes, path: bytes, without: tuple[bytes, ...]) -> Iterator[bytes]:
    yield path
    with os.scandir(os.path.join(top, path) if path else top) as children:
        entries = sorted(children, key=lambda child: child.name)
    for child in entries:
        below = os.path.join(path, child.name) if path else child.name
        if below in without:
            continue
        if child.is_dir(follow_symlinks=False):
            yield from _paths(top, below, without)
        else:
            yield below


def _entry(full: bytes, path: bytes, first_of_inode: dict[tuple[int, int], bytes], owners: bool) -> Entry:
    about = os.lstat(full)
    kind = _KINDS[stat.S_IFMT(about.st_mode)]
    content, size_bytes, same_as = "", 0, None
    if kind == "file":
        content, size_bytes = _sha256(full), about.st_size
        first = first_of_inode.setdefault((about.st_dev, about.st_ino), path)
        same_as = first if first != path else None
    elif kind == "link":
        content = os.fsdecode(os.readlink(full))
    return Entry(
        kind,
        stat.S_IMODE(about.st_mode),
        about.st_mtime_ns,
        content,
        size_bytes,
        same_as,
        (about.st_uid, about.st_gid) if owners else None,
    )


def _sha256(full: bytes) -> str:
    with open(full, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

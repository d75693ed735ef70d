"""Points that this product would never write, though their signatures are right: the indexed half of the hostile corpus."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from smartbackup_panel.engine.entries import IndexEntry
from smartbackup_panel.engine.layout import MAX_FRAME_BYTES, ArchiveRow
from tests.unit.engine.forge import NAME, file, folder, forge, link, pack

CONTENT = b"content"
REGULAR = stat.S_IFREG | 0o644

BAD_PATHS = [
    b"/etc/passwd",
    b"..",
    b"../up",
    b"a/../../up",
    b"a/..",
    b"./a",
    b"a//b",
    b"a/",
    b"/",
    b"nul\0byte",
    b"n" * 256,
    b"/".join([b"d"] * 4_001),
    b"/".join([b"d" * 200] * 1_400),
]

BAD_ENTRIES = [
    file(b"a", CONTENT, archive=1),
    file(b"a", CONTENT, archive=-1),
    file(b"a", CONTENT, member=7),
    file(b"a", CONTENT, frame=1),
    file(b"a", CONTENT, frame=-1),
    file(b"a", CONTENT, offset=-1),
    file(b"a", CONTENT, offset=1 << 32),
    IndexEntry(b"a", pack(REGULAR, -1), bytes(32)),
    IndexEntry(b"a", pack(REGULAR, (1 << 62) + 1), bytes(32)),
    IndexEntry(b"a", pack(REGULAR, 7), b"short"),
    IndexEntry(b"a", b"short stat", bytes(32)),
    IndexEntry(b"a", pack(stat.S_IFCHR | 0o666)),
    IndexEntry(b"a", pack(stat.S_IFIFO | 0o666)),
    IndexEntry(b"a", pack(stat.S_IFSOCK | 0o666)),
    IndexEntry(b"a", pack(0), reason="a reason of somebody else"),
    link(b"a", b""),
    link(b"a", b"x" * 4_096),
    link(b"a", b"nul\0byte"),
    IndexEntry(b"a", pack(stat.S_IFDIR | 0o755), link=b"elsewhere"),
    IndexEntry(b"a", pack(stat.S_IFDIR | 0o755), sha256=bytes(32)),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), link=b"../outside"),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), link=b"b-comes-later"),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), link=b"a"),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), segments=[(0, 8)]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), segments=[(-1, 3)]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), segments=[(0, 0)]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), segments=[(4, 2), (0, 2)]),
    IndexEntry(b"a", pack(REGULAR, 99_999), bytes(32), segments=[(2 * n, 1) for n in range(8_193)]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), xattrs=[(b"user.a=b", b"x")]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), xattrs=[(b"user.x", b"x" * 65_537)]),
    IndexEntry(b"a", pack(REGULAR, 7), bytes(32), xattrs=[(b"user.%d" % n, b"") for n in range(513)]),
]

BAD_TREES: dict[str, list[IndexEntry]] = {
    "out of order": [folder(), file(b"b", CONTENT), file(b"a", CONTENT)],
    "twice": [folder(), file(b"a", CONTENT), file(b"a", CONTENT)],
    "below a link": [folder(), link(b"a", b"../outside"), file(b"a/passwd", CONTENT)],
    "below a file": [folder(), file(b"a", CONTENT), file(b"a/below", CONTENT)],
    "without its folder": [folder(), file(b"a/below", CONTENT)],
    "without the root": [file(b"a", CONTENT)],
    "root is a file": [IndexEntry(b"", pack(REGULAR, 7), hashlib.sha256(CONTENT).digest())],
    "root is a link": [link(b"", b"/etc"), file(b"passwd", CONTENT)],
}

BAD_FORMATS: list[list[object]] = [[[b"a"]], ["text"], [{"path": b"a"}], [[1, 2, 3]], [[b"a", b"", b"", "x"]]]

BAD_ARCHIVE_ROWS = [
    ArchiveRow("../outside.tar.gz", bytes(32), 1),
    ArchiveRow("/etc/passwd", bytes(32), 1),
    ArchiveRow("x", b"short", 1),
    ArchiveRow("", bytes(32), 1),
]


def forged_points() -> dict[str, Callable[[Path], None]]:
    """Return by name a function that writes such a point into a folder."""
    points: dict[str, Callable[[Path], None]] = {}
    for number, path in enumerate(BAD_PATHS):
        points[f"path {number}"] = partial(_write, [folder(), file(path, CONTENT)])
    for number, entry in enumerate(BAD_ENTRIES):
        points[f"entry {number}"] = partial(_write, [folder(), entry])
    for name, entries in BAD_TREES.items():
        points[f"tree: {name}"] = partial(_write, entries)
    for number, strange in enumerate(BAD_FORMATS):
        points[f"format {number}"] = partial(_write, strange)
    for number, row in enumerate(BAD_ARCHIVE_ROWS):
        points[f"archive {number}"] = partial(_write, [folder()], earlier=[row])
    points["frame that inflates further"] = partial(
        _write, [folder(), file(b"a", CONTENT)], frames=[bytes(16 * MAX_FRAME_BYTES)], plain_sizes=[len(CONTENT)]
    )
    points["file longer than all frames"] = partial(
        _write, [folder(), IndexEntry(b"a", pack(REGULAR, 1 << 40), bytes(32))]
    )
    points["other content than its checksum"] = partial(_write, [folder(), file(b"a", b"ConTent")])
    points["cut in its middle"] = _cut
    return points


def _write(
    entries: Sequence[object],
    place: Path,
    *,
    frames: Sequence[bytes] = (CONTENT,),
    plain_sizes: Sequence[int] | None = None,
    earlier: Sequence[ArchiveRow] = (),
) -> None:
    os.close(forge(place, entries, frames, plain_sizes=plain_sizes, earlier=earlier))


def _cut(place: Path) -> None:
    _write([folder(), file(b"a", CONTENT)], place)
    whole = (place / NAME).read_bytes()
    (place / NAME).write_bytes(whole[: len(whole) // 2])

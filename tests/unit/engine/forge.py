"""Archives that this product would never write, signed with its key: what a reader must refuse."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink, Totals
from smartbackup_panel.engine.codecs import get_codec, squeeze
from smartbackup_panel.engine.entries import STAT, IndexEntry
from smartbackup_panel.engine.layout import ArchiveRow, ContentKind

KEY = b"a key that only the worker holds"
NAME = "backup_20261101_030000.tar.gz"


def pack(
    mode: int, size: int = 0, mtime_ns: int = 1_000_000_000, inode: int = 1, nlink: int = 1, uid: int = 0
) -> bytes:
    """Return a packed stat."""
    return STAT.pack(mode, uid, uid, nlink, size, mtime_ns, mtime_ns, 1, inode)


def folder(path: bytes = b"") -> IndexEntry:
    return IndexEntry(path, pack(stat.S_IFDIR | 0o755))


def file(
    path: bytes, content: bytes, *, archive: int = 0, frame: int = 0, offset: int = 0, member: int = 0
) -> IndexEntry:
    """Return a file's entry; its place is the beginning of the first frame unless told."""
    facts = pack(stat.S_IFREG | 0o644, len(content))
    return IndexEntry(path, facts, hashlib.sha256(content).digest(), archive, frame, offset, member)


def link(path: bytes, target: bytes) -> IndexEntry:
    return IndexEntry(path, pack(stat.S_IFLNK | 0o777), link=target)


def forge(
    place: Path,
    entries: Sequence[object],
    frames: Sequence[bytes] = (b"content",),
    *,
    blocks: int = 1,
    plain_sizes: Sequence[int] | None = None,
    earlier: Sequence[ArchiveRow] = (),
    totals: tuple[int, int, int, int] | None = None,
) -> int:
    """Write an archive with exactly these entries and frames; return a descriptor of its folder."""
    fd = os.open(place, os.O_RDONLY)
    sink = ArchiveSink.create(fd, NAME, codec=Codec.GZIP, key=KEY)
    codec = get_codec(Codec.GZIP)
    for number, plain in enumerate(frames):
        packed = codec.pack(plain, 6)
        size = len(plain) if plain_sizes is None else plain_sizes[number]
        sink.add_frame(packed, size, hashlib.sha256(packed).digest())
    step = -(-len(entries) // blocks)
    for start in range(0, len(entries), step):
        part = entries[start : start + step]
        plain = msgspec.msgpack.encode(part)
        first = part[0]
        path = first.path if isinstance(first, IndexEntry) else b""
        sink.add_block(path, squeeze(plain), len(plain), len(part))
    entry_count, file_count, original_bytes, skipped_count = totals or (len(entries), 1, 7, 0)
    sums = Totals(
        ContentKind.FULL, bytes(16), 0, 0, entry_count, file_count, original_bytes, original_bytes, skipped_count
    )
    sink.finish(sums, list(earlier))
    sink.publish()
    return fd


def open_forged(
    place: Path,
    entries: Sequence[object],
    frames: Sequence[bytes] = (b"content",),
    *,
    blocks: int = 1,
    plain_sizes: Sequence[int] | None = None,
    earlier: Sequence[ArchiveRow] = (),
    totals: tuple[int, int, int, int] | None = None,
) -> ArchiveSet:
    """Write such an archive and open it."""
    fd = forge(place, entries, frames, blocks=blocks, plain_sizes=plain_sizes, earlier=earlier, totals=totals)
    try:
        return ArchiveSet.open(fd, NAME, KEY)
    finally:
        os.close(fd)

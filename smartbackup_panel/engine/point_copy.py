"""A point that builds on others is written again as a full one, out of the archives alone; the site is not touched."""

from __future__ import annotations

import stat
import time

import msgspec

from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.tree import Changes, EntryType, NameList, SkipReason, WriteOptions
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_writer import ArchiveEvents, Written
from smartbackup_panel.engine.entries import STAT, UNSTABLE, IndexEntry, data_size, entry_type
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.index_writer import IndexWriter
from smartbackup_panel.engine.lists import NameCollector, SkippedCollector
from smartbackup_panel.engine.synthetic import Synthesis
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE

_TOLD_EVERY_SECONDS = 0.25


class PointCopy:
    """Writes all that a point lists as a full one of the same content: frames are copied where they can be."""

    def __init__(self, point: ArchiveSet, options: WriteOptions, events: ArchiveEvents) -> None:
        self._point = point
        self._events = events
        self._packer = FramePacker(options.codec, options.level, options.threads, events.frame, events.copy_frame)
        self._synthesis = Synthesis(point, self._packer, options.codec, self._take)
        self._index = IndexWriter(events.block)
        self._skipped = SkippedCollector()
        self._unstable = NameCollector()
        self._firsts: dict[bytes, IndexEntry] = {}
        self._entry_count = self._file_count = self._original_bytes = self._stored_bytes = 0
        self._told_at = 0.0

    def write(self) -> Written:
        """Write all members and the index. Raises ArchiveDamaged, ArchiveRefused, ArchiveMissing."""
        try:
            for entry in self._point.index():
                if entry.reason:
                    self._skip(entry)
                else:
                    self._synthesis.offer(entry)
            self._synthesis.flush()
            self._packer.end_frame()
            self._packer.add_plain(END_OF_ARCHIVE)
            self._packer.drain()
            self._index.flush()
        finally:
            self._packer.close()
        facts = self._point.facts
        made = (self._entry_count, self._file_count, self._original_bytes)
        if made != (facts.entry_count, facts.file_count, facts.original_bytes):
            raise ArchiveDamaged(f"the index of {self._point.name} does not add up to its footer")
        return Written(
            entry_count=self._entry_count,
            file_count=self._file_count,
            original_bytes=self._original_bytes,
            stored_bytes=self._stored_bytes,
            changes=Changes(),
            skipped=self._skipped.result(),
            unstable=self._unstable.result(),
            silent=NameList(),
        )

    def _skip(self, entry: IndexEntry) -> None:
        self._synthesis.flush()
        self._skipped.add(entry.path, SkipReason(entry.reason), entry.detail)
        self._index.add(entry)

    def _take(self, entry: IndexEntry) -> None:
        """Add an entry that a synthesis has placed; of a hard link its first path tells the place."""
        kind = entry_type(entry)
        if kind is EntryType.HARDLINK:
            first = self._firsts[entry.link]
            entry = msgspec.structs.replace(entry, archive=0, frame=first.frame, offset=first.offset)
        elif kind is EntryType.FILE:
            self._stored_bytes += data_size(entry)
            if STAT.unpack(entry.stat)[3] > 1:
                self._firsts[entry.path] = entry
        if entry.flags & UNSTABLE:
            self._unstable.add(entry.path)
        self._index.add(entry)
        self._count(entry)

    def _count(self, entry: IndexEntry) -> None:
        self._entry_count += 1
        mode, _, _, _, size, *_ = STAT.unpack(entry.stat)
        if stat.S_ISREG(mode):
            self._file_count += 1
            self._original_bytes += 0 if entry.link else size
        now = time.monotonic()
        if now - self._told_at >= _TOLD_EVERY_SECONDS:
            self._told_at = now
            self._events.advanced(self._file_count, self._original_bytes)


def find_difference(one: ArchiveSet, other: ArchiveSet) -> bytes | None:
    """Return the first path at which two points differ in anything but the places of bytes, or None."""
    lists = one.index(), other.index()
    while True:
        mine, theirs = (next(entries, None) for entries in lists)
        if mine is None or theirs is None:
            return None if mine is theirs else (mine or theirs or IndexEntry(b"", b"")).path
        if _without_place(mine) != _without_place(theirs):
            return mine.path


def _without_place(entry: IndexEntry) -> IndexEntry:
    return msgspec.structs.replace(entry, archive=0, frame=0, offset=0, member=0)

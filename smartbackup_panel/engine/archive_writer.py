"""Writing a point: a merge of the scan with the earlier point, member by member, into frames and index blocks."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from smartbackup_panel.core.tree import Changes, NameList, PointKind, SkippedList, SkipReason, WriteOptions
from smartbackup_panel.engine.applications.sqlite_copy import is_sqlite
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.changes import (
    ChangesCollector,
    is_folder,
    is_left_out_alike,
    is_settled,
    looks_unchanged,
    merge,
)
from smartbackup_panel.engine.content import READ_BYTES, group_name, read_xattrs, user_name
from smartbackup_panel.engine.entries import SQLITE, STAT, UNSTABLE, IndexEntry, data_size
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.fsafe import DirectoryCursor, closing
from smartbackup_panel.engine.index_writer import IndexWriter
from smartbackup_panel.engine.lists import NameCollector, SkippedCollector
from smartbackup_panel.engine.member_reader import ATTEMPTS, Member, MemberReader, NotRead, is_equal_content
from smartbackup_panel.engine.new_names import Stored, file_key
from smartbackup_panel.engine.open_ahead import OpenAhead
from smartbackup_panel.engine.scan import Identity, LinkCounts, ScanCounts, ScanRules
from smartbackup_panel.engine.spool import Seen
from smartbackup_panel.engine.sqlite_files import has_log, is_beside, is_database, open_copy
from smartbackup_panel.engine.synthetic import Synthesis
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE, padding, tar_headers

_PROGRESS_SECONDS = 0.25


class ArchiveEvents(Protocol):
    """Where finished parts of an archive go (the worker)."""

    def frame(self, packed: bytes, plain_bytes: int, sha256: bytes) -> None:
        """Take the next frame."""

    def copy_frame(self, archive: int, frame: int) -> None:
        """Take over a frame of the earlier point's archives as the next one."""

    def mark(self) -> None:
        """Remember this place."""

    def rollback(self) -> None:
        """Forget the frames since the mark."""

    def block(self, first_path: bytes, packed: bytes, plain_bytes: int, entry_count: int) -> None:
        """Take the next index block."""

    def advanced(self, files: int, size_bytes: int) -> None:
        """Hear how far it is."""


class Written(msgspec.Struct, frozen=True):
    """What a finished write says of itself. `is_unchanged`: its list of paths is the earlier point's to the last bit."""

    entry_count: int
    file_count: int
    original_bytes: int
    stored_bytes: int
    changes: Changes
    skipped: SkippedList
    unstable: NameList
    silent: NameList
    is_unchanged: bool = False


@dataclass(slots=True)
class _Group:
    """Hard links to one file: the entry that holds the content, and how many links are still to come."""

    entry: IndexEntry
    missing: int


class PointWriter:
    """Writes one point. `own_number` is its place in the archive table, `young_from_ns` see changes.is_settled.

    With `copied`, the earlier point, a full one takes over the frames and the content of what looks unchanged.
    `stored` are earlier entries of files that may have another name now, `listing` is the archive that lists the point
    an increment builds on.
    """

    def __init__(
        self,
        root_fd: int,
        rules: ScanRules,
        links: LinkCounts,
        options: WriteOptions,
        events: ArchiveEvents,
        own_number: int,
        young_from_ns: int,
        copied: ArchiveSet | None = None,
        stored: Stored | None = None,
        listing: ArchiveFile | None = None,
    ) -> None:
        self._stored = stored or {}
        self._rules = rules
        self._links = links
        self._options = options
        self._events = events
        self._own_number = own_number
        self._young_from_ns = young_from_ns
        self._cursor = DirectoryCursor(root_fd)
        self._ahead = OpenAhead(root_fd, self._will_be_read)
        self._reader = MemberReader(rules, links)
        self._packer = FramePacker(
            options.codec, options.level, options.threads, events.frame, events.copy_frame, events.mark
        )
        self._synthesis = None if copied is None else Synthesis(copied, self._packer, options.codec, self._take_over)
        self._may_take_over = options.kind is not PointKind.FULL or copied is not None
        self._index = IndexWriter(events.block, listing)
        self._changes = ChangesCollector()
        self._skipped = SkippedCollector()
        self._unstable = NameCollector()
        self._silent = NameCollector()
        self._groups: dict[Identity, _Group] = {}
        self._is_unchanged = options.kind is not PointKind.FULL
        self._databases: set[bytes] = set()
        self._entry_count = self._file_count = self._original_bytes = self._stored_bytes = 0
        self._told_at = 0.0

    def write(self, scanned: Iterable[Seen], earlier: Iterable[IndexEntry]) -> Written:
        """Write all members and the index. Raises OSError only for what is not the tenant's doing."""
        try:
            for seen, before in self._ahead.follow(merge(scanned, earlier)):
                if seen is not None:
                    self._write_path(seen, before)
                elif before is not None:
                    self._is_unchanged = False
                    self._changes.note_removed(before)
            self._finish_copies()
            self._packer.end_frame()
            self._packer.add_plain(END_OF_ARCHIVE)
            self._packer.drain()
            self._index.flush()
        finally:
            self._packer.close()
            self._ahead.close()
            self._cursor.close()
        return Written(
            entry_count=self._entry_count,
            file_count=self._file_count,
            original_bytes=self._original_bytes,
            stored_bytes=self._stored_bytes,
            changes=self._changes.result(),
            skipped=self._skipped.result(),
            unstable=self._unstable.result(),
            silent=self._silent.result(),
            is_unchanged=self._is_unchanged,
        )

    def _write_path(self, seen: Seen, before: IndexEntry | None) -> None:
        if self._databases and is_beside(seen.path, self._databases):
            self._is_unchanged = self._is_unchanged and before is None
            return
        if before is not None and not seen.reason and self._may_carry(seen, before):
            self._carry(before)
            return
        self._finish_copies()
        if seen.reason:
            self._skip(seen, before)
        else:
            try:
                self._write_member(seen, before)
            except NotRead as problem:
                left_out = msgspec.structs.replace(seen, reason=problem.reason.value, detail=problem.detail)
                self._skip(left_out, before)
        self._tell()

    def _finish_copies(self) -> None:
        if self._synthesis is not None:
            self._synthesis.flush()

    def _may_carry(self, seen: Seen, before: IndexEntry) -> bool:
        """Whether the earlier entry is this path's entry too, so that nothing has to be read."""
        if not self._may_take_over or not looks_unchanged(seen, before):
            return False
        mode, uid, _, nlink, _, _, _, device, inode = STAT.unpack(seen.stat)
        if not stat.S_ISREG(mode):
            return True
        if self._options.read_again or not is_settled(before, self._young_from_ns):
            return False
        if before.flags & SQLITE and has_log(self._cursor, seen.path):
            return False
        if nlink == 1:
            return True
        group = self._groups.get((device, inode))
        leads_out = self._links.lead_out(uid, nlink, (device, inode))
        return before.link == (group.entry.path if group else b"") and not leads_out

    def _will_be_read(self, seen: Seen, before: IndexEntry | None) -> bool:
        """Whether a path is a file that is most likely to be read; what `_may_carry` decides needs all before it done."""
        if (
            before is not None
            and self._may_take_over
            and looks_unchanged(seen, before)
            and not self._options.read_again
        ):
            return False
        return not seen.reason and stat.S_ISREG(int.from_bytes(seen.stat[:4], "little"))

    def _carry(self, before: IndexEntry) -> None:
        if before.flags & SQLITE:
            self._databases.add(before.path)
        if self._synthesis is not None:
            self._synthesis.offer(before)
        else:
            self._add(before, before)

    def _take_over(self, entry: IndexEntry) -> None:
        """Add an entry that a synthesis has placed; of a hard link its first path tells the place."""
        if entry.link and entry.sha256:
            *_, device, inode = STAT.unpack(entry.stat)
            first = self._groups[(device, inode)].entry
            entry = msgspec.structs.replace(entry, archive=0, frame=first.frame, offset=first.offset)
        elif entry.sha256:
            self._stored_bytes += data_size(entry)
        self._add(entry, None)

    def _write_member(self, seen: Seen, before: IndexEntry | None) -> None:
        """Store what is at the path now. Raises NotRead with the reason why it is left out."""
        mode = int.from_bytes(seen.stat[:4], "little")
        if stat.S_ISLNK(mode):
            entry = self._place_plain(self._describe(seen.path, seen.stat, link=seen.link))
        elif stat.S_ISDIR(mode):
            with closing(self._reader.open(self._cursor, seen.path, os.O_RDONLY | os.O_DIRECTORY)) as fd:
                entry = self._describe(seen.path, self._rules.pack(os.fstat(fd)), xattrs=read_xattrs(fd))
            entry = self._place_plain(entry)
        else:
            entry = self._write_file(seen, before)
        self._note(entry, before)
        self._is_unchanged = self._is_unchanged and entry == before
        self._add(entry, before)

    def _describe(
        self, path: bytes, packed: bytes, link: bytes = b"", xattrs: list[tuple[bytes, bytes]] | None = None
    ) -> IndexEntry:
        _, uid, gid, *_ = STAT.unpack(packed)
        return IndexEntry(
            path=path,
            stat=packed,
            archive=self._own_number,
            member=self._own_number,
            user=user_name(uid),
            group=group_name(gid),
            link=link,
            xattrs=xattrs,
        )

    def _place_plain(self, entry: IndexEntry) -> IndexEntry:
        """Write the header of a member without content; such entries have no place."""
        self._packer.add_plain(tar_headers(entry))
        return entry

    def _write_file(self, seen: Seen, before: IndexEntry | None) -> IndexEntry:
        *_, device, inode = STAT.unpack(seen.stat)
        group = self._groups.get((device, inode))
        if group is not None and group.entry.stat == seen.stat:
            return self._write_link(seen, group.entry, before)
        before = self._stored.get(file_key(seen.stat), before)
        fd = self._ahead.take(seen.path)
        with closing(self._reader.open(self._cursor, seen.path, os.O_RDONLY) if fd is None else fd) as fd:
            member = self._reader.look(fd)
            if is_sqlite(member.content) if member.content is not None else is_database(fd):
                return self._write_database(seen.path, fd, member, before)
            return self._write_content(seen.path, fd, member, before)

    def _write_database(self, path: bytes, fd: int, member: Member, before: IndexEntry | None) -> IndexEntry:
        """Store a copy of one moment; the file as it is where SQLite gives none, flagged where it has a log."""
        copy = open_copy(self._cursor, path)
        if copy is None:
            entry = self._write_content(path, fd, member, before)
            flags = UNSTABLE if has_log(self._cursor, path) else 0
            return msgspec.structs.replace(entry, flags=entry.flags | flags)
        self._databases.add(path)
        with closing(copy) as copy_fd, self._reader.standing_in(copy_fd, fd):
            return self._write_content(path, copy_fd, self._reader.look(copy_fd), before)

    def _write_link(self, seen: Seen, first: IndexEntry, before: IndexEntry | None) -> IndexEntry:
        """Link to the file's first path; where no archive has that path, an earlier header of this one stays."""
        entry = msgspec.structs.replace(first, path=seen.path, link=first.path, member=self._own_number)
        if first.member != self._own_number and before is not None and is_equal_content(first, before):
            return msgspec.structs.replace(entry, member=before.member)
        self._packer.add_plain(tar_headers(entry))
        return entry

    def _write_content(self, path: bytes, fd: int, member: Member, before: IndexEntry | None) -> IndexEntry:
        if member.content is None:
            return self._write_large(path, fd, member, before)
        entry = self._describe_file(path, member, hashlib.sha256(member.content).digest())
        if self._is_kept(entry, before):
            return self._keep_place(entry, before)
        frame, offset = self._packer.add_small(tar_headers(entry), member.content, padding(len(member.content)))
        self._stored_bytes += len(member.content)
        return msgspec.structs.replace(entry, frame=frame, offset=offset)

    def _describe_file(self, path: bytes, member: Member, sha256: bytes) -> IndexEntry:
        entry = self._describe(path, self._reader.facts(member), xattrs=member.xattrs)
        flags = (0 if member.is_stable else UNSTABLE) | (0 if member.original is None else SQLITE)
        return msgspec.structs.replace(entry, sha256=sha256, segments=member.segments, flags=flags)

    def _is_kept(self, entry: IndexEntry, before: IndexEntry | None) -> bool:
        return (
            self._options.kind is not PointKind.FULL
            and before is not None
            and not before.reason
            and is_equal_content(entry, before)
        )

    @staticmethod
    def _keep_place(entry: IndexEntry, before: IndexEntry | None) -> IndexEntry:
        """Return today's facts with the place of the equal content that an earlier archive has."""
        assert before is not None
        return msgspec.structs.replace(
            entry, archive=before.archive, frame=before.frame, offset=before.offset, member=before.archive
        )

    def _write_large(self, path: bytes, fd: int, member: Member, before: IndexEntry | None) -> IndexEntry:
        """Stream a large file; a change while it is read takes the archive back to the file's beginning."""
        if (
            self._options.kind is not PointKind.FULL
            and before is not None
            and before.sha256
            and data_size(before) == member.data_bytes
        ):
            entry = self._describe_file(path, member, self._reader.checksum(fd, member))
            if self._is_kept(entry, before) and self._reader.is_still(fd, member):
                return self._keep_place(entry, before)
        self._packer.mark()
        first_frame = self._packer.place[0]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                entry = self._stream(path, fd, member)
                if self._reader.is_still(fd, member):
                    self._stored_bytes += member.data_bytes
                    return entry
                if attempt == ATTEMPTS:
                    break
                self._take_back(first_frame)
                member = self._reader.look_large(fd)
            except NotRead:
                self._take_back(first_frame)
                raise
        self._stored_bytes += member.data_bytes
        return msgspec.structs.replace(entry, flags=entry.flags | UNSTABLE)

    def _take_back(self, first_frame: int) -> None:
        self._packer.drain()
        self._events.rollback()
        self._packer.go_back(first_frame)

    def _stream(self, path: bytes, fd: int, member: Member) -> IndexEntry:
        entry = self._describe_file(path, member, b"")
        frame, offset = self._packer.begin_large(tar_headers(entry))
        digest = hashlib.sha256()
        for piece in self._reader.pieces(fd, member, READ_BYTES):
            digest.update(piece)
            self._packer.add_large(piece)
            self._tell()
        self._packer.end_large(padding(member.data_bytes))
        return msgspec.structs.replace(entry, sha256=digest.digest(), frame=frame, offset=offset)

    def _register(self, entry: IndexEntry, nlink: int, identity: Identity) -> None:
        """Remember the first of several links, and forget it with its last."""
        group = self._groups.setdefault(identity, _Group(entry, nlink))
        group.missing -= 1
        if group.missing <= 0:
            del self._groups[identity]

    def _note(self, entry: IndexEntry, before: IndexEntry | None) -> None:
        if before is None or before.reason:
            self._changes.note_added(entry.path, entry.stat)
        elif is_visibly_changed(entry, before):
            self._changes.note_changed(entry.path, entry.stat)
        if entry.flags & UNSTABLE:
            self._unstable.add(entry.path)
        elif before is not None and self._is_silent(entry, before):
            self._silent.add(entry.path)

    def _is_silent(self, entry: IndexEntry, before: IndexEntry) -> bool:
        """Whether a file has other content while every fact says that nobody changed it."""
        is_same = entry.stat == before.stat and is_settled(before, self._young_from_ns)
        return is_same and bool(before.sha256) and entry.sha256 != before.sha256

    def _list(self, entry: IndexEntry, before: IndexEntry | None) -> None:
        if entry == before:
            self._index.carry(entry)
        else:
            self._index.add(entry)

    def _add(self, entry: IndexEntry, before: IndexEntry | None) -> None:
        self._list(entry, before)
        self._entry_count += 1
        mode, _, _, nlink, size, _, _, device, inode = STAT.unpack(entry.stat)
        if stat.S_ISREG(mode):
            self._file_count += 1
            self._original_bytes += 0 if entry.link else size
            if nlink > 1:
                self._register(entry, nlink, (device, inode))

    def _skip(self, seen: Seen, before: IndexEntry | None) -> None:
        self._is_unchanged = self._is_unchanged and before is not None and is_left_out_alike(seen, before)
        self._skipped.add(seen.path, SkipReason(seen.reason), seen.detail)
        self._list(IndexEntry(path=seen.path, stat=seen.stat, reason=seen.reason, detail=seen.detail), before)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._events.advanced(self._file_count, self._original_bytes)


def write_unchanged(options: WriteOptions, events: ArchiveEvents, earlier: ArchiveSet, counts: ScanCounts) -> Written:
    """Write a point that a scan proved to equal `earlier`: the end of a tar stream, and no list of its own."""
    packer = FramePacker(options.codec, options.level, 1, events.frame)
    try:
        packer.add_plain(END_OF_ARCHIVE)
        packer.drain()
    finally:
        packer.close()
    return Written(
        entry_count=earlier.facts.entry_count,
        file_count=earlier.facts.file_count,
        original_bytes=earlier.facts.original_bytes,
        stored_bytes=0,
        changes=Changes(),
        skipped=counts.skipped.result(),
        unstable=NameList(),
        silent=NameList(),
        is_unchanged=True,
    )


def is_visibly_changed(entry: IndexEntry, before: IndexEntry) -> bool:
    """Whether a customer would call the path changed: content, type, mode, owner, time or link differ."""
    mine, theirs = STAT.unpack(entry.stat), STAT.unpack(before.stat)
    if is_folder(entry.stat) and is_folder(before.stat):
        return False
    same_facts = mine[:3] == theirs[:3] and mine[4:6] == theirs[4:6]
    return not same_facts or entry.sha256 != before.sha256 or entry.link != before.link

"""Reading a point: its complete list of paths, and the content of any of them out of the archives that it needs."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, UnknownPath
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import Entry, EntryType, PointFacts
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.entries import (
    STAT,
    IndexEntry,
    data_size,
    entry_type,
    refuse_bad_entry,
    sort_key,
    to_entry,
)
from smartbackup_panel.engine.layout import ArchiveRow
from smartbackup_panel.engine.read_ahead import ReadAhead

_KEPT_FRAMES = 8
_SEEK_AFTER = 500
_MEMORY_BYTES = 32 * 1024 * 1024
_ZEROS = bytes(1 << 20)


class ArchiveSet:
    """A point: its own archive and the earlier ones it needs, opened when they are needed."""

    def __init__(self, own: ArchiveFile, folder_fd: int | None, key: bytes | None) -> None:
        """Use `open` or `from_fds`."""
        self.own = own
        self.rows: list[ArchiveRow] = own.read_archives()
        self._key = key
        self._folder_fd = None if folder_fd is None else os.dup(folder_fd)
        self._files: dict[int, ArchiveFile] = {len(self.rows) - 1: own}
        self._frame_counts = [row.frame_count for row in self.rows]
        self._listing: ArchiveFile | None = None
        self._frames: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._ahead: ReadAhead | None = None

    @classmethod
    def open(cls, folder_fd: int, name: str, key: bytes | None) -> ArchiveSet:
        """Open the point of archive `name` in a folder of the store, checking signatures under `key`.

        Raises ArchiveMissing, ArchiveDamaged, ArchiveRefused (as every method here).
        """
        own = ArchiveFile.open(folder_fd, name, key)
        with on_failure(own.close):
            if own.read_archives()[-1].name != name:
                raise ArchiveRefused(f"{name} was written under another name")
            return cls(own, folder_fd, key)

    @classmethod
    def from_fds(cls, names: list[str], fds: list[int]) -> ArchiveSet:
        """Take over the descriptors of all archives of a point, its own last.

        A name of "" stands for an archive that cannot be read; it has no descriptor, and what lies in it is missing.
        """
        point = cls(ArchiveFile(fds[-1], names[-1]), None, None)
        given = [(number, name) for number, name in enumerate(names) if name]
        if len(names) != len(point.rows) or len(fds) != len(given):
            raise ArchiveRefused(f"{names[-1]} needs {len(point.rows)} archives, {len(fds)} were given")
        for (number, name), fd in zip(given[:-1], fds[:-1], strict=True):
            point._keep(number, ArchiveFile(fd, name))
        return point

    def __enter__(self) -> ArchiveSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        if self._folder_fd is not None:
            os.close(self._folder_fd)
            self._folder_fd = None

    @property
    def name(self) -> str:
        """The file name of the point's own archive."""
        return self.own.name

    @property
    def facts(self) -> PointFacts:
        """What the point's footer says."""
        return self.own.facts

    def file(self, number: int) -> ArchiveFile:
        """Return the archive with this number of the table. Raises ArchiveMissing, ArchiveDamaged (another one)."""
        if number not in self._files:
            if self._folder_fd is None or not 0 <= number < len(self.rows):
                raise ArchiveMissing(f"{self.name} needs an archive that cannot be read")
            self._keep(number, ArchiveFile.open(self._folder_fd, self.rows[number].name, self._key))
        return self._files[number]

    def _keep(self, number: int, file: ArchiveFile) -> None:
        row = self.rows[number]
        if file.footer.root_digest != row.root_digest or file.footer.frame_count != row.frame_count:
            file.close()
            raise ArchiveDamaged(f"{file.name} is not the archive that {self.name} was built on")
        self._files[number] = file

    def open_all(self) -> list[ArchiveFile]:
        """Open every archive that the point needs and return them in the table's order."""
        return [self.file(number) for number in range(len(self.rows))]

    def open_readable(self) -> list[ArchiveFile | None]:
        """Open every archive that the point needs; None stands for one that is missing, damaged or another one."""
        found: list[ArchiveFile | None] = []
        for number in range(len(self.rows)):
            try:
                found.append(self.file(number))
            except (ArchiveDamaged, ArchiveMissing, ArchiveRefused):
                found.append(None)
        return found

    @property
    def listing(self) -> ArchiveFile:
        """The archive whose index lists this point: its own, or where nothing had changed that of the point before."""
        if self._listing is None:
            number = len(self.rows) - 1
            while number > 0 and not self.file(number).footer.has_list:
                number -= 1
            self._listing = self.file(number)
            self.refuse_without_list()
        return self._listing

    def refuse_without_list(self) -> None:
        """Raise ArchiveRefused unless the archive whose list this point shares says the same of it."""
        mine, listed = self.own.footer, self.listing.footer
        names = ("entry_count", "file_count", "original_bytes", "skipped_count")
        if not listed.has_list or any(getattr(mine, name) != getattr(listed, name) for name in names):
            raise ArchiveRefused(f"{self.name} contradicts {self.listing.name}, whose list it shares")

    def refuse_bad(self, entry: IndexEntry) -> None:
        """Raise ArchiveRefused unless the entry is a possible one."""
        refuse_bad_entry(entry, self._frame_counts)

    def index(
        self, first_block: int = 0, *, checked: bool = True, on_lost_block: Callable[[int], None] | None = None
    ) -> Iterator[IndexEntry]:
        """Yield the entries in path order, from an index block on. Raises ArchiveRefused when one is out of order.

        A damaged block ends it, unless `on_lost_block` hears how many entries are lost with it.
        """
        last_key: bytes | None = None
        listing = self.listing
        for number in range(first_block, len(listing.directory)):
            try:
                block = listing.read_block(number)
            except (ArchiveDamaged, ArchiveRefused):
                if on_lost_block is None:
                    raise
                on_lost_block(listing.directory[number].entry_count)
                continue
            for entry in block:
                if checked:
                    self.refuse_bad(entry)
                    key = sort_key(entry.path)
                    if last_key is not None and key <= last_key:
                        raise ArchiveRefused(f"the index of {self.name} is out of order at {quoted(entry.path)}")
                    last_key = key
                yield entry

    def index_from(self, key: bytes, *, on_lost_block: Callable[[int], None] | None = None) -> Iterator[IndexEntry]:
        """Yield the entries whose sort key is not below `key`; a lookup reads one block."""
        firsts = self.listing.directory
        block = max(0, bisect_right(firsts, key, key=lambda row: sort_key(row.first_path)) - 1)
        for entry in self.index(block, on_lost_block=on_lost_block):
            if sort_key(entry.path) >= key:
                yield entry

    def find_index_entry(self, path: bytes) -> IndexEntry | None:
        """Return the entry of a path, or None."""
        entry = next(self.index_from(sort_key(path)), None)
        return entry if entry is not None and entry.path == path else None

    def find(self, path: bytes) -> Entry | None:
        """Return what the point holds at `path`, or None."""
        entry = self.find_index_entry(path)
        return None if entry is None else to_entry(entry)

    def entries(self) -> Iterator[Entry]:
        """Yield everything in the point, in path order."""
        return map(to_entry, self.index())

    def children(self, path: bytes, *, after: bytes = b"", limit: int = 10_000) -> list[Entry]:
        """Return what lies directly in the folder `path`, by name; `after` is the last name of an earlier page.

        Subtrees are skipped by seeking. Raises UnknownPath when there is no such folder.
        """
        folder = self.find(path)
        if folder is None or folder.type is not EntryType.DIRECTORY:
            raise UnknownPath(f"the point has no folder {quoted(path)}")
        prefix = sort_key(path) + b"\0" if path else b""
        key: bytes | None = prefix + after + b"\1"
        found: list[Entry] = []
        while key is not None and len(found) < limit:
            key = self._collect_children(key, prefix, found, limit)
        return found

    def _collect_children(self, key: bytes, prefix: bytes, found: list[Entry], limit: int) -> bytes | None:
        """Append children from `key` on; return where to seek after a large subtree, or None at the end."""
        deeper = 0
        for entry in self.index_from(key):
            entry_key = sort_key(entry.path)
            if not entry_key.startswith(prefix) or len(found) == limit:
                return None
            child, is_below, _ = entry_key[len(prefix) :].partition(b"\0")
            if not is_below:
                found.append(to_entry(entry))
                deeper = 0
                continue
            deeper += 1
            if deeper > _SEEK_AFTER:
                return prefix + child + b"\1"
        return None

    def data(self, entry: IndexEntry) -> Iterator[bytes]:
        """Yield the stored bytes of a file (without its holes), frame by frame, each after its checksum."""
        missing = data_size(entry)
        frame, offset = entry.frame, entry.offset
        while missing > 0:
            plain = self._frame(entry.archive, frame)
            piece = plain[offset : offset + missing]
            missing -= len(piece)
            frame, offset = frame + 1, 0
            yield piece

    def _frame(self, archive: int, number: int) -> bytes:
        wanted = (archive, number)
        if wanted in self._frames:
            self._frames.move_to_end(wanted)
            return self._frames[wanted]
        file = self.file(archive)
        plain = file.read_frame(number) if self._ahead is None else self._ahead.take(file, archive, number)
        self._frames[wanted] = plain
        if len(self._frames) > _KEPT_FRAMES:
            self._frames.popitem(last=False)
        return plain

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Unpack on threads what follows, for whoever reads much of the point in its order."""
        self._ahead = ReadAhead()
        try:
            yield
        finally:
            self._ahead.close()
            self._ahead = None

    def checked_data(self, entry: IndexEntry) -> Iterator[bytes]:
        """Return the stored bytes of a file, in pieces; raises ArchiveDamaged after the last unless their sha256 matched."""
        size = data_size(entry)
        plain = self._frame(entry.archive, entry.frame) if size else b""
        if not size or entry.offset + size > len(plain):
            return self._checked_pieces(entry)
        whole = plain[entry.offset : entry.offset + size]
        if hashlib.sha256(whole).digest() != entry.sha256:
            raise self._damaged(entry)
        return iter((whole,))

    def _checked_pieces(self, entry: IndexEntry) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in self.data(entry):
            digest.update(piece)
            yield piece
        if digest.digest() != entry.sha256:
            raise self._damaged(entry)

    @staticmethod
    def _damaged(entry: IndexEntry) -> ArchiveDamaged:
        return ArchiveDamaged(f"the content of {quoted(entry.path)} is not what was backed up")


def read_file(point: ArchiveSet, path: bytes, out_fd: int) -> int:
    """Write the content of one file to `out_fd` after its checksum matched; return its bytes.

    Raises UnknownPath when the path is not a file of the point.
    """
    entry = point.find_index_entry(path)
    if entry is not None and entry_type(entry) in (EntryType.DIRECTORY, EntryType.SYMLINK):
        raise UnknownPath(f"{quoted(path)} is a {entry_type(entry)} in this point, not a file")
    if entry is None or entry_type(entry) not in (EntryType.FILE, EntryType.HARDLINK):
        raise UnknownPath(f"the point has no file {quoted(path)}")
    if data_size(entry) <= _MEMORY_BYTES:
        pieces: Iterator[bytes] = iter(list(point.checked_data(entry)))
    else:
        for _ in point.checked_data(entry):
            pass
        pieces = point.checked_data(entry)
    written = 0
    for piece in with_holes(entry, pieces):
        view = memoryview(piece)
        while view:
            count = os.write(out_fd, view)
            written += count
            view = view[count:]
    return written


def with_holes(entry: IndexEntry, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a file's whole content: its stored bytes, with zeros where its holes are."""
    if entry.segments is None:
        yield from pieces
        return
    at, waiting = 0, b""
    for start, length in entry.segments:
        yield from _zeros(start - at)
        missing = length
        while missing:
            waiting = waiting or next(pieces)
            piece, waiting = waiting[:missing], waiting[missing:]
            missing -= len(piece)
            yield piece
        at = start + length
    yield from _zeros(STAT.unpack(entry.stat)[4] - at)
    for _ in pieces:
        raise ArchiveDamaged(f"{quoted(entry.path)} has more content than its parts say")


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[:length]
        length -= len(_ZEROS)

"""Paths of a point as a download: one file as it is, or files and folders as a tar.gz or zip that anybody unpacks."""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, NoSpace, UnknownPath
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import Codec, EntryType, ExportFormat, ExportSummary
from smartbackup_panel.engine.archive_reader import ArchiveSet, read_file, with_holes
from smartbackup_panel.engine.codecs import is_compressible
from smartbackup_panel.engine.entries import IndexEntry, data_size, entry_type, sort_key, unpack_stat
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.lists import NameCollector
from smartbackup_panel.engine.messages import Export
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE, tar_headers

_LEVEL = 6
_ZIP_TIMES = (datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC))
Advanced = Callable[[int, int], None]


@dataclass(slots=True)
class _Counted:
    """What a download came to."""

    files: int = 0
    size_bytes: int = 0
    skipped: int = 0
    unlisted: int = 0
    lost: NameCollector = field(default_factory=NameCollector)

    def note_unlisted(self, count: int) -> None:
        """Count paths whose part of the list is damaged."""
        self.unlisted += count

    def summary(self) -> ExportSummary:
        return ExportSummary(self.files, self.size_bytes, self.skipped, self.lost.result(), self.unlisted)


def export(point: ArchiveSet, wanted: Export, out_fd: int, advanced: Advanced) -> ExportSummary:
    """Write the paths with all that is below them to `out_fd`, every file after its checksum, at most the limit.

    Raises UnknownPath for a path that the point does not hold, NoSpace beyond the limit, and what reading raises. With
    `may_lose` the archive goes without the files whose content is damaged; ArchiveDamaged says that no file is left.
    """
    chosen = _outermost(wanted.paths)
    if wanted.format is ExportFormat.FILE:
        return _export_file(point, chosen[0], out_fd, wanted.limit_bytes)
    out, counted = _Limited(out_fd, wanted.limit_bytes), _Counted()
    writer = _ZipWriter(out) if wanted.format is ExportFormat.ZIP else _TarWriter(out)
    with closing(writer):
        for entry in _selected(point, chosen, counted if wanted.may_lose else None):
            kind = entry_type(entry)
            if kind is EntryType.SKIPPED:
                counted.skipped += 1
                continue
            alone = _standing_alone(entry, () if wanted.may_lose else chosen)
            if wanted.may_lose and not _is_sound(point, alone):
                counted.lost.add(entry.path)
                continue
            counted.size_bytes += writer.add(point, alone)
            counted.files += kind is not EntryType.DIRECTORY
            advanced(counted.files, counted.size_bytes)
        writer.finish()
    summary = counted.summary()
    if not summary.file_count and (summary.lost.count or summary.unlisted_count):
        raise ArchiveDamaged("nothing of what was asked for can be read any more")
    return summary


def _export_file(point: ArchiveSet, path: bytes, out_fd: int, limit_bytes: int) -> ExportSummary:
    entry = point.find_index_entry(path)
    if entry is not None and unpack_stat(entry.stat).size > limit_bytes:
        raise NoSpace(f"the file has {unpack_stat(entry.stat).size} bytes and there is room for {limit_bytes}")
    return ExportSummary(1, read_file(point, path, out_fd), 0)


def _is_sound(point: ArchiveSet, entry: IndexEntry) -> bool:
    """Whether every byte of a file's content is what was backed up."""
    if entry_type(entry) is not EntryType.FILE:
        return True
    try:
        return sum(map(len, point.checked_data(entry))) == data_size(entry)
    except (ArchiveDamaged, ArchiveMissing, ArchiveRefused):
        return False


def _outermost(paths: Sequence[bytes]) -> list[bytes]:
    """Return the paths in the point's order, without those that lie below another one."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=sort_key):
        if not kept or not _is_within(path, kept[-1]):
            kept.append(path)
    return kept


def _is_within(path: bytes, folder: bytes) -> bool:
    return folder in (b"", path) or path.startswith(folder + b"/")


def _selected(point: ArchiveSet, chosen: Sequence[bytes], losses: _Counted | None) -> Iterator[IndexEntry]:
    """Yield the entries of the chosen paths; with `losses`, which counts them, also where a part of the list is lost."""
    for path in chosen:
        count = 0
        for entry in point.index_from(sort_key(path), on_lost_block=None if losses is None else losses.note_unlisted):
            is_missing = count == 0 and entry.path != path and (losses is None or not losses.unlisted)
            if not _is_within(entry.path, path) or is_missing:
                break
            count += 1
            yield entry
        if not count and (losses is None or not losses.unlisted):
            raise UnknownPath(f"the restore point has no {quoted(path)}")


def _standing_alone(entry: IndexEntry, chosen: Sequence[bytes]) -> IndexEntry:
    """Return the entry; a hard link to a file that is not part of this download becomes a file of its own."""
    if entry_type(entry) is EntryType.HARDLINK and not any(_is_within(entry.link, path) for path in chosen):
        return msgspec.structs.replace(entry, link=b"")
    return entry


class _Limited:
    """A regular file that takes only so many bytes. Offers what zipfile needs of one that it can seek in."""

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self._fd = fd
        self._limit_bytes = limit_bytes
        self._at = 0

    def write(self, content: bytes) -> int:
        if self._at + len(content) > self._limit_bytes:
            raise NoSpace("the download is larger than the room that is left for it")
        view = memoryview(content)
        while view:
            count = os.pwrite(self._fd, view, self._at)
            self._at, view = self._at + count, view[count:]
        return len(content)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int) -> int:
        self._at = offset
        return offset

    def flush(self) -> None:
        """Nothing is kept back."""


class _TarWriter:
    """A tar.gz of many gzip members, packed on threads; holes stay holes."""

    def __init__(self, out: _Limited) -> None:
        self._out = out
        self._packer = FramePacker(Codec.GZIP, _LEVEL, 0, self._emit)

    def _emit(self, packed: bytes, _plain_bytes: int, _sha256: bytes) -> None:
        self._out.write(packed)

    def add(self, point: ArchiveSet, entry: IndexEntry) -> int:
        """Write one member and return the bytes of its content."""
        if entry_type(entry) is not EntryType.FILE:
            self._packer.add_plain(tar_headers(entry))
            return 0
        size_bytes = data_size(entry)
        self._packer.add_file(tar_headers(entry), point.checked_data(entry), size_bytes)
        return size_bytes

    def finish(self) -> None:
        self._packer.end_frame()
        self._packer.add_plain(END_OF_ARCHIVE)
        self._packer.drain()

    def close(self) -> None:
        self._packer.close()


class _ZipWriter:
    """A zip. Names that are no UTF-8 come with their bytes as \\xNN, and \\ (a separator on Windows) as _."""

    def __init__(self, out: _Limited) -> None:
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)  # type: ignore[call-overload]  # all that is used of a file

    def add(self, point: ArchiveSet, entry: IndexEntry) -> int:
        """Write one member and return the bytes of its content."""
        if entry.path == b"":
            return 0
        kind, facts = entry_type(entry), unpack_stat(entry.stat)
        about = zipfile.ZipInfo(_zip_name(entry.path), _zip_time(facts.mtime_ns))
        about.create_system = 3
        about.external_attr = (facts.mode & 0xFFFF) << 16
        about.compress_type = zipfile.ZIP_DEFLATED
        if kind is EntryType.DIRECTORY:
            about.filename += "/"
            about.external_attr |= 0x10
            self._zip.writestr(about, b"", zipfile.ZIP_STORED)
            return 0
        if kind is EntryType.SYMLINK:
            self._zip.writestr(about, entry.link)
            return 0
        return self._add_content(with_holes(entry, point.checked_data(entry)), entry, about, facts.size)

    def _add_content(self, pieces: Iterator[bytes], entry: IndexEntry, about: zipfile.ZipInfo, size: int) -> int:
        first = next(pieces, b"")
        if not is_compressible(first):
            about.compress_type = zipfile.ZIP_STORED
        about.file_size = size
        written = 0
        with self._zip.open(about, "w", force_zip64=size >= 1 << 31) as member:
            for piece in itertools.chain((first,), pieces):
                written += member.write(piece)
        if written != size:
            raise ArchiveRefused(f"{quoted(entry.path)} has another size than its content")
        return written

    def finish(self) -> None:
        self._zip.close()

    def close(self) -> None:
        """Nothing is kept open."""


def _zip_name(path: bytes) -> str:
    return path.replace(b"\\", b"_").decode("utf-8", "backslashreplace")


def _zip_time(mtime_ns: int) -> tuple[int, int, int, int, int, int]:
    earliest, latest = (int(limit.timestamp()) for limit in _ZIP_TIMES)
    at = datetime.fromtimestamp(min(max(mtime_ns // 1_000_000_000, earliest), latest), UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second

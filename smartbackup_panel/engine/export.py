"""Paths of a point as a download: one file as it is, or files and folders as a tar.gz or zip that anybody unpacks."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from smartbackup_panel.core.errors import ArchiveRefused, NoSpace, UnknownPath
from smartbackup_panel.core.tree import Codec, EntryType, ExportFormat, ExportSummary
from smartbackup_panel.engine.archive_reader import ArchiveSet, read_file, with_holes
from smartbackup_panel.engine.codecs import get_codec
from smartbackup_panel.engine.entries import IndexEntry, entry_type, sort_key, unpack_stat
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE, padding, tar_headers

_LEVEL = 6
_FRAME_BYTES = 1 << 20
_ZIP_TIMES = (datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC))
Advanced = Callable[[int, int], None]


def export(
    point: ArchiveSet, paths: Sequence[bytes], kind: ExportFormat, out_fd: int, limit_bytes: int, advanced: Advanced
) -> ExportSummary:
    """Write the paths with all that is below them to `out_fd`, every file after its checksum, at most `limit_bytes`.

    Raises UnknownPath for a path that the point does not hold, NoSpace beyond the limit, and what reading raises.
    """
    chosen = _outermost(paths)
    out = _Limited(out_fd, limit_bytes)
    if kind is ExportFormat.FILE:
        entry = point.find_index_entry(chosen[0])
        if entry is not None and unpack_stat(entry.stat).size > limit_bytes:
            raise NoSpace(f"the file has {unpack_stat(entry.stat).size} bytes and there is room for {limit_bytes}")
        return ExportSummary(1, read_file(point, chosen[0], out_fd), 0)
    writer = _ZipWriter(out) if kind is ExportFormat.ZIP else _TarWriter(out)
    files = size_bytes = skipped = 0
    for entry in _selected(point, chosen):
        if entry_type(entry) is EntryType.SKIPPED:
            skipped += 1
            continue
        size_bytes += writer.add(point, _standing_alone(entry, chosen))
        files += entry_type(entry) is not EntryType.DIRECTORY
        advanced(files, size_bytes)
    writer.close()
    return ExportSummary(files, size_bytes, skipped)


def _outermost(paths: Sequence[bytes]) -> list[bytes]:
    """Return the paths in the point's order, without those that lie below another one."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=sort_key):
        if not kept or not _is_within(path, kept[-1]):
            kept.append(path)
    return kept


def _is_within(path: bytes, folder: bytes) -> bool:
    return folder in (b"", path) or path.startswith(folder + b"/")


def _selected(point: ArchiveSet, chosen: Sequence[bytes]) -> Iterator[IndexEntry]:
    for path in chosen:
        count = 0
        for entry in point.index_from(sort_key(path)):
            if not _is_within(entry.path, path) or (count == 0 and entry.path != path):
                break
            count += 1
            yield entry
        if not count:
            raise UnknownPath(f"the restore point has no {path[:200]!r}")


def _standing_alone(entry: IndexEntry, chosen: Sequence[bytes]) -> IndexEntry:
    """Return the entry; a hard link to a file that is not part of this download becomes a file of its own."""
    if entry_type(entry) is EntryType.HARDLINK and not any(_is_within(entry.link, path) for path in chosen):
        return msgspec.structs.replace(entry, link=b"")
    return entry


class _Limited:
    """A file that takes only so many bytes. Offers what zipfile needs of one."""

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self._fd = fd
        self._left_bytes = limit_bytes
        self._at = 0

    def write(self, content: bytes) -> int:
        self._left_bytes -= len(content)
        if self._left_bytes < 0:
            raise NoSpace("the download is larger than the room that is left for it")
        view = memoryview(content)
        while view:
            view = view[os.write(self._fd, view) :]
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is kept back."""


class _TarWriter:
    """A tar.gz of many gzip members; holes stay holes."""

    def __init__(self, out: _Limited) -> None:
        self._out = out
        self._codec = get_codec(Codec.GZIP)
        self._waiting = bytearray()

    def add(self, point: ArchiveSet, entry: IndexEntry) -> int:
        """Write one member and return the bytes of its content."""
        size_bytes = 0
        self._put(tar_headers(entry))
        if entry_type(entry) is EntryType.FILE:
            for piece in point.checked_data(entry):
                size_bytes += len(piece)
                self._put(piece)
            self._put(padding(size_bytes))
        return size_bytes

    def close(self) -> None:
        self._put(END_OF_ARCHIVE)
        self._flush()

    def _put(self, content: bytes) -> None:
        self._waiting += content
        if len(self._waiting) >= _FRAME_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._out.write(self._codec.pack(bytes(self._waiting), _LEVEL))
        self._waiting.clear()


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
        return self._add_content(point, entry, about, facts.size)

    def _add_content(self, point: ArchiveSet, entry: IndexEntry, about: zipfile.ZipInfo, size: int) -> int:
        about.file_size = size
        written = 0
        with self._zip.open(about, "w", force_zip64=size >= 1 << 31) as member:
            for piece in with_holes(entry, point.checked_data(entry)):
                written += member.write(piece)
        if written != size:
            raise ArchiveRefused(f"{entry.path[:200]!r} has another size than its content")
        return written

    def close(self) -> None:
        self._zip.close()


def _zip_name(path: bytes) -> str:
    return path.replace(b"\\", b"_").decode("utf-8", "backslashreplace")


def _zip_time(mtime_ns: int) -> tuple[int, int, int, int, int, int]:
    earliest, latest = (int(limit.timestamp()) for limit in _ZIP_TIMES)
    at = datetime.fromtimestamp(min(max(mtime_ns // 1_000_000_000, earliest), latest), UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second

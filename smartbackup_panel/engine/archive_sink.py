"""The worker's side of writing: the one open archive file, its index area, and its publication.

Frames and index blocks arrive finished; the sink decides where they lie, keeps the byte limit, writes the tables and
signs the footer. Nothing carries the archive's name before `publish`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import msgspec

from smartbackup_panel.core.errors import ArchiveRefused, NoSpace
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine import syscalls
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.codecs import get_codec, squeeze
from smartbackup_panel.engine.frame_copies import FrameCopies, Range, write_all
from smartbackup_panel.engine.layout import (
    FRAME,
    MAX_FRAME_BYTES,
    NAME,
    PIECE_BYTES,
    ArchiveRow,
    BlockRow,
    ContentKind,
    Footer,
)

PART = ".part"
_COPY_BYTES = 1 << 20
_MOST_COPIED_BYTES = 64 << 20
"""Ranges are long so that a filesystem that can share blocks finds whole ones in them."""

_WRITEBACK_BYTES = 16 << 20
"""How much is handed to the disk at a time while more comes, so that the flush at the end has little left to wait for."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the footer says besides the places of things."""

    kind: ContentKind
    point_id: bytes
    created_at_ns: int
    scan_started_at_ns: int
    entry_count: int
    file_count: int
    original_bytes: int
    stored_bytes: int
    skipped_count: int


@dataclass(frozen=True, slots=True)
class FinishedArchive:
    """A complete archive that is flushed to disk but not published yet."""

    root_digest: bytes
    parent_digest: bytes | None
    sha256: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Mark:
    frame_count: int
    size_bytes: int
    sha256: hashlib._Hash


@contextmanager
def full_disk_as_no_space(name: str) -> Iterator[None]:
    """Turn a full disk, quota or file size limit into NoSpace."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(f"no room for {name}: {error.strerror}") from error
        raise


class ArchiveSink:
    """An archive being written into a folder of the store, as `name` + ".part"."""

    def __init__(self, folder_fd: int, name: str, part_fd: int, spool_fd: int, codec: Codec, key: bytes) -> None:
        """Use `create`."""
        self.name = name
        self.codec = codec
        self.byte_limit: int | None = None
        self._folder_fd = folder_fd
        self._fd = part_fd
        self._spool_fd = spool_fd
        self._key = key
        self._frames = bytearray()
        self._rows: list[BlockRow] = []
        self._size_bytes = 0
        self._on_its_way_bytes = 0
        self._spool_bytes = 0
        self._sha256 = hashlib.sha256()
        self._mark: _Mark | None = None
        self._copies = FrameCopies()
        self._range: Range | None = None

    @classmethod
    def create(
        cls, folder_fd: int, name: str, *, codec: Codec, key: bytes, byte_limit: int | None = None
    ) -> ArchiveSink:
        """Begin `name`.part in the folder. `key` signs the footer; passing `byte_limit` raises NoSpace.

        Raises ArchiveRefused when the name is not one for an archive or is taken, FileExistsError when another job
        writes it.
        """
        if not NAME.fullmatch(name) or name.endswith(PART):
            raise ArchiveRefused(f"{name!r} is not the name of an archive")
        if _exists(folder_fd, name):
            raise ArchiveRefused(f"{name} is already there and is never overwritten")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with ExitStack() as undo, full_disk_as_no_space(name):
            own_folder = os.dup(folder_fd)
            undo.callback(os.close, own_folder)
            # Where this fails because another job writes it, it stays that job's.
            part_fd = os.open(name + PART, flags, 0o600, dir_fd=own_folder)
            undo.callback(os.close, part_fd)
            undo.callback(os.unlink, name + PART, dir_fd=own_folder)
            spool_fd = open_unlinked(own_folder, f"{name}.index{PART}")
            undo.pop_all()
        sink = cls(own_folder, name, part_fd, spool_fd, codec, key)
        sink.byte_limit = byte_limit
        return sink

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return len(self._frames) // FRAME.size + len(self._copies)

    @property
    def is_without_list(self) -> bool:
        """Whether no index blocks are kept: the point shares its parent's list."""
        return not self._rows

    def add_frame(self, packed: bytes | memoryview, plain_bytes: int, sha256: bytes) -> None:
        """Append one frame. `sha256` is of its packed bytes."""
        if not 0 < plain_bytes <= MAX_FRAME_BYTES or len(sha256) != 32:
            raise ArchiveRefused("a frame with impossible sizes was handed over")
        self._take_copies()
        self._frames += FRAME.pack(self._size_bytes, len(packed), plain_bytes, sha256)
        self._append(packed)

    def copy_frame(self, source: ArchiveFile, number: int) -> None:
        """Append a frame of another archive as it is, after its checksum matched; the kernel copies or shares its bytes.

        `source` stays open until the archive is finished. Raises ArchiveRefused (no such frame, or one of another codec)
        and, some frames later or from `finish`, ArchiveDamaged.
        """
        if source.footer.codec is not self.codec:
            raise ArchiveRefused(f"{source.name} has another compression than {self.name}")
        self._copies.ask(source, source.frame_record(number))
        while self._copies.are_enough:
            self._take_copy()

    def _take_copies(self) -> None:
        """Have no frame on its way."""
        while self._copies:
            self._take_copy()

    def _take_copy(self) -> None:
        fd, record, packed = self._copies.take()
        if self._range is not None and not self._range.is_followed_by(fd, record.offset):
            self._copy_range()
        if self._range is None:
            self._range = Range(fd, record.offset)
        self._range.size_bytes += record.packed_bytes
        self._frames += FRAME.pack(self._size_bytes, record.packed_bytes, record.plain_bytes, record.sha256)
        self._count(packed)
        if self._range.size_bytes >= _MOST_COPIED_BYTES:
            self._copy_range()

    def _copy_range(self) -> None:
        """Copy what is waiting to be copied."""
        if self._range is not None:
            with full_disk_as_no_space(self.name):
                self._range.append_to(self._fd)
            self._range = None
            self._begin_writeback()

    def mark(self) -> None:
        """Remember this place for `rollback`."""
        self._take_copies()
        self._copy_range()
        self._mark = _Mark(self.frame_count, self._size_bytes, self._sha256.copy())

    def rollback(self) -> None:
        """Forget the frames since the last `mark`."""
        if self._mark is None:
            raise ArchiveRefused("a rollback was asked for without a mark")
        self._copies.forget()
        self._range = None
        os.ftruncate(self._fd, self._mark.size_bytes)
        os.lseek(self._fd, self._mark.size_bytes, os.SEEK_SET)
        del self._frames[self._mark.frame_count * FRAME.size :]
        self._size_bytes = self._mark.size_bytes
        self._on_its_way_bytes = min(self._on_its_way_bytes, self._size_bytes)
        self._sha256 = self._mark.sha256.copy()

    def add_block(self, first_path: bytes, packed: bytes, plain_bytes: int, entry_count: int) -> None:
        """Keep one index block (raw deflate) for the index area."""
        digest = hashlib.sha256(packed).digest()
        self._rows.append(BlockRow(first_path, self._spool_bytes, len(packed), plain_bytes, entry_count, digest))
        with full_disk_as_no_space(self.name):
            write_all(self._spool_fd, packed)
        self._spool_bytes += len(packed)
        self._refuse_past_limit()

    def forget_blocks(self) -> None:
        """Drop the index blocks: the point's list is its parent's."""
        self._rows = []
        self._spool_bytes = 0

    def finish(self, totals: Totals, earlier: list[ArchiveRow]) -> FinishedArchive:
        """Write the index area and the signed footer, and flush all to disk. `earlier` are the archives it needs."""
        self._take_copies()
        frames = bytes(self._frames)
        shift = len(frames)
        rows = [msgspec.structs.replace(row, offset=row.offset + shift) for row in self._rows]
        plain_directory = msgspec.msgpack.encode(rows)
        directory = squeeze(plain_directory)
        archives = msgspec.msgpack.encode([*earlier, ArchiveRow(self.name, bytes(32), self.frame_count)])
        parent = earlier[-1].root_digest if earlier else bytes(32)
        footer = Footer(
            codec=self.codec,
            kind=totals.kind,
            area_start=self._size_bytes,
            area_bytes=shift + self._spool_bytes + len(directory) + len(archives),
            frame_count=self.frame_count,
            frames_offset=0,
            blocks_offset=shift,
            blocks_bytes=self._spool_bytes,
            directory_offset=shift + self._spool_bytes,
            directory_bytes=len(directory),
            directory_plain_bytes=len(plain_directory),
            archives_offset=shift + self._spool_bytes + len(directory),
            archives_bytes=len(archives),
            entry_count=totals.entry_count,
            file_count=totals.file_count,
            original_bytes=totals.original_bytes,
            stored_bytes=totals.stored_bytes,
            skipped_count=totals.skipped_count,
            created_at_ns=totals.created_at_ns,
            scan_started_at_ns=totals.scan_started_at_ns,
            point_id=totals.point_id,
            parent_digest=parent,
            frames_sha256=hashlib.sha256(frames).digest(),
            directory_sha256=hashlib.sha256(directory).digest(),
            archives_sha256=hashlib.sha256(archives).digest(),
        )
        self._write_area([frames, *self._spooled(), directory, archives])
        self._append(get_codec(self.codec).piece(footer.pack(self._key)))
        with full_disk_as_no_space(self.name):
            os.fsync(self._fd)
        return FinishedArchive(footer.root_digest, parent if earlier else None, self._sha256.digest(), self._size_bytes)

    def _spooled(self) -> Iterator[bytes]:
        for start in range(0, self._spool_bytes, _COPY_BYTES):
            yield os.pread(self._spool_fd, _COPY_BYTES, start)

    def _write_area(self, parts: Iterator[bytes] | list[bytes]) -> None:
        codec, waiting = get_codec(self.codec), bytearray()
        for part in parts:
            waiting += part
            whole = len(waiting) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, whole, PIECE_BYTES):
                self._append(codec.piece(bytes(waiting[start : start + PIECE_BYTES])))
            del waiting[:whole]
        if waiting:
            self._append(codec.piece(bytes(waiting)))

    def _append(self, packed: bytes | memoryview) -> None:
        self._copy_range()
        with full_disk_as_no_space(self.name):
            write_all(self._fd, packed)
        self._count(packed)

    def _count(self, packed: bytes | memoryview) -> None:
        self._sha256.update(packed)
        self._size_bytes += len(packed)
        self._refuse_past_limit()
        if self._range is None:
            self._begin_writeback()

    def _begin_writeback(self) -> None:
        """Hand what is written to the disk, when it is worth it."""
        if self._size_bytes - self._on_its_way_bytes >= _WRITEBACK_BYTES:
            syscalls.begin_writeback(self._fd, self._on_its_way_bytes, self._size_bytes - self._on_its_way_bytes)
            self._on_its_way_bytes = self._size_bytes

    def _refuse_past_limit(self) -> None:
        if self.byte_limit is not None and self._size_bytes + self._spool_bytes > self.byte_limit:
            raise NoSpace(f"{self.name} would pass its limit of {self.byte_limit} bytes")

    def open_for_reading(self) -> int:
        """Return a new read-only descriptor of the unpublished file, for verification."""
        return os.open(self.name + PART, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder_fd)

    def publish(self) -> None:
        """Give the archive its name, never over an existing one, and flush the folder. Closes the sink.

        Raises ArchiveRefused when the name has been taken meanwhile.
        """
        try:
            _rename_to_new(self._folder_fd, self.name + PART, self.name)
        except FileExistsError as error:
            raise ArchiveRefused(f"{self.name} is already there and is never overwritten") from error
        os.fsync(self._folder_fd)
        self._close()

    def discard(self) -> None:
        """Remove what was written; a second call, or one after `publish`, does nothing."""
        if self._fd < 0:
            return
        with suppress(FileNotFoundError):
            os.unlink(self.name + PART, dir_fd=self._folder_fd)
        self._close()

    def _close(self) -> None:
        self._copies.close()
        for fd in (self._fd, self._spool_fd, self._folder_fd):
            os.close(fd)
        self._fd = self._spool_fd = self._folder_fd = -1


def discard_leftovers(folder_fd: int) -> list[str]:
    """Remove the unpublished files of jobs that died; return their names. No job may be writing there."""
    names = [name for name in os.listdir(folder_fd) if name.endswith(PART) and NAME.fullmatch(name)]
    for name in names:
        os.unlink(name, dir_fd=folder_fd)
    return sorted(names)


def open_unlinked(folder_fd: int, name: str) -> int:
    """Return a descriptor of a new file in the folder that no name leads to and that goes with its last user."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    os.unlink(name, dir_fd=folder_fd)
    return fd


def _rename_to_new(folder_fd: int, old: str, new: str) -> None:
    try:
        syscalls.renameat2(folder_fd, os.fsencode(old), folder_fd, os.fsencode(new), syscalls.RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        os.link(old, new, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        os.unlink(old, dir_fd=folder_fd)


def _exists(folder_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True

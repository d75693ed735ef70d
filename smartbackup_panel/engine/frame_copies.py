"""Frames that are taken over from other archives: read and checked on a thread, then copied by the kernel in long ranges."""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.layout import FrameRecord

_AHEAD_BYTES = 4 << 20
_PART_BYTES = 1 << 20
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class CheckedFrame(NamedTuple):
    """A frame of another archive whose packed bytes have their checksum."""

    fd: int
    record: FrameRecord
    packed: bytes


class FrameCopies:
    """Reads frames and checks them ahead of `take`, on a thread that begins with the first one."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._coming: deque[tuple[ArchiveFile, FrameRecord, Future[bytes]]] = deque()
        self._coming_bytes = 0

    def __len__(self) -> int:
        return len(self._coming)

    @property
    def are_enough(self) -> bool:
        """Whether some have to be taken before more are asked for."""
        return self._coming_bytes > _AHEAD_BYTES

    def ask(self, source: ArchiveFile, record: FrameRecord) -> None:
        """Begin to read a frame; `source` stays open until it is taken."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1)
        self._coming.append((source, record, self._pool.submit(source.read_packed, record)))
        self._coming_bytes += record.packed_bytes

    def take(self) -> CheckedFrame:
        """Return the frame that was asked for first. Raises ArchiveDamaged."""
        source, record, future = self._coming.popleft()
        self._coming_bytes -= record.packed_bytes
        return CheckedFrame(source.fd, record, future.result())

    def forget(self) -> None:
        """Drop what nobody took."""
        for _, _, future in self._coming:
            future.cancel()
        self._coming.clear()
        self._coming_bytes = 0

    def close(self) -> None:
        """Drop what nobody took and end the thread."""
        self.forget()
        if self._pool is not None:
            self._pool.shutdown(wait=True)


@dataclass(slots=True)
class Range:
    """Bytes of another file that are to be appended to one."""

    fd: int
    offset: int
    size_bytes: int = 0

    def is_followed_by(self, fd: int, offset: int) -> bool:
        """Whether a place is just behind this range."""
        return (fd, offset) == (self.fd, self.offset + self.size_bytes)

    def append_to(self, fd: int) -> None:
        """Append the bytes by copy_file_range(2), or by reading and writing where the kernel cannot. Raises OSError.

        A filesystem that can (xfs, btrfs) shares whole blocks instead of copying them, where the range lies in both files
        alike: what precedes the first whole block is copied apart.
        """
        at, end = self.offset, self.offset + self.size_bytes
        before_block = -at % os.fstatvfs(fd).f_bsize
        while at < end:
            length = min(before_block, end - at) if at == self.offset and before_block else end - at
            try:
                copied = os.copy_file_range(self.fd, fd, length, at)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                copied = 0
            if copied == 0:
                copied = self._append_part(fd, at, min(_PART_BYTES, end - at))
            at += copied

    def _append_part(self, fd: int, at: int, length: int) -> int:
        part = os.pread(self.fd, length, at)
        if not part:
            raise ArchiveDamaged("an archive became shorter while it was copied")
        write_all(fd, part)
        return len(part)


def write_all(fd: int, payload: bytes | memoryview) -> None:
    """Write every byte. Raises OSError."""
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]

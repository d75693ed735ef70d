"""The list that a scan makes, kept in an unlinked file so that a million paths need no million objects."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import msgspec

_BATCH = 512
_LENGTH = struct.Struct("<I")


class Seen(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A path as a scan saw it: its packed stat, a symlink's text, or the reason why it is left out."""

    path: bytes
    stat: bytes
    link: bytes = b""
    reason: str = ""
    detail: str = ""


class Spool:
    """Writes a list once, in path order, and reads it as often as wanted."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: list[Seen] = []
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Seen])

    def restart(self) -> None:
        """Forget the list."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._waiting = []

    def append(self, seen: Seen) -> None:
        """Add the next path."""
        self._waiting.append(seen)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting. Raises OSError (ENOSPC)."""
        body = self._encoder.encode(self._waiting)
        view = memoryview(_LENGTH.pack(len(body)) + body)
        while view:
            view = view[os.write(self._fd, view) :]
        self._waiting = []

    def __iter__(self) -> Iterator[Seen]:
        """Yield the list from its beginning; several readers may be under way."""
        with open(os.dup(self._fd), "rb", buffering=0) as file:
            offset, end = 0, os.fstat(self._fd).st_size
            while offset < end:
                (length,) = _LENGTH.unpack(os.pread(file.fileno(), _LENGTH.size, offset))
                offset += _LENGTH.size
                yield from self._decoder.decode(os.pread(file.fileno(), length, offset))
                offset += length

"""A gzip file read forward in memory that stays flat: checksums checked, expansion limited, nothing after the last member."""

from __future__ import annotations

import os
import zlib

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused

_READ_BYTES = 256 * 1024
_FREE_BYTES = 64 * 1024 * 1024
"""Plain bytes to which the ratio's limit does not apply yet."""

_MAGIC = b"\x1f\x8b"


class GzipStream:
    """The plain bytes of a gzip file of one or several members."""

    def __init__(self, fd: int, name: str, limit_bytes: int, limit_ratio: int) -> None:
        """Read from `fd`; it stays the caller's."""
        self._fd = fd
        self._name = name
        self._limit_bytes = limit_bytes
        self._limit_ratio = limit_ratio
        self._member: zlib._Decompress | None = None
        self._packed = b""
        self._plain = b""
        self._at = 0
        self._packed_bytes = 0
        self._plain_bytes = 0

    def read(self, length: int) -> bytes:
        """Return exactly `length` bytes. Raises ArchiveDamaged where the file ends before."""
        parts, missing = [], length
        while missing:
            part = self.read_some(missing)
            if not part:
                raise ArchiveDamaged(f"{self._name} is cut off")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_some(self, most: int) -> bytes:
        """Return at least one byte and at most `most`; b"" at the end of the file."""
        if self.is_at_end():
            return b""
        part = self._plain[self._at : self._at + most]
        self._at += len(part)
        return part

    def is_at_end(self) -> bool:
        """Return whether no plain byte is left; every member has been checked then."""
        while self._at == len(self._plain):
            if not self._fill():
                return True
        return False

    def _fill(self) -> bool:
        """Inflate a little more; False at the end of the file. Raises ArchiveDamaged, ArchiveRefused."""
        if not self._packed:
            self._packed = os.read(self._fd, _READ_BYTES)
            self._packed_bytes += len(self._packed)
        if self._member is None:
            if not self._packed:
                if not self._packed_bytes:
                    raise ArchiveDamaged(f"{self._name} is empty")
                return False
            self._begin_member()
        elif not self._packed:
            raise ArchiveDamaged(f"{self._name} is cut off")
        self._inflate()
        return True

    def _begin_member(self) -> None:
        if len(self._packed) < len(_MAGIC):
            more = os.read(self._fd, _READ_BYTES)
            self._packed += more
            self._packed_bytes += len(more)
        if not self._packed.startswith(_MAGIC):
            raise ArchiveRefused(f"{self._name} is not a gzip file, or goes on as something else")
        self._member = zlib.decompressobj(31)

    def _inflate(self) -> None:
        assert self._member is not None, "begun before"
        try:
            self._plain = self._member.decompress(self._packed, _READ_BYTES)
        except zlib.error as error:
            raise ArchiveDamaged(f"{self._name} cannot be inflated: {error}") from error
        self._at = 0
        self._packed = self._member.unconsumed_tail
        if self._member.eof:
            self._packed = self._member.unused_data
            self._member = None
        self._plain_bytes += len(self._plain)
        if self._plain_bytes > self._limit_bytes:
            raise ArchiveRefused(f"{self._name} inflates to more than {self._limit_bytes} bytes")
        if self._plain_bytes > _FREE_BYTES and self._plain_bytes > self._limit_ratio * self._packed_bytes:
            raise ArchiveRefused(f"{self._name} inflates to more than {self._limit_ratio} times its size")

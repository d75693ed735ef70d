"""Reads one file so that what is stored belongs together, although its owner may change it at any time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator

import msgspec

from smartbackup_panel.core.tree import SkipReason
from smartbackup_panel.engine.content import READ_BYTES, find_segments, is_same_moment, read_xattrs
from smartbackup_panel.engine.entries import MAX_SIZE_BYTES, IndexEntry
from smartbackup_panel.engine.fsafe import DirectoryCursor
from smartbackup_panel.engine.layout import PACK_BYTES
from smartbackup_panel.engine.scan import LinkCounts, ScanRules

ATTEMPTS = 4
"""One reading and up to three more when the file changes meanwhile."""


class NotRead(Exception):
    """A path is left out of the point for a reason that is listed."""

    def __init__(self, reason: SkipReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Member(msgspec.Struct, frozen=True):
    """A file as it was when it was opened; `content` is there for small files without holes.

    `original`: the file is a copy of another one, whose facts belong to it.
    """

    found: os.stat_result
    xattrs: list[tuple[bytes, bytes]] | None
    segments: list[tuple[int, int]] | None
    content: bytes | None
    is_stable: bool
    original: os.stat_result | None = None

    @property
    def places(self) -> list[tuple[int, int]]:
        """Where the file has data, as (start, length)."""
        return [(0, self.found.st_size)] if self.segments is None else self.segments

    @property
    def data_bytes(self) -> int:
        """How many bytes are stored, without holes."""
        return sum(length for _, length in self.places)


class MemberReader:
    """Opens and reads files under the rules of the scan."""

    def __init__(self, rules: ScanRules, links: LinkCounts) -> None:
        self._rules = rules
        self._links = links
        self._originals: dict[int, int] = {}

    @contextlib.contextmanager
    def standing_in(self, copy_fd: int, fd: int) -> Iterator[None]:
        """Read the copy with the facts and under the rules of the original."""
        self._originals[copy_fd] = fd
        try:
            yield
        finally:
            del self._originals[copy_fd]

    def open(self, cursor: DirectoryCursor, path: bytes, flags: int) -> int:
        """Return a descriptor of a file or folder. Raises NotRead when it is gone, forbidden or something else."""
        try:
            if path == b"":
                return os.open(b".", flags | os.O_CLOEXEC, dir_fd=cursor.folder(b""))
            return cursor.open(path, flags)
        except OSError as error:
            raise NotRead(_reason_of(error), error.strerror or "") from error

    def look(self, fd: int) -> Member:
        """Return the file's facts, and the content of a small one. Raises NotRead."""
        member = self.look_large(fd)
        if member.segments is not None or member.found.st_size > PACK_BYTES:
            return member
        for _ in range(ATTEMPTS):
            content = self._read_whole(fd, member.found.st_size)
            after = os.fstat(fd)
            if len(content) == member.found.st_size and is_same_moment(member.found, after):
                return Member(member.found, member.xattrs, None, content, True, member.original)
            member = self.look_large(fd)
            if member.segments is not None or member.found.st_size > PACK_BYTES:
                return member
        size = member.found.st_size
        return Member(member.found, member.xattrs, None, content[:size].ljust(size, b"\0"), False, member.original)

    def look_large(self, fd: int) -> Member:
        """Return the file's facts alone. Raises NotRead."""
        original_fd = self._originals.get(fd, fd)
        found = os.fstat(original_fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotRead(SkipReason.VANISHED, "it became something else")
        if found.st_uid not in self._rules.allowed_uids:
            raise NotRead(SkipReason.FOREIGN_OWNER, f"uid {found.st_uid}")
        if self._links.lead_out(found.st_uid, found.st_nlink, (found.st_dev, found.st_ino)):
            raise NotRead(SkipReason.FOREIGN_LINKS, "another link of this file lies outside of the domain's folder")
        if found.st_size > MAX_SIZE_BYTES:
            raise NotRead(SkipReason.TOO_LARGE)
        if original_fd != fd:
            return Member(os.fstat(fd), read_xattrs(original_fd), None, None, True, found)
        return Member(found, read_xattrs(fd), find_segments(fd, found), None, True)

    def facts(self, member: Member) -> bytes:
        """Return the packed stat to store: the original's with the copy's size."""
        if member.original is None:
            return self._rules.pack(member.found)
        packed = self._rules.pack(member.original)
        return packed[:16] + member.found.st_size.to_bytes(8, "little") + packed[24:]

    @staticmethod
    def _read_whole(fd: int, size: int) -> bytes:
        """Return the content; one byte more than `size` is asked for, so that growth shows."""
        try:
            content = os.pread(fd, size + 1, 0)
            while 0 < len(content) < size:
                more = os.pread(fd, size + 1 - len(content), len(content))
                if not more:
                    break
                content += more
        except OSError as error:
            raise NotRead(SkipReason.UNREADABLE, f"{error.strerror}") from error
        return content

    def is_still(self, fd: int, member: Member) -> bool:
        """Whether the file is as it was when `member` was made."""
        return is_same_moment(member.found, os.fstat(fd))

    def pieces(self, fd: int, member: Member, piece_bytes: int) -> Iterator[bytes]:
        """Yield exactly `member.data_bytes` bytes: cut where the file has grown, zeros where it has shrunk."""
        for start, length in member.places:
            at, end = start, start + length
            while at < end:
                wanted = min(piece_bytes, end - at)
                try:
                    piece = os.pread(fd, wanted, at)
                except OSError as error:
                    raise NotRead(SkipReason.UNREADABLE, error.strerror or "") from error
                piece = piece or bytes(wanted)
                at += len(piece)
                yield piece

    def checksum(self, fd: int, member: Member) -> bytes:
        """Return the sha256 of the bytes that would be stored."""
        digest = hashlib.sha256()
        for piece in self.pieces(fd, member, READ_BYTES):
            digest.update(piece)
        return digest.digest()


def is_equal_content(entry: IndexEntry, before: IndexEntry) -> bool:
    """Whether an earlier entry's stored bytes, holes and attributes are this file's."""
    return (
        len(before.sha256) == 32
        and entry.sha256 == before.sha256
        and entry.stat[16:24] == before.stat[16:24]
        and entry.segments == before.segments
    )


def _reason_of(error: OSError) -> SkipReason:
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return SkipReason.VANISHED
    return SkipReason.OTHER_FILESYSTEM if error.errno == errno.EXDEV else SkipReason.UNREADABLE

"""A strict reader for plain `tar czf` archives of anybody: what it does not fully understand, it refuses.

It reads forward once and touches no file besides the archive. There is no second, laxer parser (SECURITY rule 7).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import EntryType
from smartbackup_panel.engine.fsafe import is_safe_path
from smartbackup_panel.engine.gzip_stream import GzipStream
from smartbackup_panel.engine.plain_tar_headers import BLOCK, Extension, Header, parse_header, parse_pax

_PIECE_BYTES = 1 << 20
_MAX_EXTENSION_BYTES = 1 << 20
_MAX_LINK_BYTES = 4095
_KINDS = {
    b"0": EntryType.FILE,
    b"\0": EntryType.FILE,
    b"1": EntryType.HARDLINK,
    b"2": EntryType.SYMLINK,
    b"5": EntryType.DIRECTORY,
}
_REFUSED_KINDS = {b"3": "a device", b"4": "a device", b"6": "a FIFO", b"7": "a contiguous file", b"S": "a sparse file"}


@dataclass(frozen=True, slots=True)
class TarLimits:
    """How much one archive may ask of the reader.

    `name_bytes` counts all paths, folders that are only implied included. No site compresses by 200 as a whole; the
    first 64 MiB are free of that rule.
    """

    entries: int = 1_000_000
    plain_bytes: int = 1 << 42
    name_bytes: int = 64 * 1024 * 1024
    ratio: int = 200
    seconds: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member. `link` is a symlink's text or, of a hard link, the earlier path of the file that it names."""

    path: bytes
    type: EntryType
    mode: int
    uid: int
    gid: int
    user: str
    group: str
    size: int
    mtime_ns: int
    link: bytes = b""


class PlainTar:
    """An open archive: `for entry in tar: for piece in tar.content(): ...`.

    Raises ArchiveDamaged for bytes that are missing or do not match their checksums, ArchiveRefused for what no archive
    may hold or what passes a limit. What was yielded before that is as sound as it can be known; keep none of it.
    """

    def __init__(
        self, fd: int, name: str, limits: TarLimits | None = None, *, below: bytes = b"", may_be_absolute: bool = False
    ) -> None:
        """Read from `fd` (it stays the caller's), whose file is called `name` in errors.

        Paths are given relative to the archive's folder `below`; what lies elsewhere is passed over and counted, the folders
        that lead there are not. With `may_be_absolute` slashes at the beginning of names are dropped, as GNU tar does.
        """
        self._limits = limits or TarLimits()
        self._stream = GzipStream(fd, name, self._limits.plain_bytes, self._limits.ratio)
        self._name = name
        self._seen: dict[bytes, EntryType] = {}
        self._name_bytes = 0
        self._entry_count = 0
        self._left_bytes = 0
        self._padding_bytes = 0
        self._ends_at = time.monotonic() + self._limits.seconds
        self._below = below
        self._may_be_absolute = may_be_absolute
        self.absolute_count = 0
        self.passed_over_count = 0

    def __iter__(self) -> Iterator[TarEntry]:
        """Yield the members in their order; content that was not asked for is passed over."""
        while True:
            for _ in self.content():
                pass
            entry = self._next_entry()
            if entry is None:
                self._expect_end()
                return
            placed = self._placed(entry)
            if placed is not None:
                yield placed

    def _placed(self, entry: TarEntry) -> TarEntry | None:
        """Return a member with its path relative to the chosen folder, None for one that lies elsewhere."""
        if not self._below:
            return entry
        path = _relative(entry.path, self._below)
        if path is None:
            leads_there = entry.type is EntryType.DIRECTORY and _relative(self._below, entry.path) is not None
            self.passed_over_count += not leads_there
            return None
        link = _relative(entry.link, self._below) if entry.type is EntryType.HARDLINK else entry.link
        if link is None:
            raise ArchiveRefused(f"{quoted(path)} is a hard link to a file outside the domain's folder")
        if path == b"" and entry.type is not EntryType.DIRECTORY:
            raise ArchiveRefused(f"{quoted(entry.path)} should be the domain's folder and is a {entry.type}")
        return replace(entry, path=path, link=link)

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the member that was yielded last, once."""
        while self._left_bytes:
            piece = self._read(min(self._left_bytes, _PIECE_BYTES))
            self._left_bytes -= len(piece)
            yield piece
        if self._padding_bytes and any(self._read(self._padding_bytes)):
            raise ArchiveRefused(f"{self._name}: a member is followed by bytes that belong to nothing")
        self._padding_bytes = 0

    def _read(self, length: int) -> bytes:
        if time.monotonic() > self._ends_at:
            raise ArchiveRefused(f"{self._name} takes longer than {self._limits.seconds:.0f} s to read")
        return self._stream.read(length)

    def _next_entry(self) -> TarEntry | None:
        """Return the next member with its extensions taken into account, or None at the end marker."""
        extension = Extension()
        while True:
            block = self._read(BLOCK)
            if not any(block):
                if not extension.is_empty:
                    raise ArchiveRefused(f"{self._name}: an extension header belongs to no member")
                return None
            header = parse_header(block)
            self._entry_count += 1
            if self._entry_count > self._limits.entries:
                raise ArchiveRefused(f"{self._name} has more than {self._limits.entries} members")
            if header.kind in (b"x", b"g", b"L", b"K"):
                extension = self._extended(extension, header)
                continue
            return self._checked(extension.applied_to(header), header.kind)

    def _extended(self, extension: Extension, header: Header) -> Extension:
        if header.size > _MAX_EXTENSION_BYTES:
            raise ArchiveRefused(f"{self._name}: an extension header of {header.size} bytes")
        body = self._read(header.size)
        if any(self._read(-header.size % BLOCK)):
            raise ArchiveRefused(f"{self._name}: an extension header is padded with something")
        if header.kind == b"L":
            return extension.with_long_name(body)
        if header.kind == b"K":
            return extension.with_long_link(body)
        return extension.with_records(parse_pax(body), is_global=header.kind == b"g")

    def _checked(self, header: Header, kind: bytes) -> TarEntry:
        """Return the member, whose path and link are safe and contradict nothing that came before."""
        if kind not in _KINDS:
            raise ArchiveRefused(f"{self._name} holds {_REFUSED_KINDS.get(kind, f'a member of type {kind!r}')}")
        type_ = _KINDS[kind]
        path = _checked_path(self._rootless(header.name), type_)
        self.absolute_count += header.name.startswith(b"/")
        if type_ is not EntryType.FILE and header.size:
            raise ArchiveRefused(f"{quoted(path)} has content, which only a file has")
        link = self._checked_link(header.link, path, type_)
        self._remember(path, type_)
        self._left_bytes, self._padding_bytes = header.size, -header.size % BLOCK
        return TarEntry(
            path=path,
            type=type_,
            mode=header.mode,
            uid=header.uid,
            gid=header.gid,
            user=header.user,
            group=header.group,
            size=header.size,
            mtime_ns=header.mtime_ns,
            link=link,
        )

    def _checked_link(self, link: bytes, path: bytes, type_: EntryType) -> bytes:
        if type_ is EntryType.SYMLINK:
            if not 0 < len(link) <= _MAX_LINK_BYTES or b"\0" in link:
                raise ArchiveRefused(f"{quoted(path)} is a link to nothing or to too much")
            return link
        if type_ is not EntryType.HARDLINK:
            return b""
        target = _checked_path(self._rootless(link), EntryType.FILE)
        if self._seen.get(target) not in (EntryType.FILE, EntryType.HARDLINK):
            raise ArchiveRefused(f"{quoted(path)} is a hard link to {quoted(link)}, which is no earlier file")
        return target

    def _rootless(self, name: bytes) -> bytes:
        return name.lstrip(b"/") if self._may_be_absolute else name

    def _remember(self, path: bytes, type_: EntryType) -> None:
        """Note the path and the folders above it; refuse it where something else is there already."""
        before = self._seen.get(path)
        if before is not None and (before, type_) != (EntryType.DIRECTORY, EntryType.DIRECTORY):
            raise ArchiveRefused(f"{quoted(path)} is in {self._name} twice")
        self._note(path, type_)
        while path:
            path = path.rpartition(b"/")[0]
            above = self._seen.get(path)
            if above is EntryType.DIRECTORY:
                return
            if above is not None:
                raise ArchiveRefused(f"{quoted(path)} is a {above} and something lies below it")
            self._note(path, EntryType.DIRECTORY)

    def _note(self, path: bytes, type_: EntryType) -> None:
        self._seen[path] = type_
        self._name_bytes += len(path)
        if self._name_bytes > self._limits.name_bytes or len(self._seen) > 2 * self._limits.entries:
            raise ArchiveRefused(f"the names in {self._name} take more than {self._limits.name_bytes} bytes")

    def _expect_end(self) -> None:
        """Read the second block of the end marker, and nothing but zeros up to the end of the file."""
        if any(self._read(BLOCK)):
            raise ArchiveRefused(f"{self._name} has an end marker in the middle")
        while not self._stream.is_at_end():
            if any(self._stream.read_some(_PIECE_BYTES)):
                raise ArchiveRefused(f"{self._name} goes on after its end")
            if time.monotonic() > self._ends_at:
                raise ArchiveRefused(f"{self._name} takes longer than {self._limits.seconds:.0f} s to read")


def open_plain_tar(folder_fd: int, name: str) -> int:
    """Return a descriptor of a regular file in a folder, through no link. Raises ArchiveRefused, ArchiveDamaged."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder_fd)
    except OSError as error:
        raise ArchiveDamaged(f"{name} cannot be opened: {error.strerror}") from error


def _relative(path: bytes, folder: bytes) -> bytes | None:
    """Return a path relative to a folder that it is or lies in, else None."""
    if folder == b"":
        return path
    if path == folder:
        return b""
    return path[len(folder) + 1 :] if path.startswith(folder + b"/") else None


def _checked_path(name: bytes, type_: EntryType) -> bytes:
    """Return a member's path without a leading "./" and a folder's closing slash. Raises ArchiveRefused."""
    path = name
    while path.startswith(b"./"):
        path = path[2:]
    if type_ is EntryType.DIRECTORY:
        path = path.removesuffix(b"/")
        if path == b".":
            path = b""
    is_own_folder = type_ is EntryType.DIRECTORY and name.startswith(b".")
    if not is_safe_path(path) or (path == b"" and not is_own_folder):
        raise ArchiveRefused(f"{quoted(name)} is no path inside the archive's folder")
    return path

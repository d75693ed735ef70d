"""Index entries: how one path of a point is written down. The format is in docs/archive-format.md."""

from __future__ import annotations

import stat
import struct
from os import stat_result

import msgspec

from smartbackup_panel.core.errors import ArchiveRefused
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import Entry, EntryType, SkipReason
from smartbackup_panel.engine.fsafe import is_safe_path

STAT = struct.Struct("<IIIIqqqQQ")
"""mode, uid, gid, nlink, size, mtime_ns, ctime_ns, device, inode: compared as one string of 56 bytes."""

MODE_AND_SIZE = struct.Struct("<I12xq")
"""The two of them that most readers want."""

_pack = STAT.pack

UNSTABLE = 1
"""Flag: the file changed during each attempt to read it."""

SQLITE = 2
"""Flag: the content is a copy of an SQLite database, of one moment and with what lay in its log."""

MAX_SYMLINK_BYTES = 4095
MAX_XATTRS = 512
MAX_XATTR_BYTES = 65_536
MAX_SEGMENTS = 8_192
MAX_SIZE_BYTES = 1 << 62
_REASONS = frozenset(reason.value for reason in SkipReason)


class IndexEntry(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """One path as stored.

    (`archive`, `frame`, `offset`) is where its first byte of data lies, in plain bytes; `member` is the archive whose
    tar stream has its header (another one for a new hard link to old content).
    """

    path: bytes
    stat: bytes
    sha256: bytes = b""
    archive: int = 0
    frame: int = 0
    offset: int = 0
    member: int = 0
    user: str = ""
    group: str = ""
    link: bytes = b""
    flags: int = 0
    xattrs: list[tuple[bytes, bytes]] | None = None
    segments: list[tuple[int, int]] | None = None
    reason: str = ""
    detail: str = ""


class Stat(msgspec.Struct, frozen=True, gc=False):
    """The unpacked `IndexEntry.stat`."""

    mode: int
    uid: int
    gid: int
    nlink: int
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int


def pack_stat(found: stat_result) -> bytes:
    """Return the 56 bytes of a stat result. A folder's own size and count of links say nothing and are 0."""
    if not stat.S_ISDIR(found.st_mode):
        return pack_file(found)
    return _pack(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        0,
        0,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_dev,
        found.st_ino,
    )


def pack_file(found: stat_result) -> bytes:
    """Return the 56 bytes of the stat result of anything but a folder."""
    return _pack(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_nlink,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_dev,
        found.st_ino,
    )


def unpack_stat(packed: bytes) -> Stat:
    """Return the fields of 56 packed bytes."""
    return Stat(*STAT.unpack(packed))


def sort_key(path: bytes) -> bytes:
    """Return what paths are ordered by: name by name, so that a folder's content follows it directly."""
    return path.replace(b"/", b"\0")


def data_size(entry: IndexEntry) -> int:
    """Return how many bytes of a file's content its archive stores (holes are left out)."""
    if entry.segments is not None:
        return sum(length for _, length in entry.segments)
    return int(MODE_AND_SIZE.unpack_from(entry.stat)[1])


def entry_type(entry: IndexEntry) -> EntryType:
    """Return what the path is."""
    if entry.reason:
        return EntryType.SKIPPED
    mode = int.from_bytes(entry.stat[:4], "little")
    if stat.S_ISDIR(mode):
        return EntryType.DIRECTORY
    if stat.S_ISLNK(mode):
        return EntryType.SYMLINK
    return EntryType.HARDLINK if entry.link else EntryType.FILE


def to_entry(entry: IndexEntry) -> Entry:
    """Return the entry as the rest of the product sees it."""
    facts = unpack_stat(entry.stat)
    return Entry(
        path=entry.path,
        type=entry_type(entry),
        mode=stat.S_IMODE(facts.mode),
        uid=facts.uid,
        gid=facts.gid,
        user=entry.user,
        group=entry.group,
        size=facts.size,
        mtime_ns=facts.mtime_ns,
        sha256=entry.sha256 or None,
        link=entry.link,
        reason=SkipReason(entry.reason) if entry.reason else None,
        detail=entry.detail,
        unstable=bool(entry.flags & UNSTABLE),
    )


def refuse_bad_entry(entry: IndexEntry, frame_counts: list[int]) -> None:
    """Raise ArchiveRefused unless the entry is one that this product can have written.

    `frame_counts` has the number of frames of every archive of the point's table.
    """
    problem = _find_problem(entry, frame_counts)
    if problem:
        raise ArchiveRefused(f"index entry {quoted(entry.path)}: {problem}")


def _find_problem(entry: IndexEntry, frame_counts: list[int]) -> str | None:
    if not is_safe_path(entry.path):
        return "unsafe path"
    if len(entry.stat) != STAT.size:
        return "bad stat"
    if entry.reason:
        return None if entry.reason in _REASONS else "unknown reason"
    if not 0 <= entry.archive < len(frame_counts) or not 0 <= entry.member < len(frame_counts):
        return "unknown archive"
    if not 0 <= entry.frame < frame_counts[entry.archive] or not 0 <= entry.offset < 1 << 32:
        return "place outside the archive"
    mode, size = MODE_AND_SIZE.unpack_from(entry.stat)
    if stat.S_ISREG(mode):
        return _find_file_problem(entry, size) or (None if entry.xattrs is None else _find_xattr_problem(entry.xattrs))
    if entry.segments is not None or entry.sha256:
        return "content where there is none"
    if stat.S_ISLNK(mode):
        bad = not 0 < len(entry.link) <= MAX_SYMLINK_BYTES or b"\0" in entry.link
        return "bad link" if bad else None
    if not stat.S_ISDIR(mode):
        return "not a file, folder or link"
    return "a folder with a link" if entry.link else _find_xattr_problem(entry.xattrs or [])


def _find_file_problem(entry: IndexEntry, size: int) -> str | None:
    if entry.path == b"":
        return "a file without a name"
    if len(entry.sha256) != 32:
        return "no checksum"
    if entry.link and (not is_safe_path(entry.link) or sort_key(entry.link) >= sort_key(entry.path)):
        return "bad hard link"
    if not 0 <= size <= MAX_SIZE_BYTES:
        return "bad size"
    return _find_segment_problem(entry.segments, size) if entry.segments is not None else None


def _find_segment_problem(segments: list[tuple[int, int]], size: int) -> str | None:
    if len(segments) > MAX_SEGMENTS:
        return "too many parts"
    end = 0
    for start, length in segments:
        if start < end or length <= 0:
            return "bad parts"
        end = start + length
    return "bad parts" if end > size else None


def _find_xattr_problem(xattrs: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in xattrs:
        if not 0 < len(name) <= 255 or b"\0" in name or b"=" in name or len(value) > MAX_XATTR_BYTES:
            return "bad attribute"
    return "too many attributes" if len(xattrs) > MAX_XATTRS else None

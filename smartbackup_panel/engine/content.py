"""Reading one file of a tenant's tree: its content, holes, attributes and names, as it is at one moment."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from functools import lru_cache

from smartbackup_panel.engine.entries import MAX_SEGMENTS, MAX_XATTR_BYTES, MAX_XATTRS

_KEPT_NAMESPACES = (b"user.", b"system.posix_acl_")
_SPARSE_FROM_BYTES = 64 * 1024
READ_BYTES = 1 << 20


def read_xattrs(fd: int) -> list[tuple[bytes, bytes]] | None:
    """Return the extended attributes that a tenant may have back, by name, or None when there are none."""
    try:
        names = sorted(map(os.fsencode, os.listxattr(fd)))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF):
            return None
        raise
    found: list[tuple[bytes, bytes]] = []
    for name in names:
        if not name.startswith(_KEPT_NAMESPACES) or b"=" in name:
            continue
        try:
            value = os.getxattr(fd, name)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.EACCES, errno.EPERM):
                continue
            raise
        if len(value) <= MAX_XATTR_BYTES and len(found) < MAX_XATTRS:
            found.append((name, value))
    return found or None


def find_segments(fd: int, found: os.stat_result) -> list[tuple[int, int]] | None:
    """Return where a sparse file has data, as (start, length) in order, or None for a file without holes."""
    size = found.st_size
    if size < _SPARSE_FROM_BYTES or found.st_blocks * 512 >= size:
        return None
    segments: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            return None
        if start < at:
            segments.append((start, at - start))
    if segments == [(0, size)]:
        return None
    return _join_close(segments, MAX_SEGMENTS)


def _join_close(segments: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """Return at most `limit` segments by treating ever larger holes as data."""
    smallest_hole = 4096
    while len(segments) > limit:
        smallest_hole *= 2
        joined = [segments[0]]
        for start, length in segments[1:]:
            last_start, last_length = joined[-1]
            if start - (last_start + last_length) < smallest_hole:
                joined[-1] = (last_start, start + length - last_start)
            else:
                joined.append((start, length))
        segments = joined
    return segments


def is_same_moment(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file did not change between two looks at it."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino, before.st_mode) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_ino,
        after.st_mode,
    )


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """Return the name of a user here, or ""."""
    try:
        return _plain(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return ""


@lru_cache(maxsize=256)
def group_name(gid: int) -> str:
    """Return the name of a group here, or ""."""
    try:
        return _plain(grp.getgrgid(gid).gr_name)
    except KeyError:
        return ""


def _plain(name: str) -> str:
    """Return the name unless it holds what no terminal or tar header should meet."""
    return name if name.isprintable() else ""

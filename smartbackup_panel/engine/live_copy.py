"""Copying what a restore keeps from the live tree into staging, by reflink where the filesystem can."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Protocol

from smartbackup_panel.engine.content import READ_BYTES, find_segments, is_same_moment, read_xattrs
from smartbackup_panel.engine.entries import Stat, pack_stat, unpack_stat
from smartbackup_panel.engine.fsafe import DirectoryCursor, closing, create_file, open_beneath

_FICLONE = 0x40049409
_ATTEMPTS = 4
_MAX_DEPTH = 200
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM, errno.EXDEV)
Xattrs = list[tuple[bytes, bytes]]


class Finishes(Protocol):
    """Gives new inodes their facts."""

    def finish(self, fd: int, facts: Stat, xattrs: Xattrs | None) -> None:
        """Set everything on an open new file or folder."""

    def finish_link(self, dir_fd: int, name: bytes, facts: Stat) -> None:
        """Set what a new symlink has."""


class LiveCopier:
    """Copies paths of the live tree `live_fd` into new inodes."""

    def __init__(self, live_fd: int, finisher: Finishes) -> None:
        self._cursor = DirectoryCursor(live_fd)
        self._finisher = finisher

    def close(self) -> None:
        """Close the folders that are open."""
        self._cursor.close()

    def look(self, path: bytes) -> os.stat_result | None:
        """Return the facts of a live path, or None when it is gone."""
        try:
            parent_fd, name = self._cursor.parent(path)
            return os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def folder_facts(self, path: bytes) -> tuple[Stat, Xattrs | None]:
        """Return the facts and attributes of a live folder."""
        with closing(os.open(b".", _FOLDER_FLAGS | os.O_CLOEXEC, dir_fd=self._cursor.folder(path))) as fd:
            return unpack_stat(pack_stat(os.fstat(fd))), read_xattrs(fd)

    def copy(self, path: bytes, to_fd: int, name: bytes) -> bool:
        """Copy a file or symlink; False when it is gone, unreadable or something else."""
        try:
            parent_fd, own_name = self._cursor.parent(path)
            return self._copy(parent_fd, own_name, to_fd, name)
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise

    def copy_tree(self, path: bytes, to_fd: int, name: bytes) -> tuple[int, list[bytes]]:
        """Copy a folder with all below it; return the number of files and the paths that could not be copied."""
        try:
            source_fd = self._cursor.open(path, _FOLDER_FLAGS)
        except OSError as error:
            if error.errno in _GONE:
                return 0, [path]
            raise
        os.mkdir(name, 0o700, dir_fd=to_fd)
        with closing(source_fd), closing(open_beneath(to_fd, name, _FOLDER_FLAGS)) as new_fd:
            return self._copy_folder(source_fd, new_fd, path)

    def _copy_folder(self, source_fd: int, new_fd: int, path: bytes) -> tuple[int, list[bytes]]:
        copied = 0
        lost: list[bytes] = []
        if path.count(b"/") > _MAX_DEPTH:
            return 0, [path]
        for name in sorted(map(os.fsencode, os.listdir(source_fd))):
            below = path + b"/" + name
            try:
                if stat.S_ISDIR(os.stat(name, dir_fd=source_fd, follow_symlinks=False).st_mode):
                    more, more_lost = self._copy_below(source_fd, new_fd, name, below)
                    copied, lost = copied + more, lost + more_lost
                elif self._copy(source_fd, name, new_fd, name):
                    copied += 1
                else:
                    lost.append(below)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                lost.append(below)
        self._finisher.finish(new_fd, unpack_stat(pack_stat(os.fstat(source_fd))), read_xattrs(source_fd))
        return copied, lost

    def _copy_below(self, source_fd: int, new_fd: int, name: bytes, path: bytes) -> tuple[int, list[bytes]]:
        with closing(open_beneath(source_fd, name, _FOLDER_FLAGS)) as source_child:
            os.mkdir(name, 0o700, dir_fd=new_fd)
            with closing(open_beneath(new_fd, name, _FOLDER_FLAGS)) as new_child:
                return self._copy_folder(source_child, new_child, path)

    def _copy(self, from_fd: int, own_name: bytes, to_fd: int, name: bytes) -> bool:
        found = os.stat(own_name, dir_fd=from_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(own_name, dir_fd=from_fd), name, dir_fd=to_fd)
            self._finisher.finish_link(to_fd, name, unpack_stat(pack_stat(found)))
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        with closing(open_beneath(from_fd, own_name)) as source, closing(create_file(to_fd, name)) as target:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                os.unlink(name, dir_fd=to_fd)
                return False
            found = _copy_content(source, target)
            self._finisher.finish(target, unpack_stat(pack_stat(found)), read_xattrs(source))
        return True


def _copy_content(source: int, target: int) -> os.stat_result:
    """Copy the content, again when it changes meanwhile; return the facts that belong to it."""
    found = os.fstat(source)
    for _ in range(_ATTEMPTS):
        try:
            fcntl.ioctl(target, _FICLONE, source)
            return os.fstat(source)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS):
                raise
        os.ftruncate(target, 0)
        segments = find_segments(source, found)
        for start, length in [(0, found.st_size)] if segments is None else segments:
            _copy_range(source, target, start, length)
        os.ftruncate(target, found.st_size)
        after = os.fstat(source)
        if is_same_moment(found, after):
            break
        found = after
    return found


def _copy_range(source: int, target: int, start: int, length: int) -> None:
    end = start + length
    while start < end:
        piece = os.pread(source, min(READ_BYTES, end - start), start)
        if not piece:
            return
        view = memoryview(piece)
        while view:
            count = os.pwrite(target, view, start)
            start, view = start + count, view[count:]

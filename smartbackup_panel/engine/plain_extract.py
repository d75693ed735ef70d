"""Unpacking a plain tar of anybody: new inodes only, nothing through a link, no rights beyond the user's."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from msgspec.structs import replace

from smartbackup_panel.core.errors import ArchiveRefused
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import EntryType
from smartbackup_panel.engine.entries import Stat
from smartbackup_panel.engine.fsafe import DirectoryCursor, closing, create_file, open_beneath, remove_tree
from smartbackup_panel.engine.plain_tar import PlainTar, TarEntry
from smartbackup_panel.engine.restore_writer import Finisher

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_IMPLIED_MODE = 0o755
"""Of folders that lead to a member and are no members themselves: what tar gives them with the usual umask."""

Advanced = Callable[[int, int], None]


class PlainExtract:
    """Writes one archive into `target_fd`, which is a folder that nobody else writes to.

    It is empty, or `may_replace` lays the archive over what is there: a member takes the place of whatever has its name.
    """

    def __init__(self, target_fd: int, finisher: Finisher, advanced: Advanced, *, may_replace: bool = False) -> None:
        self._finisher = finisher
        self._advanced = advanced
        self._target_fd = target_fd
        self._may_replace = may_replace
        self._cursor = DirectoryCursor(target_fd)
        self._folders: dict[bytes, Stat] = {}
        self._implied: set[bytes] = set()
        self._files = self._bytes = 0

    def write(self, tar: PlainTar) -> tuple[int, int, list[str]]:
        """Return how many files and bytes were written, and warnings. Raises ArchiveDamaged, ArchiveRefused, OSError.

        The caller empties the folder after an error.
        """
        with self._cursor:
            self._note_folder(b"", is_new=not self._may_replace)
            for entry in tar:
                self._write(entry, tar)
                self._advanced(self._files, self._bytes)
            for path in sorted(self._folders, reverse=True):
                self._finish_folder(path, self._folders[path])
        return self._files, self._bytes, self._finisher.warnings()

    def _write(self, entry: TarEntry, tar: PlainTar) -> None:
        if entry.type is EntryType.DIRECTORY:
            self._folder(entry.path)
            self._folders[entry.path] = _facts(entry, stat.S_IFDIR)
            self._implied.discard(entry.path)
            return
        folder, _, name = entry.path.rpartition(b"/")
        parent_fd = self._folder(folder)
        self._date_folder(folder, entry.mtime_ns)
        if self._may_replace:
            remove_tree(parent_fd, name)
        if entry.type is EntryType.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent_fd)
            self._finisher.finish_link(parent_fd, name, _facts(entry, stat.S_IFLNK))
        elif entry.type is EntryType.HARDLINK:
            self._link(entry.link, parent_fd, name)
        else:
            self._file(entry, tar, parent_fd, name)
        self._files += 1

    def _folder(self, path: bytes) -> int:
        """Return a folder's descriptor, made with the folders above it where they are missing."""
        missing: list[bytes] = []
        while True:
            try:
                fd = self._cursor.folder(path)
                break
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP) and self._may_replace:
                    self._remove_in_the_way(path)
                elif error.errno != errno.ENOENT:
                    raise
                path, _, name = path.rpartition(b"/")
                missing.append(name)
        self._note_folder(path, is_new=False)
        while missing:
            name = missing.pop()
            os.mkdir(name, 0o700, dir_fd=fd)
            path = path + b"/" + name if path else name
            fd = self._cursor.folder(path)
            self._note_folder(path, is_new=True)
        return fd

    def _remove_in_the_way(self, path: bytes) -> None:
        """Remove the file or link that the archive has a folder for: this path itself, or one on the way to it."""
        folder, _, name = path.rpartition(b"/")
        try:
            parent_fd = self._cursor.folder(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            return
        os.unlink(name, dir_fd=parent_fd)

    def _note_folder(self, path: bytes, *, is_new: bool) -> None:
        """Note what a folder gets at the end: what it had, or where it is new and no member what is usual."""
        if is_new:
            self._folders[path] = Stat(stat.S_IFDIR | _IMPLIED_MODE, os.geteuid(), os.getegid(), 1, 0, 0, 0, 0, 0)
            self._implied.add(path)
        elif self._may_replace and path not in self._folders:
            fd = self._cursor.folder(path)
            self._folders[path] = found = self._finisher.look(fd)
            if found.mode & 0o300 != 0o300:
                os.chmod(f"/proc/self/fd/{fd}", 0o700)

    def _date_folder(self, path: bytes, mtime_ns: int) -> None:
        """Let a folder that is no member be as young as the youngest thing in it."""
        if path in self._implied and mtime_ns > self._folders[path].mtime_ns:
            self._folders[path] = replace(self._folders[path], mtime_ns=mtime_ns)

    def _file(self, entry: TarEntry, tar: PlainTar, parent_fd: int, name: bytes) -> None:
        with closing(create_file(parent_fd, name)) as fd:
            for piece in tar.content():
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            self._finisher.finish(fd, _facts(entry, stat.S_IFREG), None)
        self._bytes += entry.size

    def _link(self, target: bytes, parent_fd: int, name: bytes) -> None:
        """Make a further name of a file that was written before; never of anything else."""
        folder, _, first = target.rpartition(b"/")
        with closing(os.dup(parent_fd)) as here:
            first_fd = self._folder(folder)
            with closing(open_beneath(first_fd, first, os.O_PATH)) as found_fd:
                if not stat.S_ISREG(os.fstat(found_fd).st_mode):
                    raise ArchiveRefused(f"{quoted(target)} is no file to link to")
            os.link(first, name, src_dir_fd=first_fd, dst_dir_fd=here, follow_symlinks=False)

    def _finish_folder(self, path: bytes, facts: Stat) -> None:
        with closing(open_beneath(self._cursor.folder(path), b".", _FOLDER_FLAGS)) as fd:
            self._finisher.finish(fd, facts, None)


def _facts(entry: TarEntry, kind: int) -> Stat:
    """Return what a finisher gives to the new inode."""
    return Stat(kind | entry.mode, entry.uid, entry.gid, 1, entry.size, entry.mtime_ns, 0, 0, 0)

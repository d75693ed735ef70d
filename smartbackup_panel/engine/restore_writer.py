"""Filling a staging folder: every path a new inode, every file checked, folders finished after their content."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused, RestoreFailed
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import EntryType, StageSummary
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import SQLITE, IndexEntry, Stat, entry_type, pack_stat, unpack_stat
from smartbackup_panel.engine.fsafe import DirectoryCursor, closing, create_file, open_beneath
from smartbackup_panel.engine.giver import Giver
from smartbackup_panel.engine.live_copy import LiveCopier
from smartbackup_panel.engine.ownership import Ownership, restored_mode
from smartbackup_panel.engine.restore_choice import Action, Choice
from smartbackup_panel.engine.scan import Identity
from smartbackup_panel.engine.sqlite_files import SIDES
from smartbackup_panel.engine.syscalls import begin_writeback, syncfs

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_WRITEBACK_BYTES = 128 * 1024
"""Files from this size on are handed to the disk at once, so that the flush at the end has little left to wait for."""

_PROGRESS_SECONDS = 0.25
_TOLD_PATHS = 5
Advanced = Callable[[int, int], None]
Xattrs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _OpenFolder:
    path: bytes
    fd: int
    facts: Stat
    xattrs: Xattrs | None


@dataclass(frozen=True, slots=True)
class _StagedLink:
    """The first name that an inode with several names got in staging."""

    path: bytes
    inode: int


class Finisher:
    """Gives new inodes their owner, mode, attributes and times, and notes what could not be given."""

    def __init__(self, ownership: Ownership, giver: Giver | None = None) -> None:
        self._ownership = ownership
        self._giver = giver
        self._owner_lost = 0
        self._xattrs_lost = 0

    def finish(self, fd: int, facts: Stat, xattrs: Xattrs | None) -> None:
        """Set everything on an open new file or folder; the time last."""
        self._set_xattrs(fd, xattrs or [])
        uid, gid = self._ownership.owner(facts)
        if (uid, gid) != (-1, -1):
            os.fchown(fd, uid, gid)
        os.fchmod(fd, restored_mode(facts.mode))
        os.utime(fd, ns=(facts.mtime_ns, facts.mtime_ns))
        self._give(fd, facts, later=facts.nlink > 1 and not stat.S_ISDIR(facts.mode))

    def finish_link(self, dir_fd: int, name: bytes, facts: Stat) -> None:
        """Set owner and time of a new symlink."""
        uid, gid = self._ownership.owner(facts)
        if (uid, gid) != (-1, -1):
            os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
        os.utime(name, ns=(facts.mtime_ns, facts.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        if self._ownership.gift(facts):
            with closing(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)) as fd:
                self._give(fd, facts)

    def look(self, fd: int) -> Stat:
        """Return the facts of something that was finished before."""
        return unpack_stat(pack_stat(os.fstat(fd)))

    def _give(self, fd: int, facts: Stat, *, later: bool = False) -> None:
        gift = self._ownership.gift(facts)
        if gift is None:
            return
        if self._giver is None:
            self._owner_lost += 1
        else:
            self._giver.give(fd, *gift, later=later)

    def hand_over(self) -> None:
        """Give away what waits for the end. Raises RestoreFailed."""
        if self._giver is not None:
            self._giver.finish()

    def close(self) -> None:
        """Forget what waits, after a failure."""
        if self._giver is not None:
            self._giver.drop()

    def _set_xattrs(self, fd: int, xattrs: Xattrs) -> None:
        for name, value in xattrs:
            if not self._ownership.may_have(name, value):
                self._xattrs_lost += 1
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self._xattrs_lost += 1

    def warnings(self) -> list[str]:
        """Return sentences about what could not be given."""
        found = []
        if self._owner_lost:
            found.append(
                f"{self._owner_lost} paths were a web user's or its group's and now belong to the domain's own user."
            )
        if self._xattrs_lost:
            found.append(f"{self._xattrs_lost} extended attributes were not put back.")
        return found


class RestoreWriter:
    """Writes one restore into the folder `target_fd`, copying from `live_fd` what is kept."""

    def __init__(
        self,
        point: ArchiveSet,
        target_fd: int,
        live_fd: int | None,
        finisher: Finisher,
        advanced: Advanced,
        *,
        may_replace: bool = False,
    ) -> None:
        self._point = point
        self._target_fd = target_fd
        self._finisher = finisher
        self._live = None if live_fd is None else LiveCopier(live_fd, self._finisher)
        self._advanced = advanced
        self._may_replace = may_replace
        self._stack: list[_OpenFolder] = []
        self._links = DirectoryCursor(target_fd)
        self._first_links: dict[bytes | Identity, _StagedLink] = {}
        self._restored_files = self._restored_bytes = self._kept_files = 0
        self._lost: list[bytes] = []
        self._told_at = 0.0

    def write(self, choices: Iterable[Choice]) -> StageSummary:
        """Carry out all choices and flush them to disk. Raises RestoreFailed, ArchiveDamaged, OSError (ENOSPC)."""
        started = time.monotonic()
        try:
            for choice in choices:
                self._carry_out(choice)
                self._tell()
            self._leave_to(b"", is_end=True)
            self._finisher.hand_over()
            syncfs(self._target_fd)
        finally:
            for folder in self._stack:
                os.close(folder.fd)
            self._links.close()
            self._finisher.close()
            if self._live is not None:
                self._live.close()
        return StageSummary(
            restored_files=self._restored_files,
            restored_bytes=self._restored_bytes,
            kept_files=self._kept_files,
            warnings=tuple(self._warnings()),
            seconds=time.monotonic() - started,
        )

    def _carry_out(self, choice: Choice) -> None:
        if choice.action is Action.RESTORE and choice.entry is not None:
            self._restore(choice.entry)
        elif choice.seen is not None and choice.action in (Action.KEEP, Action.KEEP_TREE):
            self._keep(choice.path, choice.action)
        elif choice.action is Action.LOSE:
            self._lost.append(choice.path)

    def _leave_to(self, parent: bytes, *, is_end: bool = False) -> None:
        """Finish the folders under way that do not hold `parent`."""
        while self._stack:
            top = self._stack[-1]
            if not is_end and (top.path == b"" or top.path == parent or parent.startswith(top.path + b"/")):
                return
            self._finisher.finish(top.fd, top.facts, top.xattrs)
            os.close(top.fd)
            self._stack.pop()

    def _find_parent(self, path: bytes) -> int | None:
        """Return the open folder that holds `path`, or None when it is none in this restore."""
        parent = path.rpartition(b"/")[0]
        self._leave_to(parent)
        if not self._stack:
            return None
        return self._stack[-1].fd if self._stack[-1].path == parent else None

    def _restore(self, entry: IndexEntry) -> None:
        facts = unpack_stat(entry.stat)
        if entry.path == b"":
            self._enter_root(facts, entry.xattrs)
            return
        parent_fd = self._find_parent(entry.path)
        if parent_fd is None:
            raise ArchiveRefused(f"the point has no folder for {quoted(entry.path)}")
        name = entry.path.rpartition(b"/")[2]
        kind = entry_type(entry)
        if kind is EntryType.DIRECTORY:
            self._enter(parent_fd, name, entry.path, facts, entry.xattrs)
        elif kind is EntryType.SYMLINK:
            self._make_room(parent_fd, name)
            os.symlink(entry.link, name, dir_fd=parent_fd)
            self._finisher.finish_link(parent_fd, name, facts)
            self._restored_files += 1
        else:
            self._restore_file(parent_fd, name, entry, facts)

    def _enter_root(self, facts: Stat, xattrs: Xattrs | None) -> None:
        if not stat.S_ISDIR(facts.mode):
            raise ArchiveRefused("the point's own folder is not a folder")
        fd = os.open(b".", _FOLDER_FLAGS | os.O_CLOEXEC, dir_fd=self._target_fd)
        own = msgspec.structs.replace(facts, uid=os.geteuid())  # the domain's folder stays its owner's
        self._stack.append(_OpenFolder(b"", fd, own, xattrs))

    def _enter(self, parent_fd: int, name: bytes, path: bytes, facts: Stat, xattrs: Xattrs | None) -> None:
        if not self._make_room(parent_fd, name, for_folder=True):
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        fd = open_beneath(parent_fd, name, _FOLDER_FLAGS)
        self._stack.append(_OpenFolder(path, fd, facts, xattrs))

    def _make_room(self, parent_fd: int, name: bytes, *, for_folder: bool = False) -> bool:
        """Take away what is at the name already; True when it is a folder that can be used as it is."""
        if not self._may_replace:
            return False
        try:
            found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent_fd)
            return False
        if not for_folder:
            raise RestoreFailed(f"a folder is where the file {quoted(name)} belongs")
        return True

    def _restore_file(self, parent_fd: int, name: bytes, entry: IndexEntry, facts: Stat) -> None:
        self._restored_files += 1
        self._make_room(parent_fd, name)
        if self._may_replace and entry.flags & SQLITE:
            for side in SIDES:  # of another moment; SQLite would apply it to this one
                self._make_room(parent_fd, name + side)
        first = entry.link or entry.path
        if self._link(first, parent_fd, name):
            return
        with closing(create_file(parent_fd, name)) as fd:
            self._restored_bytes += self._write_content(fd, entry, facts.size)
            self._finisher.finish(fd, facts, entry.xattrs)
            if facts.nlink > 1:
                self._first_links[first] = _StagedLink(entry.path, os.fstat(fd).st_ino)

    def _link(self, first: bytes | Identity, parent_fd: int, name: bytes) -> bool:
        """Make a further link to what is staged of this inode; False when nothing of it is, or it cannot be linked."""
        staged = self._first_links.get(first)
        if staged is None:
            return False
        first_fd, first_name = self._links.parent(staged.path)
        try:
            os.link(first_name, name, src_dir_fd=first_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.EMLINK, errno.EACCES, errno.EPERM):
                return False
            raise
        if os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_ino != staged.inode:
            raise RestoreFailed(f"{quoted(staged.path)} was replaced while it was restored")
        return True

    def _write_content(self, fd: int, entry: IndexEntry, size: int) -> int:
        """Write a file's data where it belongs and its holes as holes; return the bytes written."""
        segments = [(0, size)] if entry.segments is None else entry.segments
        places = iter(segments)
        at, room, written = 0, 0, 0
        for piece in self._point.checked_data(entry):
            view = memoryview(piece)
            while view:
                if room == 0:
                    at, room = next(places, (0, 0))
                    if room == 0:
                        raise ArchiveDamaged(f"{quoted(entry.path)} has more content than its parts say")
                count = os.pwrite(fd, view[:room], at)
                at, room, written = at + count, room - count, written + count
                view = view[count:]
            self._told(written)
        if entry.segments is not None:
            os.ftruncate(fd, size)
        if written >= _WRITEBACK_BYTES:
            begin_writeback(fd, 0, size)
        return written

    def _keep(self, path: bytes, action: Action) -> None:
        """Copy a live path, unless the point has something else where its folder was."""
        if self._live is None:
            return
        if path == b"":
            facts, xattrs = self._live.folder_facts(b"")
            self._enter_root(facts, xattrs)
            return
        parent_fd = self._find_parent(path)
        if parent_fd is None:
            return
        name = path.rpartition(b"/")[2]
        if action is Action.KEEP_TREE:
            copied, lost = self._live.copy_tree(path, parent_fd, name)
            self._kept_files += copied
            self._lost += lost
            return
        found = self._live.look(path)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            self._enter(parent_fd, name, path, *self._live.folder_facts(path))
        else:
            self._keep_file(path, found, parent_fd, name)

    def _keep_file(self, path: bytes, found: os.stat_result, parent_fd: int, name: bytes) -> None:
        identity = (found.st_dev, found.st_ino)
        if self._link(identity, parent_fd, name):
            self._kept_files += 1
        elif self._live is not None and self._live.copy(path, parent_fd, name):
            self._kept_files += 1
            if found.st_nlink > 1:
                inode = os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_ino
                self._first_links[identity] = _StagedLink(path, inode)
        else:
            self._lost.append(path)

    def _tell(self) -> None:
        self._told(0)

    def _told(self, more_bytes: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._advanced(self._restored_files, self._restored_bytes + more_bytes)

    def _warnings(self) -> list[str]:
        found = self._finisher.warnings()
        if self._lost:
            shown = ", ".join(path[:100].decode(errors="backslashreplace") for path in self._lost[:_TOLD_PATHS])
            found.append(f"{len(self._lost)} live paths could not be kept and are only in the undo: {shown}.")
        return found

"""Saying what a restore would do, before anything is done."""

from __future__ import annotations

import os
from collections.abc import Iterable

from smartbackup_panel.core.tree import RestoreOptions, RestorePlan, SkipReason
from smartbackup_panel.engine.changes import is_folder
from smartbackup_panel.engine.entries import STAT, IndexEntry, data_size
from smartbackup_panel.engine.lists import NameCollector, SkippedCollector
from smartbackup_panel.engine.restore_choice import IMMOVABLE, Action, Choice, choose
from smartbackup_panel.engine.spool import Seen

_ENTRY_BYTES = 4096
"""What an inode and the last block of a file take at most, beyond its bytes."""


def plan_restore(
    point: Iterable[IndexEntry], live: Iterable[Seen], options: RestoreOptions, target_fd: int
) -> RestorePlan:
    """Return the plan; `target_fd` lies on the filesystem where staging would be. Raises UnknownPath, UnsafePath."""
    plan = _Planner()
    for choice in choose(point, live, options):
        plan.add(choice)
    return plan.result(free_bytes(target_fd))


def free_bytes(fd: int) -> int:
    """Return the room for files of this user on the filesystem of `fd`."""
    found = os.statvfs(fd)
    return found.f_bavail * found.f_frsize


class _Planner:
    def __init__(self) -> None:
        self._added, self._replaced = NameCollector(), NameCollector()
        self._removed, self._kept = NameCollector(), NameCollector()
        self._not_kept = SkippedCollector()
        self._unchanged_count = self._restored_bytes = self._bytes_needed = 0
        self._obstacle = ""

    def add(self, choice: Choice) -> None:
        """Count one decision."""
        if choice.action is Action.RESTORE and choice.entry is not None:
            self._add_restored(choice.entry, choice.seen)
        elif choice.seen is not None:
            self._add_live(choice.action, choice.seen)

    def _add_restored(self, entry: IndexEntry, seen: Seen | None) -> None:
        size = 0 if is_folder(entry.stat) or entry.link else data_size(entry)
        self._restored_bytes += size
        self._bytes_needed += size + _ENTRY_BYTES
        if is_folder(entry.stat):
            return
        if seen is None or seen.reason:
            self._added.add(entry.path)
        elif _looks_equal(entry, seen):
            self._unchanged_count += 1
        else:
            self._replaced.add(entry.path)

    def _add_live(self, action: Action, seen: Seen) -> None:
        if action is Action.LOSE:
            reason = SkipReason(seen.reason)
            self._not_kept.add(seen.path, reason, seen.detail)
            if reason in IMMOVABLE and not self._obstacle:
                self._obstacle = _describe_obstacle(seen.path, reason)
        elif is_folder(seen.stat):
            return
        elif action is Action.REMOVE:
            self._removed.add(seen.path)
        else:
            self._kept.add(seen.path)
            self._bytes_needed += int(STAT.unpack(seen.stat)[4]) + _ENTRY_BYTES

    def result(self, bytes_free: int) -> RestorePlan:
        """Return the plan."""
        return RestorePlan(
            added=self._added.result(),
            replaced=self._replaced.result(),
            removed=self._removed.result(),
            kept=self._kept.result(),
            unchanged_count=self._unchanged_count,
            not_kept=self._not_kept.result(),
            restored_bytes=self._restored_bytes,
            bytes_needed=self._bytes_needed,
            bytes_free=bytes_free,
            obstacle=self._obstacle,
        )


def _describe_obstacle(path: bytes, reason: SkipReason) -> str:
    """Return why a tree with such a path cannot be exchanged as a whole."""
    shown = path[:200].decode(errors="backslashreplace")
    if reason is SkipReason.NESTED_ROOT:
        return f"{shown} is the folder of another domain, which would be moved too"
    return f"{shown} is another filesystem, which cannot be moved"


def _looks_equal(entry: IndexEntry, seen: Seen) -> bool:
    """Whether type, mode, size, time and link are the same (the content is not read for a plan)."""
    mine, theirs = STAT.unpack(entry.stat), STAT.unpack(seen.stat)
    same_link = not seen.link or seen.link == entry.link
    return mine[0] == theirs[0] and mine[4:6] == theirs[4:6] and same_link

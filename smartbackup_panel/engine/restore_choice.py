"""What becomes of every path in a restore: from the point, from the live tree, or gone. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from smartbackup_panel.core.errors import UnknownPath, UnsafePath
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import RestoreMode, RestoreOptions, SkipReason
from smartbackup_panel.engine.changes import is_folder, merge
from smartbackup_panel.engine.entries import SQLITE, IndexEntry
from smartbackup_panel.engine.fsafe import is_safe_path
from smartbackup_panel.engine.spool import Seen
from smartbackup_panel.engine.sqlite_files import is_beside

IMMOVABLE = frozenset({SkipReason.NESTED_ROOT, SkipReason.OTHER_FILESYSTEM})
"""What an exchange of the whole folder would take away from its place."""

_OUT_OF_SCOPE = frozenset({SkipReason.EXCLUDED, SkipReason.OWN_FOLDER})


class Action(Enum):
    """RESTORE from the point, KEEP the live path, KEEP_TREE (it and all below it), REMOVE it, or LOSE what cannot be kept."""

    RESTORE = 1
    KEEP = 2
    KEEP_TREE = 3
    REMOVE = 4
    LOSE = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision for one path; `entry` is the point's side, `seen` the live one."""

    action: Action
    path: bytes
    entry: IndexEntry | None
    seen: Seen | None


class Scope:
    """Which paths a restore is about."""

    def __init__(self, paths: tuple[bytes, ...]) -> None:
        """Take the chosen paths; none means all. Raises UnsafePath."""
        for path in paths:
            if not is_safe_path(path):
                raise UnsafePath(f"{quoted(path)} is not a path inside the domain's folder")
        self._paths = frozenset(paths)
        self._is_all = not paths or b"" in self._paths
        self._above = {path[:at] for path in paths for at in _slashes(path)} | {b""}
        self.unmet = set() if self._is_all else set(paths)

    def holds(self, path: bytes) -> bool:
        """Whether the path is chosen or lies below a chosen one."""
        if self._is_all or path in self._paths:
            return True
        return any(path[:at] in self._paths for at in _slashes(path))

    def is_above(self, path: bytes) -> bool:
        """Whether a chosen path lies below this one."""
        return path in self._above


def _slashes(path: bytes) -> Iterator[int]:
    at = path.find(b"/")
    while at >= 0:
        yield at
        at = path.find(b"/", at + 1)


def choose(point: Iterable[IndexEntry], live: Iterable[Seen], options: RestoreOptions) -> Iterator[Choice]:
    """Yield the decision for every path, in path order. Raises UnknownPath at the end for a path the point lacks.

    What the point had left out (and all below it) it knows nothing about: the live path stays, also in an exact restore.
    The log beside a database that comes back goes, whatever was chosen: it is of another moment.
    """
    scope = Scope(options.paths)
    databases: set[bytes] = set()
    unknown: bytes | None = None
    for entry, seen in merge(point, live):
        path = entry.path if entry is not None else seen.path if seen is not None else b""
        if entry is not None and entry.reason:
            unknown, entry = path, None
        is_unknown = unknown is not None and (path == unknown or path.startswith(unknown + b"/"))
        if entry is not None:
            scope.unmet.discard(path)
        action = _choose_action(path, entry, seen, scope, RestoreMode.MERGE if is_unknown else options.mode)
        if action is Action.RESTORE and entry is not None and entry.flags & SQLITE:
            databases.add(path)
        elif action is Action.KEEP and is_beside(path, databases):
            action = Action.REMOVE
        if action is not None:
            yield Choice(action, path, entry, seen)
    if scope.unmet:
        raise UnknownPath(f"the point has no {quoted(min(scope.unmet))}")


def _choose_action(
    path: bytes, entry: IndexEntry | None, seen: Seen | None, scope: Scope, mode: RestoreMode
) -> Action | None:
    if seen is not None and seen.reason in IMMOVABLE:
        return Action.LOSE
    if entry is not None:
        if scope.holds(path):
            return Action.RESTORE
        if scope.is_above(path) and (seen is None or not is_folder(seen.stat)):
            return Action.RESTORE
    if seen is None:
        return None
    if seen.reason:
        reason = SkipReason(seen.reason)
        if reason in _OUT_OF_SCOPE:
            return Action.KEEP_TREE if is_folder(seen.stat) else Action.KEEP
        return Action.LOSE
    if mode is RestoreMode.MERGE or not scope.holds(path):
        return Action.KEEP
    return Action.REMOVE

"""What differs between two lists of paths, by a streaming merge in path order."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from smartbackup_panel.core.tree import Changes
from smartbackup_panel.engine.entries import UNSTABLE, IndexEntry, sort_key
from smartbackup_panel.engine.lists import NameCollector
from smartbackup_panel.engine.new_names import NewNames, Stored
from smartbackup_panel.engine.spool import Seen

YOUNG_NS = 2_000_000_000
"""A timestamp less than this before the earlier scan, or after it, proves nothing: the clock of a filesystem ticks
coarsely, and a second change in the same tick leaves the same times."""


class HasPath(Protocol):
    """Anything that belongs to a path."""

    @property
    def path(self) -> bytes:
        """The path, relative to the domain's folder."""


Left = TypeVar("Left", bound=HasPath)
Right = TypeVar("Right", bound=HasPath)


def merge(left: Iterable[Left], right: Iterable[Right]) -> Iterator[tuple[Left | None, Right | None]]:
    """Yield pairs of the two sides' items at the same path, with None where a side has nothing there."""
    left_items, right_items = iter(left), iter(right)
    mine, theirs = next(left_items, None), next(right_items, None)
    while mine is not None and theirs is not None:
        if mine.path == theirs.path:
            yield mine, theirs
            mine, theirs = next(left_items, None), next(right_items, None)
        elif sort_key(mine.path) < sort_key(theirs.path):
            yield mine, None
            mine = next(left_items, None)
        else:
            yield None, theirs
            theirs = next(right_items, None)
    while mine is not None:
        yield mine, None
        mine = next(left_items, None)
    while theirs is not None:
        yield None, theirs
        theirs = next(right_items, None)


def looks_unchanged(seen: Seen, earlier: IndexEntry) -> bool:
    """Whether every recorded fact of a path is the same."""
    return seen.stat == earlier.stat and not earlier.reason and (not seen.link or seen.link == earlier.link)


def is_settled(earlier: IndexEntry, young_from_ns: int) -> bool:
    """Whether equal facts prove equal content: the times are old enough, and the file held still when it was read."""
    mtime_ns = int.from_bytes(earlier.stat[24:32], "little", signed=True)
    ctime_ns = int.from_bytes(earlier.stat[32:40], "little", signed=True)
    return mtime_ns < young_from_ns and ctime_ns < young_from_ns and not earlier.flags & UNSTABLE


def is_folder(packed_stat: bytes) -> bool:
    """Whether a packed stat is a folder's."""
    return stat.S_ISDIR(int.from_bytes(packed_stat[:4], "little"))


class ChangesCollector:
    """Collects what was added, changed and removed; folders do not count."""

    def __init__(self) -> None:
        self._added, self._changed, self._removed = NameCollector(), NameCollector(), NameCollector()

    def note_added(self, path: bytes, packed_stat: bytes) -> None:
        """Count a new path."""
        if not is_folder(packed_stat):
            self._added.add(path)

    def note_changed(self, path: bytes, packed_stat: bytes) -> None:
        """Count a changed path."""
        if not is_folder(packed_stat):
            self._changed.add(path)

    def note_removed(self, earlier: IndexEntry) -> None:
        """Count a path that is gone; what the earlier point left out was never there."""
        if not earlier.reason and not is_folder(earlier.stat):
            self._removed.add(earlier.path)

    def result(self) -> Changes:
        """Return the three lists."""
        return Changes(self._added.result(), self._changed.result(), self._removed.result())


class Comparison(NamedTuple):
    """What a scan shows to differ from an earlier point.

    `is_same`: every path is in both with the same facts, and none has several links or held no still when it was read.
    Together with times that are old enough (see `is_settled`) this proves that nothing has changed.
    `stored`: where the earlier point has the content of files that got another link.
    """

    changes: Changes
    is_same: bool
    stored: Stored


def compare(scanned: Iterable[Seen], earlier: Iterable[IndexEntry]) -> Comparison:
    """Compare by facts alone (nothing is read), both lists in one pass."""
    changes, names, is_same = ChangesCollector(), NewNames(), True
    for seen, before in merge(scanned, earlier):
        if seen is None:
            is_same = False
            if before is not None:
                changes.note_removed(before)
                names.note_stored(before)
        elif before is None:
            is_same = False
            if not seen.reason:
                changes.note_added(seen.path, seen.stat)
                names.note_new(seen)
        elif seen.reason or before.reason:
            is_same = is_same and is_left_out_alike(seen, before)
            if not seen.reason:
                changes.note_added(seen.path, seen.stat)
        elif seen.stat != before.stat or seen.link != before.link or before.flags & UNSTABLE:
            is_same = False
            if not looks_unchanged(seen, before):
                changes.note_changed(seen.path, seen.stat)
                names.note_stored(before)
                if seen.stat[40:56] != before.stat[40:56]:
                    names.note_new(seen)
    return Comparison(changes.result(), is_same, names.result())


def is_left_out_alike(seen: Seen, before: IndexEntry) -> bool:
    """Whether a path is left out now as it was; what it looks like does not count then."""
    return (seen.reason, seen.detail) == (before.reason, before.detail)

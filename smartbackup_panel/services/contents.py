"""Looking into points: their archives opened for reading, and two points compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from smartbackup_panel.adapters.db import domains
from smartbackup_panel.core.errors import UnknownPath
from smartbackup_panel.core.model import COMMAND_LINE
from smartbackup_panel.core.tree import Entry, EntryType
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import sort_key
from smartbackup_panel.services import store

if TYPE_CHECKING:
    from smartbackup_panel.services.installation import Installation
    from smartbackup_panel.services.queries import Queries


@contextmanager
def open_archives(installation: Installation, queries: Queries, domain_id: str, point: str) -> Iterator[ArchiveSet]:
    """Give the archives of a point, found by its id, time or name. Raises UnknownPoint, UnknownPath for one without files."""
    found = queries.point_named(COMMAND_LINE, domain_id, point)
    if found.archive is None:
        raise UnknownPath("this restore point holds databases only")
    with installation.state.read() as tx:
        domain = domains.get_domain(tx, domain_id)
    with (
        store.open_store(installation, domain) as folder_fd,
        store.open_point(installation, folder_fd, found.archive) as archives,
    ):
        yield archives


def compare_points(
    installation: Installation, queries: Queries, domain_id: str, older: str, newer: str
) -> dict[str, list[str]]:
    """Return the paths that were added, changed and removed between two points, in path order; folders are not counted."""
    found: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}
    with (
        open_archives(installation, queries, domain_id, older) as before,
        open_archives(installation, queries, domain_id, newer) as after,
    ):
        for old, new in _pairs(before.entries(), after.entries()):
            if old is None and new is not None:
                found["added"].append(_name(new))
            elif new is None and old is not None:
                found["removed"].append(_name(old))
            elif old is not None and new is not None and _what(old) != _what(new):
                found["changed"].append(_name(new))
    return found


def _pairs(before: Iterator[Entry], after: Iterator[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield both lists side by side in path order; both are sorted, so nothing is kept in memory."""
    old, new = _next_content(before), _next_content(after)
    while old is not None or new is not None:
        if new is None or (old is not None and sort_key(old.path) < sort_key(new.path)):
            yield old, None
            old = _next_content(before)
        elif old is None or sort_key(new.path) < sort_key(old.path):
            yield None, new
            new = _next_content(after)
        else:
            yield old, new
            old, new = _next_content(before), _next_content(after)


def _next_content(entries: Iterator[Entry]) -> Entry | None:
    return next((entry for entry in entries if entry.type not in (EntryType.DIRECTORY, EntryType.SKIPPED)), None)


def _what(entry: Entry) -> tuple[object, ...]:
    return (entry.type, entry.sha256, entry.link, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns)


def _name(entry: Entry) -> str:
    return entry.path.decode("utf-8", "surrogateescape")

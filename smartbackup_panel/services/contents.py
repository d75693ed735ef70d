"""Looking into points: folders, what became of a file, two points compared, names; answered by the catalog.

Pages and the command line ask here. Only the command line and the worker may open archives themselves (SECURITY rule 27).
"""

from __future__ import annotations

import heapq
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartbackup_panel.adapters.db import catalog, catalog_file, domains, points
from smartbackup_panel.core.errors import CatalogBehind, UnknownPath, UnknownPoint
from smartbackup_panel.core.model import COMMAND_LINE, Actor, Domain, Point
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import Entry, EntryType
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.services import store
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.pages import Comparison, Difference, Differences, Folder, Found, History, Version
from smartbackup_panel.services.paths import checked_path

if TYPE_CHECKING:
    from smartbackup_panel.services.queries import Queries

PAGE_SIZE = 500
DIFFERENCES = 200
MOST_HITS = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contents:
    """Every question takes the actor first. Raises UnknownDomain, UnknownPoint, UnknownPath alike for "not there" and "not yours".

    CatalogBehind says that a point's list is not ready yet, UnsafePath that a text is no path inside a domain's folder.
    """

    installation: Installation

    def folder(self, actor: Actor, domain_id: str, point_id: str, path: bytes, after: bytes = b"") -> Folder:
        """Return a page of a folder's content."""
        domain, every = self._domain(actor, domain_id)
        point = _point(every, point_id)
        with self._catalog(domain) as (connection, numbers):
            number = _number(numbers, point)
            own = catalog.find(connection, number, checked_path(path))
            if own is None or own.type is not EntryType.DIRECTORY:
                raise UnknownPath(f"the restore point has no folder {quoted(path)}")
            rows = catalog.children(connection, number, path, after, PAGE_SIZE + 1)
            total = (
                len(rows) if not after and len(rows) <= PAGE_SIZE else catalog.count_children(connection, number, path)
            )
        shown = rows[:PAGE_SIZE]
        more = catalog.split(shown[-1].path)[1] if len(rows) > PAGE_SIZE else None
        return Folder(domain, point, path, tuple(shown), total, more)

    def entry(self, actor: Actor, domain_id: str, point_id: str, path: bytes) -> Entry:
        """Return what a point holds at a path."""
        domain, every = self._domain(actor, domain_id)
        with self._catalog(domain) as (connection, numbers):
            found = catalog.find(connection, _number(numbers, _point(every, point_id)), checked_path(path))
        if found is None:
            raise UnknownPath(f"the restore point has no {quoted(path)}")
        return found

    def history(self, actor: Actor, domain_id: str, path: bytes) -> History:
        """Return what became of a path over all points."""
        domain, every = self._domain(actor, domain_id)
        with self._catalog(domain) as (connection, numbers):
            versions = catalog.history(connection, checked_path(path))
        told = tuple(_version(row, every, numbers) for row in versions)
        if not told:
            raise UnknownPath(f"no restore point has {quoted(path)}")
        return History(domain, path, tuple(version for version in told if version.points))

    def compare(
        self,
        actor: Actor,
        domain_id: str,
        one_id: str,
        other_id: str,
        after: Mapping[str, bytes] | None = None,
        limit: int | None = DIFFERENCES,
    ) -> Comparison:
        """Return what differs between two points, the older one first however they are given.

        Of the added, changed and removed paths each the first `limit` (None: all) are told, or those that come `after` one.
        """
        domain, every = self._domain(actor, domain_id)
        older, newer = sorted((_point(every, one_id), _point(every, other_id)), key=lambda point: point.created_at)
        with self._catalog(domain) as (connection, numbers):
            sides = _number(numbers, older), _number(numbers, newer)
            found = catalog.differences(connection, *sides)
            told = {
                kind: _told(connection, sides, paths, (after or {}).get(kind, b""), limit)
                for kind, paths in found._asdict().items()
            }
        return Comparison(domain, older, newer, **told)

    def search(self, actor: Actor, domain_id: str, text: str) -> Found:
        """Return the paths of all points whose name contains `text`, whatever the case of its letters.

        With a slash in it, what stands before the last one must be in the folder's path. Nothing is found for no text.
        """
        domain, every = self._domain(actor, domain_id)
        folder, _, name = text.strip().strip("/").rpartition("/")
        word = catalog.fold(name.encode("utf-8", "surrogateescape"))
        if not word or "\0" in word:
            return Found(domain, text, (), False)
        with self._catalog(domain) as (connection, numbers):
            rows = catalog.search(connection, word, MOST_HITS + 1)
        above = catalog.fold(folder.encode("utf-8", "surrogateescape"))
        kept = [row for row in rows[:MOST_HITS] if above in catalog.fold(catalog.split(row.entry.path)[0])]
        hits = [hit for hit in (_version(row, every, numbers) for row in kept) if hit.points]
        hits.sort(
            key=lambda hit: (not hit.is_newest, catalog.fold(catalog.split(hit.entry.path)[1]) != word, hit.entry.path)
        )
        return Found(domain, text, tuple(hits), len(rows) > MOST_HITS)

    @contextmanager
    def rows_of(self, actor: Actor, point: Point) -> Iterator[Iterator[catalog.Row]]:
        """Give all paths of a point as `catalog.walk` yields them."""
        domain, _ = self._domain(actor, point.domain_id)
        with self._catalog(domain) as (connection, numbers):
            yield catalog.walk(connection, _number(numbers, point))

    def _domain(self, actor: Actor, domain_id: str) -> tuple[Domain, list[Point]]:
        """Return a domain of the actor's and its points, newest first."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            return domain, points.list_points(tx, domain.id)

    @contextmanager
    def _catalog(self, domain: Domain) -> Iterator[tuple[sqlite3.Connection, dict[str, int]]]:
        """Give the domain's catalog and the numbers of its points."""
        try:
            with catalog_file.open_for_reading(self.installation.catalog_file(domain.id)) as connection:
                yield connection, catalog_file.list_points(connection)
        except (FileNotFoundError, sqlite3.Error) as error:
            log.info("catalog of %s not readable: %s", domain.name, error)
            raise CatalogBehind("the list of this site's files is being made") from error


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


def _point(every: list[Point], point_id: str) -> Point:
    found = next((point for point in every if point.id == point_id), None)
    if found is None:
        raise UnknownPoint("there is no such restore point")
    if found.archive is None:
        raise UnknownPath("this restore point holds databases only")
    return found


def _number(numbers: dict[str, int], point: Point) -> int:
    if point.id not in numbers:
        raise CatalogBehind(f"the list of the restore point of {point.created_at:%Y-%m-%d %H:%M} is being made")
    return numbers[point.id]


def _version(row: catalog.Version, every: list[Point], numbers: dict[str, int]) -> Version:
    last = max(numbers.values()) if row.last is None else row.last
    having = tuple(point for point in every if row.first <= numbers.get(point.id, -1) <= last)
    return Version(row.entry, having, row.last is None)


def _told(
    connection: sqlite3.Connection, sides: tuple[int, int], paths: list[bytes], after: bytes, limit: int | None
) -> Differences:
    """Return a page of differing paths with what the two points have there."""
    wanted = [path for path in paths if catalog.key_of(path) > catalog.key_of(after)] if after else paths
    count = len(wanted) if limit is None else limit
    shown = heapq.nsmallest(count, wanted, key=catalog.key_of)
    rows = tuple(Difference(path, *(_content(connection, number, path) for number in sides)) for path in shown)
    return Differences(len(paths), rows, shown[-1] if len(wanted) > count else None)


def _content(connection: sqlite3.Connection, number: int, path: bytes) -> Entry | None:
    """Return the file or link that a point has at a path."""
    found = catalog.find(connection, number, path)
    return None if found is None or found.type in (EntryType.DIRECTORY, EntryType.SKIPPED) else found

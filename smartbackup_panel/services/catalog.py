"""The catalogs of domains are brought up to date from the archives: after each job, at the worker's start, or made anew.

Only what changed since the last point is looked at: an index block that the point before has too is passed over.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator

from smartbackup_panel.adapters.db import catalog, catalog_file, domains, points
from smartbackup_panel.adapters.locks import held
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, SmartBackupError
from smartbackup_panel.core.model import PANEL, Domain, Point
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import STAT, UNSTABLE, IndexEntry, entry_type, sort_key
from smartbackup_panel.services import store
from smartbackup_panel.services.installation import Installation

LOCK_SECONDS = 300.0
UNREADABLE = (ArchiveDamaged, ArchiveMissing, ArchiveRefused)

log = logging.getLogger(__name__)


def catch_up(installation: Installation, domain: Domain, *, anew: bool = False) -> int:
    """Bring a domain's catalog up to date (or make it anew) and return how many points were added.

    A point whose archive cannot be read is left out; it is tried again the next time. Raises DomainBusy.
    """
    path = installation.catalog_file(domain.id)
    with held(f"{installation.domain_lock(domain.id)}.catalog", LOCK_SECONDS):
        if anew:
            _remove(path)
        try:
            return _follow(installation, domain, path)
        except sqlite3.DatabaseError as error:
            log.warning("catalog of %s made anew: %s", domain.name, error)
            _remove(path)
            return _follow(installation, domain, path)


def after_job(installation: Installation, domain_id: str) -> None:
    """Bring a domain's catalog up to date after one of its jobs; what fails is logged and tried again later."""
    with installation.state.read() as tx:
        domain = domains.get_domain(tx, domain_id)
    _try(installation, domain)


def catch_up_all(installation: Installation, *, anew: bool = False) -> int:
    """Bring the catalogs of all domains up to date and return how many points were added; one bad domain stops no other."""
    added = 0
    with installation.state.read() as tx:
        every = domains.list_domains(tx, PANEL, with_deleted=True)
    for domain in every:
        added += _try(installation, domain, anew=anew)
    return added


def _try(installation: Installation, domain: Domain, *, anew: bool = False) -> int:
    try:
        return catch_up(installation, domain, anew=anew)
    except (SmartBackupError, sqlite3.Error, OSError) as error:
        log.warning("catalog of %s left behind: %s", domain.name, error)
        return 0


def forget(installation: Installation, domain_id: str) -> None:
    """Remove the catalog of a domain that is gone for good."""
    _remove(installation.catalog_file(domain_id))


def _remove(path: str) -> None:
    for name in (path, f"{path}-journal"):
        if os.path.lexists(name):
            os.unlink(name)


def _follow(installation: Installation, domain: Domain, path: str) -> int:
    """Add the points that the catalog lacks and drop those that are gone."""
    with installation.state.read() as tx:
        wanted = [point for point in reversed(points.list_points(tx, domain.id)) if point.archive is not None]
    known, newest = _known(path)
    missing = [point for point in wanted if point.id not in known]
    gone = [point_id for point_id in known if point_id not in {point.id for point in wanted}]
    if not missing and not gone:
        return 0
    is_out_of_order = newest is not None and any(point.created_at.isoformat() < newest for point in missing)
    if (known and list(known)[-1] in gone) or is_out_of_order:
        _remove(path)
        missing, gone = wanted, []
    added = 0
    with store.open_store(installation, domain) as folder_fd, catalog_file.open_for_writing(path) as connection:
        if gone:
            catalog_file.forget_points(connection, gone)
        for point in missing:
            added += _try_to_add(installation, folder_fd, connection, point)
    return added


def _known(path: str) -> tuple[dict[str, int], str | None]:
    try:
        with catalog_file.open_for_reading(path) as connection:
            return catalog_file.list_points(connection), catalog_file.newest_moment(connection)
    except FileNotFoundError:
        return {}, None


def _try_to_add(installation: Installation, folder_fd: int, connection: sqlite3.Connection, point: Point) -> int:
    """Add a point and return 1; 0, and nothing of it, when its archive cannot be read."""
    assert point.archive is not None, "asked for before"
    connection.execute("SAVEPOINT adding")
    try:
        with store.open_point(installation, folder_fd, point.archive) as archives:
            _add(connection, point, archives)
    except UNREADABLE as error:
        log.warning("point %s not in the catalog: %s", point.id, error.message)
        connection.execute("ROLLBACK TO adding")
        return 0
    finally:
        connection.execute("RELEASE adding")
    return 1


def _add(connection: sqlite3.Connection, point: Point, archives: ArchiveSet) -> None:
    """Compare the point's list with the newest one of the catalog, block by block, and record what differs."""
    rows = archives.listing.directory
    bounds = [sort_key(row.first_path) for row in rows]
    ends: list[bytes | None] = [*bounds[1:], None]
    before = catalog_file.list_blocks(connection)
    same = set(zip(before, [*[key for key, _ in before[1:]], None], strict=True)) if before else set()
    known = catalog_file.list_points(connection)
    last = max(known.values(), default=0)
    blocks = [(key, row.sha256) for key, row in zip(bounds, rows, strict=True)]
    number = catalog_file.add_point(connection, point.id, point.created_at.isoformat(), blocks)
    folders = _Folders(connection)
    for at, (block, end) in enumerate(zip(blocks, ends, strict=True)):
        if (block, end) in same:
            continue
        old = catalog_file.open_versions(connection, block[0], end) if known else {}
        changed: list[catalog_file.Row] = []
        ended: list[tuple[int, bytes]] = []
        for entry in _checked(archives, at, block[0], end):
            row = _row(folders, entry)
            was = old.pop((row[0], row[1]), None)
            if was != row[3]:
                changed.append(row)
                if was is not None:
                    ended.append((row[0], row[1]))
        catalog_file.end_versions(connection, [*ended, *old], last)
        catalog_file.add_versions(connection, changed, number)


def _checked(archives: ArchiveSet, block: int, first: bytes, end: bytes | None) -> Iterator[IndexEntry]:
    """Yield the entries of an index block, which are possible ones, in order and within their bounds."""
    last: bytes | None = None
    for entry in archives.listing.read_block(block):
        archives.refuse_bad(entry)
        key = sort_key(entry.path)
        if key < first or (last is not None and key <= last) or (end is not None and key >= end):
            raise ArchiveRefused(f"the index of {archives.name} is out of order at {quoted(entry.path)}")
        last = key
        yield entry


def _row(folders: _Folders, entry: IndexEntry) -> catalog_file.Row:
    folder, name = catalog.split(entry.path)
    return folders.number(folder), name, catalog.fold(name), _facts(entry)


def _facts(entry: IndexEntry) -> catalog_file.Facts:
    """Return what the catalog keeps of an entry: everything but the places of its bytes."""
    mode, uid, gid, _, size, mtime_ns, _, _, _ = STAT.unpack(entry.stat)
    return (
        entry_type(entry).value,
        stat.S_IMODE(mode),
        uid,
        gid,
        entry.user,
        entry.group,
        size,
        mtime_ns,
        entry.sha256,
        entry.link,
        entry.reason,
        entry.detail,
        entry.flags & UNSTABLE,
    )


class _Folders:
    """The numbers of folders; paths come in order, so the last few are enough."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[bytes, int] = {}

    def number(self, path: bytes) -> int:
        found = self._numbers.get(path)
        if found is None:
            if len(self._numbers) > 1_000:
                self._numbers.clear()
            found = self._numbers[path] = catalog_file.folder_number(self._connection, catalog.key_of(path))
        return found

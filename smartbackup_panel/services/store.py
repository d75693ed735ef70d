"""The store: one folder of archives a domain, and the notes that make publishing or removing several files one step.

Names are computed here from a domain's own record and a time. Before files of a point get their names, these are noted in
the state; a crash before the point is recorded leaves the note, and whoever comes next removes those files. The names of
files that are to go are noted in the transaction that removes their points' records; whoever comes next carries it through.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, points
from smartbackup_panel.core.errors import NoSpace
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.core.tree import Codec, PointKind
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink, discard_leftovers
from smartbackup_panel.services import sidecars
from smartbackup_panel.services.installation import Installation

MEGABYTE = 1024 * 1024
ENDINGS = {Codec.GZIP: ".tar.gz", Codec.ZSTD: ".tar.zst"}
META = ".meta"
DEFAULT_LEVELS = {Codec.GZIP: 6, Codec.ZSTD: 3}


@contextmanager
def open_store(installation: Installation, domain: Domain) -> Iterator[int]:
    """Give a descriptor of the domain's folder in the store, made where it is not there yet."""
    path = installation.store_folder(domain)
    os.makedirs(installation.settings.backup_root, mode=0o700, exist_ok=True)
    os.makedirs(path, mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def open_point(installation: Installation, folder_fd: int, archive: str) -> ArchiveSet:
    """Return a point's archives, signatures checked. Raises ArchiveMissing, ArchiveDamaged, ArchiveRefused."""
    return ArchiveSet.open(folder_fd, archive, installation.signing_key)


def open_unpublished(installation: Installation, folder_fd: int, sink: ArchiveSink) -> ArchiveSet:
    """Return the point that a finished sink holds, for its verification."""
    own = ArchiveFile(sink.open_for_reading(), sink.name, installation.signing_key)
    return ArchiveSet(own, folder_fd, installation.signing_key)


def compression(installation: Installation) -> tuple[Codec, int]:
    """Return the codec and level of the setting."""
    kind, _, level = installation.settings.compression.partition(":")
    codec = Codec(kind)
    return codec, int(level) if level else DEFAULT_LEVELS[codec]


def free_moment(folder_fd: int, now: datetime) -> datetime:
    """Return the first whole second from `now` on that no file of the folder is named after."""
    taken = os.listdir(folder_fd)
    moment = now.replace(microsecond=0)
    while any(f"_{moment:%Y%m%d_%H%M%S}" in name for name in taken):
        moment += timedelta(seconds=1)
    return moment


def archive_name(moment: datetime, kind: PointKind, codec: Codec) -> str:
    """Return `backup_YYYYMMDD_HHMMSS[_incremental|_differential].tar.gz` (or .tar.zst), in UTC."""
    suffix = "" if kind is PointKind.FULL else f"_{kind}"
    return f"backup_{moment:%Y%m%d_%H%M%S}{suffix}{ENDINGS[codec]}"


def dump_name(moment: datetime, database: str | None) -> str:
    """Return `database_YYYYMMDD_HHMMSS[_NAME].sql.gz`; the name is given where there are several, reduced to plain letters."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in database or ""
    )
    return f"database_{moment:%Y%m%d_%H%M%S}{'_' + plain[:64] if plain else ''}.sql.gz"


def check_room(installation: Installation, folder_fd: int) -> int:
    """Return how many bytes a job may write; raises NoSpace where only the reserve is left (SECURITY rule 25)."""
    room = os.fstatvfs(folder_fd)
    reserve = installation.settings.reserve_mb * MEGABYTE
    usable = room.f_bavail * room.f_frsize - reserve
    if usable <= 0:
        free_mb = room.f_bavail * room.f_frsize // MEGABYTE
        raise NoSpace(f"the store has {free_mb} MB left and keeps {installation.settings.reserve_mb} MB in reserve")
    return usable


def write_meta(folder_fd: int, name: str, content: bytes) -> None:
    """Write a `.meta` durably under its final name; it is noted before, as all files of the point."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(folder_fd)


def note_names(installation: Installation, domain: Domain, names: Sequence[str]) -> None:
    """Note which files are about to get their names."""
    with installation.state.write() as tx:
        people.set_note(tx, _note(domain), json.dumps(list(names)), installation.clock.now())


def forget_names(tx: Connection, domain: Domain) -> None:
    """Forget the note, in the transaction that records the point."""
    people.delete_note(tx, _note(domain))


def remove_leftovers(installation: Installation, domain: Domain) -> list[str]:
    """Remove what a job that died left in the domain's folder and return the names. The domain's lock must be held."""
    if not os.path.isdir(installation.store_folder(domain)):
        return []
    with open_store(installation, domain) as folder_fd:
        removed = discard_leftovers(folder_fd)
        for note in (_note(domain), _removal_note(domain)):
            removed += _remove_noted(installation, domain, folder_fd, note)
    return removed


def note_removal(tx: Connection, domain: Domain, going: Sequence[Point], now: datetime) -> None:
    """Note the files of points whose records go in this transaction; `.meta` files go first, children before parents."""
    names = [name for point in going for name in reversed(_files(point))]
    people.set_note(tx, _removal_note(domain), json.dumps(names), now)


def carry_removal_through(installation: Installation, domain: Domain) -> list[str]:
    """Remove the files that were noted and return the names. The domain's lock must be held."""
    with open_store(installation, domain) as folder_fd:
        return _remove_noted(installation, domain, folder_fd, _removal_note(domain))


def _remove_noted(installation: Installation, domain: Domain, folder_fd: int, note: str) -> list[str]:
    """Remove noted files that belong to no recorded point, in the note's order, then forget the note."""
    with installation.state.write() as tx:
        found = people.find_note(tx, note)
        if found is None:
            return []
        known = {name for point in points.list_points(tx, domain.id) for name in _files(point)}
        removed = [name for name in json.loads(found[0]) if name not in known and _unlink(folder_fd, name)]
        os.fsync(folder_fd)
        people.delete_note(tx, note)
    sidecars.remove_changed_lists(installation, domain, removed)
    return removed


def point_names(archive: str | None, dumps: Sequence[str]) -> list[str]:
    """Return the names of a point's files, its `.meta` last: named after the archive, or the first dump without one."""
    names = [*dumps, *([archive] if archive else [])]
    return [*names, f"{archive or dumps[0]}{META}"] if names else []


def _files(point: Point) -> list[str]:
    return point_names(point.archive, [dump.archive for dump in point.databases])


def _unlink(folder_fd: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return False
    return True


def _note(domain: Domain) -> str:
    return f"publishing:{domain.id}"


def _removal_note(domain: Domain) -> str:
    return f"removing:{domain.id}"

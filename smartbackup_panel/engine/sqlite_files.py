"""SQLite databases of a site in a point: a copy of one moment in the place of the file's bytes, its logs left out.

The copy holds what lies in the write-ahead log too, so the log, the journal and the shared memory beside the database are no
part of the point: put back beside another moment's database, they would damage it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.engine.applications.sqlite_copy import HEADER, copy_sqlite
from smartbackup_panel.engine.fsafe import DirectoryCursor

SIDES = (b"-wal", b"-journal", b"-shm")


def is_beside(path: bytes, databases: set[bytes]) -> bool:
    """Return whether a path is a log, journal or shared memory of one of the databases."""
    return any(path.endswith(side) and path.removesuffix(side) in databases for side in SIDES)


def has_log(cursor: DirectoryCursor, path: bytes) -> bool:
    """Return whether something may be in a log that is not in the database's file yet."""
    for side in SIDES[:2]:
        with suppress(OSError):
            folder_fd, name = cursor.parent(path + side)
            if os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_size > 0:
                return True
    return False


def is_database(fd: int) -> bool:
    """Return whether the open file is an SQLite database; a name alone says nothing."""
    try:
        return os.pread(fd, len(HEADER), 0) == HEADER
    except OSError:
        return False


def open_copy(cursor: DirectoryCursor, path: bytes) -> int | None:
    """Return a descriptor of a copy of one moment of a database; None where the file has to be read as it is.

    That is so where SQLite refuses (locked for long, damaged, its reader may not open the log), and for root: SQLite opens by
    path, and root would follow where a tenant's path leads.
    """
    if os.geteuid() == 0:
        return None
    folder_fd, name = cursor.parent(path)
    try:
        return copy_sqlite(folder_fd, name)
    except (DumpFailed, OSError):
        return None

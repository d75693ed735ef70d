"""A consistent copy of an SQLite database that its site may be writing to at this moment.

Runs as the tenant, like everything that opens a tenant's file. SQLite's own backup API reads under its locks, write-ahead log
included, so the copy is of one moment; copying the file's bytes could mix two.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from smartbackup_panel.core.errors import DumpFailed

HEADER = b"SQLite format 3\0"
COPY_LIMIT_SECONDS = 600.0
_STEP_PAGES = 2_048
_STEP_PAUSE_SECONDS = 0.02
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SqliteCopy:
    """`size_bytes` of the finished copy; `damage` is what SQLite's own check says of it, None when all is well."""

    size_bytes: int
    damage: str | None


def is_sqlite(head: bytes) -> bool:
    """Return whether a file that begins so is an SQLite database; a name alone says nothing."""
    return head.startswith(HEADER)


def copy_sqlite(folder_fd: int, name: bytes, target: str, limit_seconds: float = COPY_LIMIT_SECONDS) -> SqliteCopy:
    """Copy the database `name` in an open folder to a new file `target`, and check the copy.

    The caller has made sure that `name` is a regular file of the site. DumpFailed, and no file at `target`, when the database
    stays locked, changes faster than it can be copied for `limit_seconds`, or is none.
    """
    path = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
    deadline = time.monotonic() + limit_seconds

    def in_time(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise DumpFailed(f"The SQLite database {os.fsdecode(name)} changes faster than it can be copied.")

    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(_open(path, "ro", min(_BUSY_SECONDS, limit_seconds))) as source,
            closing(_open(target, "rw", _BUSY_SECONDS)) as copy,
        ):
            source.backup(copy, pages=_STEP_PAGES, progress=in_time, sleep=_STEP_PAUSE_SECONDS)
            copy.execute("PRAGMA journal_mode = DELETE")
            found = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
    except (sqlite3.Error, DumpFailed) as error:
        os.unlink(target)
        if isinstance(error, DumpFailed):
            raise
        raise DumpFailed(f"The SQLite database {os.fsdecode(name)} cannot be copied: {error}.") from None
    return SqliteCopy(os.stat(target).st_size, None if found == "ok" else found)


def _open(path: str, mode: str, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode={mode}", uri=True, timeout=busy_seconds, isolation_level=None
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection

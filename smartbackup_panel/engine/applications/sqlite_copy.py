"""A consistent copy of an SQLite database that its site may be writing to at this moment.

Runs as the tenant, like everything that opens a tenant's file. SQLite's own backup API reads under its locks, write-ahead log
included, so the copy is of one moment; copying the file's bytes could mix two.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from contextlib import closing
from urllib.parse import quote

from smartbackup_panel.core.errors import DumpFailed

HEADER = b"SQLite format 3\0"
COPY_LIMIT_SECONDS = 600.0
TEMPORARY_FOLDER = "/var/tmp"  # noqa: S108  # a new file of an unguessable name, made with O_EXCL
_STEP_PAGES = 2_048
_STEP_PAUSE_SECONDS = 0.02
_BUSY_SECONDS = 5.0


def is_sqlite(head: bytes) -> bool:
    """Return whether a file that begins so is an SQLite database; a name alone says nothing."""
    return head.startswith(HEADER)


def copy_sqlite(folder_fd: int, name: bytes, limit_seconds: float = COPY_LIMIT_SECONDS) -> int:
    """Return a descriptor of a copy of the database `name` in an open folder; the copy has no name and goes with it.

    The caller has made sure that `name` is a regular file of the site. DumpFailed when the database stays locked, changes
    faster than it can be copied for `limit_seconds`, is none, or does not fit into the folder for temporary files.
    """
    path = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
    deadline = time.monotonic() + limit_seconds

    def in_time(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise DumpFailed(f"The SQLite database {os.fsdecode(name)} changes faster than it can be copied.")

    with contextlib.ExitStack() as on_error:
        target = f"{TEMPORARY_FOLDER}/smartbackup-{secrets.token_hex(16)}"
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        on_error.callback(os.close, fd)
        try:
            with (
                closing(_open_unnamed(target)) as copy,
                closing(_open(path, "ro", min(_BUSY_SECONDS, limit_seconds))) as source,
            ):
                source.backup(copy, pages=_STEP_PAGES, progress=in_time, sleep=_STEP_PAUSE_SECONDS)
        except sqlite3.Error as error:
            raise DumpFailed(f"The SQLite database {os.fsdecode(name)} cannot be copied: {error}.") from None
        on_error.pop_all()
    return fd


def _open_unnamed(target: str) -> sqlite3.Connection:
    """Open a new file and take its name away, so that nothing is left of it whatever happens; no journal is kept."""
    try:
        connection = _open(target, "rw", _BUSY_SECONDS)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF").fetchone()
        connection.execute("PRAGMA user_version").fetchone()  # opens the file
        return connection
    finally:
        os.unlink(target)


def _open(path: str, mode: str, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode={mode}", uri=True, timeout=busy_seconds, isolation_level=None
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection

"""The catalog of one domain: which path was what from which point to which, in one SQLite file beside the state.

A path that did not change from point to point is one row, so a hundred points of a hundred thousand files take little
more room than one. The file holds nothing that the archives do not say: it may be removed at any time and is made again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import cast

from smartbackup_panel.adapters.db.state import sqlite_module

SCHEMA = 2
OPEN = 1 << 62
"""`last` of a version that the newest point still has."""

BUSY_SECONDS = 20.0
log = logging.getLogger(__name__)

COLUMNS = "type, mode, uid, gid, user, grp, size, mtime_ns, sha256, link, reason, detail, unstable"
Facts = tuple[str, int, int, int, str, str, int, int, bytes, bytes, str, str, int]
Row = tuple[int, bytes, str, Facts]
"""Folder's number, name, folded name, facts in the order of COLUMNS."""

_TABLES = f"""
CREATE TABLE point (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL);
CREATE TABLE folder (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
CREATE TABLE word (number INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE version (
    folder INTEGER NOT NULL, name BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, word INTEGER NOT NULL,
    type TEXT NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, user TEXT NOT NULL,
    grp TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL, link BLOB NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, unstable INTEGER NOT NULL,
    PRIMARY KEY (folder, name, first)) WITHOUT ROWID;
CREATE INDEX version_by_word ON version (word);
CREATE INDEX version_by_first ON version (first) WHERE first > 1;
CREATE INDEX version_by_last ON version (last) WHERE last < {OPEN};
CREATE TABLE block (first_key BLOB PRIMARY KEY, sha256 BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA};
"""
_TRIPLES = """
BEGIN;
CREATE VIRTUAL TABLE triple USING fts5(
    word, tokenize = 'trigram case_sensitive 1', content = 'word', content_rowid = 'number', detail = none, columnsize = 0);
CREATE TRIGGER word_comes AFTER INSERT ON word BEGIN
    INSERT INTO triple (rowid, word) VALUES (new.number, new.word);
END;
CREATE TRIGGER word_goes AFTER DELETE ON word BEGIN
    INSERT INTO triple (triple, rowid, word) VALUES ('delete', old.number, old.word);
END;
COMMIT;
"""


@contextmanager
def open_for_reading(path: str) -> Iterator[sqlite3.Connection]:
    """Give a connection that can only read, in one transaction. Raises FileNotFoundError, sqlite3.Error."""
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    with closing(_connect(f"file:{_quoted(path)}?mode=ro")) as connection:
        connection.execute("BEGIN")
        _check_version(connection)
        yield connection


@contextmanager
def open_for_writing(path: str) -> Iterator[sqlite3.Connection]:
    """Give a connection in a write transaction, committed at the end; the file is made where it is missing.

    Raises sqlite3.Error for a file that is damaged or has another schema. What is lost in a power cut is made again,
    so nothing is flushed to disk one by one.
    """
    if not os.path.exists(path):
        _make(path)
    with closing(_connect(f"file:{_quoted(path)}?mode=rw")) as connection:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-32768")
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.executescript(_TABLES)
            _add_triples(connection)
        _check_version(connection)
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def _add_triples(connection: sqlite3.Connection) -> None:
    """Index the names by triples of letters, where this SQLite can (3.34 with FTS5); elsewhere names are gone through."""
    try:
        connection.executescript(_TRIPLES)
    except sqlite_module().OperationalError as error:
        connection.rollback()
        log.info("names in the catalog are not indexed by triples: %s", error)


def has_triples(connection: sqlite3.Connection) -> bool:
    """Return whether the names in this file are indexed by triples of letters, and this SQLite can read that."""
    table = "SELECT 1 FROM sqlite_master WHERE name = 'triple'"
    module = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
    return all(connection.execute(query).fetchone() is not None for query in (table, module))


def _make(path: str) -> None:
    """Make an empty file that the folder's group (the pages, where they have an account) may read."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchown(fd, -1, os.stat(os.path.dirname(path)).st_gid)
        os.fchmod(fd, 0o640)
    finally:
        os.close(fd)


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite_module().connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    return cast(sqlite3.Connection, connection)  # the module is chosen at run time


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _check_version(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != SCHEMA:
        raise sqlite3.DatabaseError(f"the catalog has schema {found}, not {SCHEMA}")


def list_points(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the numbers of all points by their ids, oldest first."""
    return dict(connection.execute("SELECT id, number FROM point ORDER BY number").fetchall())


def newest_moment(connection: sqlite3.Connection) -> str | None:
    """Return when the newest point was made (ISO 8601, UTC)."""
    found = connection.execute("SELECT max(created_at) FROM point").fetchone()[0]
    return None if found is None else str(found)


def list_blocks(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    """Return (first key, sha256) of the newest point's index blocks, in their order."""
    return connection.execute("SELECT first_key, sha256 FROM block ORDER BY first_key").fetchall()


def add_point(
    connection: sqlite3.Connection, point_id: str, created_at: str, blocks: Iterable[tuple[bytes, bytes]]
) -> int:
    """Record a point that is newer than all others and return its number; `blocks` replace those of the one before."""
    number = int(connection.execute("SELECT coalesce(max(number), 0) + 1 FROM point").fetchone()[0])
    connection.execute("INSERT INTO point VALUES (?, ?, ?)", (number, point_id, created_at))
    connection.execute("DELETE FROM block")
    connection.executemany("INSERT INTO block VALUES (?, ?)", blocks)
    return number


def forget_points(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Forget points, and every version that no other point has. The newest one may not be among them."""
    connection.executemany("DELETE FROM point WHERE id = ?", [(point_id,) for point_id in ids])
    gone = connection.execute(
        f"DELETE FROM version WHERE last < {OPEN}"
        " AND NOT EXISTS (SELECT 1 FROM point WHERE number BETWEEN version.first AND version.last) RETURNING word"
    ).fetchall()
    connection.executemany(
        "DELETE FROM word WHERE number = ? AND NOT EXISTS (SELECT 1 FROM version WHERE version.word = word.number)",
        set(gone),
    )


def folder_number(connection: sqlite3.Connection, key: bytes) -> int:
    """Return the number of a folder by its sort key, given to it at its first use."""
    found = connection.execute("SELECT number FROM folder WHERE key = ?", (key,)).fetchone()
    if found is not None:
        return int(found[0])
    return int(connection.execute("INSERT INTO folder (key) VALUES (?) RETURNING number", (key,)).fetchone()[0])


def open_versions(
    connection: sqlite3.Connection, first_key: bytes, next_key: bytes | None
) -> dict[tuple[int, bytes], Facts]:
    """Return what the newest point has from `first_key` up to `next_key` (None: to the end), by folder and name.

    Rows lie by folder. Those wanted are everything in folders between the two keys, and in the folders above
    `first_key` what comes after it.
    """
    found: dict[tuple[int, bytes], Facts] = {}
    end = b"\xff" * 300 if next_key is None else next_key
    query = (
        f"SELECT f.key, v.folder, v.name, {COLUMNS} FROM folder f JOIN version v ON v.folder = f.number"
        f" WHERE v.last = {OPEN} AND "
    )
    rows = [connection.execute(query + "f.key >= ? AND f.key < ?", (first_key, end))]
    for above, name in _above(first_key):
        last_name = _name_below(above, next_key)
        rows.append(connection.execute(query + "f.key = ? AND v.name >= ? AND v.name <= ?", (above, name, last_name)))
    for cursor in rows:
        for key, folder, name, *facts in cursor:
            whole = _key_of(key, name)
            if first_key <= whole and (next_key is None or whole < next_key):
                found[folder, name] = cast(Facts, tuple(facts))
    return found


def _above(key: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the folders above a key and the next name on the way to it."""
    if not key:
        yield b"", b""
        return
    names = key.split(b"\0")
    for depth, name in enumerate(names):
        yield b"\0".join(names[:depth]), name


def _name_below(folder_key: bytes, key: bytes | None) -> bytes:
    """Return the name in a folder on the way to a key; where the key does not lie below it, one after all names."""
    prefix = folder_key + b"\0" if folder_key else b""
    if key is None or not key.startswith(prefix):
        return b"\xff" * 256
    return key[len(prefix) :].partition(b"\0")[0]


def _key_of(folder_key: bytes, name: bytes) -> bytes:
    return folder_key + b"\0" + name if folder_key and name else folder_key or name


def end_versions(connection: sqlite3.Connection, paths: Iterable[tuple[int, bytes]], last: int) -> None:
    """Say that the newest point no longer has these versions; `last` is the last point that had them."""
    connection.executemany(
        f"UPDATE version SET last = ? WHERE folder = ? AND name = ? AND last = {OPEN}",
        [(last, folder, name) for folder, name in paths],
    )


def add_versions(connection: sqlite3.Connection, rows: Sequence[Row], first: int) -> None:
    """Record versions that begin with point number `first`."""
    connection.executemany(
        "INSERT INTO word (word) VALUES (?) ON CONFLICT DO NOTHING", [(word,) for _, _, word, _ in rows]
    )
    connection.executemany(
        f"INSERT INTO version VALUES (?, ?, ?, {OPEN}, (SELECT number FROM word WHERE word = ?),"
        " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(folder, name, first, word, *facts) for folder, name, word, facts in rows],
    )

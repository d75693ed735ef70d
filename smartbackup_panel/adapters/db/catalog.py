"""Questions to a domain's catalog: what a folder held, what became of a path, what differs between two points, names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from smartbackup_panel.adapters.db.catalog_file import COLUMNS, OPEN, Facts
from smartbackup_panel.core.tree import Entry, EntryType, SkipReason

_AT = "first <= :point AND last >= :point"
_V = ", ".join(f"v.{name}" for name in COLUMNS.split(", "))
_CONTENT = (EntryType.FILE, EntryType.SYMLINK, EntryType.HARDLINK)


@dataclass(frozen=True, slots=True)
class Version:
    """What a path was from point number `first` to point number `last` (None: the newest point has it still)."""

    entry: Entry
    first: int
    last: int | None


def find(connection: sqlite3.Connection, point: int, path: bytes) -> Entry | None:
    """Return what a point holds at a path, or None."""
    folder, name = split(path)
    found = connection.execute(
        f"SELECT {_V} FROM folder f JOIN version v ON v.folder = f.number"
        f" WHERE f.key = :folder AND v.name = :name AND {_AT}",
        {"folder": key_of(folder), "name": name, "point": point},
    ).fetchone()
    return None if found is None else _entry(path, found)


def children(connection: sqlite3.Connection, point: int, folder: bytes, after: bytes, limit: int) -> list[Entry]:
    """Return what lies directly in a folder, by name; `after` is the last name of the page before."""
    rows = connection.execute(
        f"SELECT v.name, {_V} FROM folder f JOIN version v ON v.folder = f.number"
        f" WHERE f.key = :folder AND v.name > :after AND {_AT} ORDER BY v.name LIMIT :limit",
        {"folder": key_of(folder), "after": after, "point": point, "limit": limit},
    )
    return [_entry(joined(folder, name), facts) for name, *facts in rows]


def count_children(connection: sqlite3.Connection, point: int, folder: bytes) -> int:
    """Return how many paths lie directly in a folder."""
    return int(
        connection.execute(
            "SELECT count(*) FROM folder f JOIN version v ON v.folder = f.number"
            f" WHERE f.key = :folder AND v.name > x'' AND {_AT}",
            {"folder": key_of(folder), "point": point},
        ).fetchone()[0]
    )


def history(connection: sqlite3.Connection, path: bytes) -> list[Version]:
    """Return what a path was over all points, newest first."""
    folder, name = split(path)
    rows = connection.execute(
        f"SELECT v.first, v.last, {_V} FROM folder f JOIN version v ON v.folder = f.number"
        " WHERE f.key = ? AND v.name = ? ORDER BY v.first DESC",
        (key_of(folder), name),
    )
    return [Version(_entry(path, facts), first, None if last == OPEN else last) for first, last, *facts in rows]


def differences(connection: sqlite3.Connection, older: int, newer: int) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield what differs between two points as (then, later), in no order; folders and what was left out do not count.

    Only paths that changed anywhere between the two are looked at.
    """
    then, later = (", ".join(f"{side}.{name}" for name in COLUMNS.split(", ")) for side in ("o", "n"))
    join = (
        "LEFT JOIN version {0} ON {0}.folder = t.folder AND {0}.name = t.name AND {0}.first <= {1} AND {0}.last >= {1}"
    )
    rows = connection.execute(
        "WITH touched AS (SELECT folder, name FROM version WHERE first > :older AND first <= :newer AND first > 1"
        f" UNION SELECT folder, name FROM version WHERE last >= :older AND last < :newer AND last < {OPEN})"
        f" SELECT f.key, t.name, {then}, {later} FROM touched t JOIN folder f ON f.number = t.folder"
        f" {join.format('o', ':older')} {join.format('n', ':newer')}",
        {"older": older, "newer": newer},
    )
    width = COLUMNS.count(",") + 1
    for key, name, *facts in rows:
        path = joined(path_of(key), name)
        before, after = _content(path, facts[:width]), _content(path, facts[width:])
        if before != after:
            yield before, after


def search(connection: sqlite3.Connection, word: str, limit: int) -> list[Version]:
    """Return the newest version of up to `limit` paths whose folded name contains `word`."""
    rows = connection.execute(
        f"SELECT f.key, v.name, v.first, v.last, {_V} FROM ("
        " SELECT folder, name, max(first) AS first FROM version INDEXED BY version_by_word"
        " WHERE instr(word, ?) GROUP BY word, folder, name LIMIT ?) AS hit"
        " JOIN version v ON v.folder = hit.folder AND v.name = hit.name AND v.first = hit.first"
        " JOIN folder f ON f.number = hit.folder",
        (word, limit),
    )
    return [
        Version(_entry(joined(path_of(key), name), facts), first, None if last == OPEN else last)
        for key, name, first, last, *facts in rows
    ]


def split(path: bytes) -> tuple[bytes, bytes]:
    """Return a path's folder and name. The domain's own folder is the nameless one in itself."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


def joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def key_of(path: bytes) -> bytes:
    """Return what paths are ordered by: name by name, so that a folder's content follows it directly."""
    return path.replace(b"/", b"\0")


def path_of(key: bytes) -> bytes:
    return key.replace(b"\0", b"/")


def fold(name: bytes) -> str:
    """Return a name as it is searched for: without the case of letters; bytes that are no UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace").casefold()


def _content(path: bytes, facts: Sequence[object]) -> Entry | None:
    if facts[0] is None or facts[0] not in _CONTENT:
        return None
    return _entry(path, facts)


def _entry(path: bytes, facts: Sequence[object]) -> Entry:
    kind, mode, uid, gid, user, group, size, mtime_ns, sha256, link, reason, detail, unstable = cast(
        Facts, tuple(facts)
    )
    return Entry(
        path=path,
        type=EntryType(kind),
        mode=mode,
        uid=uid,
        gid=gid,
        user=user,
        group=group,
        size=size,
        mtime_ns=mtime_ns,
        sha256=sha256 or None,
        link=link,
        reason=SkipReason(reason) if reason else None,
        detail=detail,
        unstable=bool(unstable),
    )

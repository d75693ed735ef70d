"""Questions to a domain's catalog: what a folder held, what became of a path, what differs between two points, names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from smartbackup_panel.adapters.db.catalog_file import COLUMNS, OPEN, Facts, has_triples
from smartbackup_panel.core.tree import Entry, EntryType, SkipReason

_AT = "first <= :point AND last >= :point"
_V = ", ".join(f"v.{name}" for name in COLUMNS.split(", "))
_WORDS_AT_ONCE = 500
_MOST_TRIPLES = 24
_FEW = 5_000
_TOUCHED = (
    "(SELECT folder, name FROM version WHERE first > :older AND first <= :newer AND first > 1"
    f" UNION SELECT folder, name FROM version WHERE last >= :older AND last < :newer AND last < {OPEN}) t"
    " JOIN version v ON v.folder = t.folder AND v.name = t.name"
)
_CONTENT = (EntryType.FILE, EntryType.SYMLINK, EntryType.HARDLINK)

Row = tuple[bytes, bytes, EntryType, int, SkipReason | None]
"""A path of a point: its folder, name, type, size in bytes, and why it was skipped."""


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


def walk(connection: sqlite3.Connection, point: int) -> Iterator[Row]:
    """Yield all that a point holds, folder by folder, each before its content."""
    rows = connection.execute(
        "SELECT f.key, v.name, v.type, v.size, v.reason FROM folder f JOIN version v ON v.folder = f.number"
        f" WHERE v.name > x'' AND {_AT} ORDER BY f.key, v.name",
        {"point": point},
    )
    for key, name, kind, size, reason in rows:
        yield path_of(key), name, EntryType(kind), size, SkipReason(reason) if reason else None


def history(connection: sqlite3.Connection, path: bytes) -> list[Version]:
    """Return what a path was over all points, newest first."""
    folder, name = split(path)
    rows = connection.execute(
        f"SELECT v.first, v.last, {_V} FROM folder f JOIN version v ON v.folder = f.number"
        " WHERE f.key = ? AND v.name = ? ORDER BY v.first DESC",
        (key_of(folder), name),
    )
    return [Version(_entry(path, facts), first, None if last == OPEN else last) for first, last, *facts in rows]


class Differences(NamedTuple):
    """The paths that differ between two points, in no order; folders and what was left out do not count."""

    added: list[bytes]
    changed: list[bytes]
    removed: list[bytes]


def differences(connection: sqlite3.Connection, older: int, newer: int) -> Differences:
    """Return which paths differ between two points.

    A path differs when the version that one of them has is not the other's. Where few versions begin between the two, only
    their paths are looked at; else all versions are gone through once in their order, which is faster.
    """
    points = {"older": older, "newer": newer}
    begun = (
        "SELECT count(*) FROM (SELECT 1 FROM version WHERE first > :older AND first <= :newer AND first > 1 LIMIT :few)"
    )
    few = connection.execute(begun, points | {"few": _FEW}).fetchone()[0] < _FEW
    rows = connection.execute(
        "SELECT v.folder, v.name, count(*), max(v.first <= :older AND v.last >= :older),"
        " min(v.mtime_ns) = max(v.mtime_ns) AND min(v.sha256) = max(v.sha256)"
        f" FROM {_TOUCHED if few else 'version v'}"
        " WHERE (v.first <= :older AND v.last >= :older) != (v.first <= :newer AND v.last >= :newer)"
        f" AND v.type IN ({', '.join(repr(str(kind)) for kind in _CONTENT)}) GROUP BY v.folder, v.name",
        points,
    )
    folders: dict[int, bytes] = {}
    found = Differences([], [], [])
    for folder, name, sides, had, may_be_same in rows:
        if folder not in folders:
            key = connection.execute("SELECT key FROM folder WHERE number = ?", (folder,)).fetchone()[0]
            folders[folder] = path_of(key)
        path = joined(folders[folder], name)
        if sides == 1:
            (found.removed if had else found.added).append(path)
        elif not may_be_same or find(connection, older, path) != find(connection, newer, path):
            found.changed.append(path)
    return found


def search(connection: sqlite3.Connection, word: str, limit: int) -> list[Version]:
    """Return the newest version of up to `limit` paths whose folded name contains `word`, those of that very name first."""
    words = _words_with(connection, word, limit)
    found: list[Version] = []
    for start in range(0, len(words), _WORDS_AT_ONCE):
        some = words[start : start + _WORDS_AT_ONCE]
        rows = connection.execute(
            f"SELECT f.key, v.name, v.first, v.last, {_V} FROM ("
            " SELECT folder, name, max(first) AS first FROM version INDEXED BY version_by_word"
            f" WHERE word IN ({', '.join('?' * len(some))}) GROUP BY word, folder, name LIMIT ?) AS hit"
            " JOIN version v ON v.folder = hit.folder AND v.name = hit.name AND v.first = hit.first"
            " JOIN folder f ON f.number = hit.folder",
            (*some, limit - len(found)),
        )
        for key, name, first, last, *facts in rows:
            entry = _entry(joined(path_of(key), name), facts)
            found.append(Version(entry, first, None if last == OPEN else last))
        if len(found) == limit:
            break
    return found


def _words_with(connection: sqlite3.Connection, text: str, limit: int) -> list[int]:
    """Return the numbers of up to `limit` words that contain a text, the text itself first.

    Where the file is not indexed by triples, or the text is shorter than one, all words are gone through.
    """
    itself = connection.execute("SELECT number FROM word WHERE word = ?", (text,)).fetchall()
    triples = [text[at : at + 3] for at in range(len(text) - 2)]
    if triples and has_triples(connection):
        wanted = " AND ".join('"' + triple.replace('"', '""') + '"' for triple in triples[:_MOST_TRIPLES])
        rows = connection.execute(
            "SELECT w.number FROM triple t JOIN word w ON w.number = t.rowid"
            " WHERE triple MATCH ? AND instr(w.word, ?) AND w.word != ? LIMIT ?",
            (wanted, text, text, limit),
        )
    else:
        rows = connection.execute(
            "SELECT number FROM word WHERE instr(word, ?) AND word != ? LIMIT ?", (text, text, limit)
        )
    return [number for (number,) in (*itself, *rows)]


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

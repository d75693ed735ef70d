"""Look for applications in a domain's folder and in the folders below it that web servers serve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from smartbackup_panel.engine.applications.dotenv_login import dotenv_login, read_dotenv
from smartbackup_panel.engine.applications.laravel import find_laravel
from smartbackup_panel.engine.applications.other_systems import find_other_system
from smartbackup_panel.engine.applications.reader import CONFIG_LIMIT_BYTES, BoundedReader, Reader, decoded, joined
from smartbackup_panel.engine.applications.wordpress import find_wordpress

DOCUMENT_ROOTS = (b"", b"public_html", b"public", b"httpdocs", b"htdocs", b"web")
_SQLITE_FOLDERS = (b"", b"database", b"data", b"db", b"storage", b"var", b"wp-content/database")
_SQLITE_ENDINGS = (b".sqlite", b".sqlite3", b".db", b".db3")
_SQLITE_LIMIT = 20
_BELOW_LIMIT = 40
_NO_APPLICATION = re.compile(
    rb"\.|(?:wp-(?:admin|content|includes)|vendor|node_modules|cgi-bin|logs?|stats)\Z|.*\.[A-Za-z0-9]{1,5}\Z"
)


def find_application(reader: Reader) -> dict[str, Any]:
    """Return the application as plain types, ready to cross a process boundary.

    `kind` is wordpress, laravel, joomla, drupal, prestashop, magento, php, static or generic; `document_root` the folder that
    is served, relative to the domain's ("" is the domain's own); `version` and `config` (relative path) are None where
    unknown; `databases` are dicts for `DatabaseLogin.from_fields`, passwords included, of every application that was found,
    the main one's first; `sqlite_files` are relative paths; `warnings` are sentences without secrets. `multisite` is there,
    and true, for a network of WordPress sites alone.
    """
    bounded = BoundedReader(reader)
    folders = {folder: frozenset(bounded.names(folder)) for folder in DOCUMENT_ROOTS}
    known = list(_find_known(bounded, folders))
    found = known[0] if known else _find_generic(bounded, folders)
    for other in known[1:]:
        found["databases"] += [row for row in other["databases"] if row not in found["databases"]]
        found["warnings"] += [text for text in other["warnings"] if text not in found["warnings"]]
    named = [path for each in known for path in each.pop("sqlite", ()) if path]
    files = dict.fromkeys([*(path for path in named if _is_there(bounded, path)), *_sqlite_files(bounded, folders)])
    found["sqlite_files"] = list(files)[:_SQLITE_LIMIT]
    return found


def _find_known(reader: BoundedReader, folders: dict[bytes, frozenset[bytes]]) -> Iterator[dict[str, Any]]:
    """Applications in the served folders, then those one folder below them (a blog beside a shop)."""
    seen: set[str | None] = set()
    for folder, names in [*_served_first(folders), *_below(reader, folders)]:
        above = folders[b""] if folder in folders and folder else frozenset()
        found = find_wordpress(reader, folder, names, above) or find_other_system(reader, folder, names)
        if found is None:
            found = find_laravel(reader, folder, names)
        if found is not None and (found["config"] is None or found["config"] not in seen):
            seen.add(found["config"])
            yield {**found, "document_root": _root_of(found["kind"], folder, names).decode("utf-8", "replace")}


def _root_of(kind: str, folder: bytes, names: frozenset[bytes]) -> bytes:
    """What is served of an application: Laravel and Magento keep a folder for it."""
    served = {"laravel": b"public", "magento": b"pub"}.get(kind)
    return joined(folder, served) if served in names and served else folder


def _below(reader: BoundedReader, folders: dict[bytes, frozenset[bytes]]) -> Iterator[tuple[bytes, frozenset[bytes]]]:
    root = _served_root(folders)
    candidates = [name for name in sorted(folders[root]) if _NO_APPLICATION.match(name) is None]
    for name in candidates[:_BELOW_LIMIT]:
        if joined(root, name) not in folders:
            yield joined(root, name), frozenset(reader.names(joined(root, name)))


def _is_there(reader: BoundedReader, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return not path.startswith("/") and ".." not in path.split("/") and name.encode() in reader.names(folder.encode())


def _served_first(folders: dict[bytes, frozenset[bytes]]) -> Iterator[tuple[bytes, frozenset[bytes]]]:
    """Folders with WordPress's own code first: a lone wp-config.php may belong to the folder below it."""
    yield from ((folder, names) for folder, names in folders.items() if b"wp-load.php" in names)
    yield from ((folder, names) for folder, names in folders.items() if b"wp-load.php" not in names)


def _find_generic(reader: BoundedReader, folders: dict[bytes, frozenset[bytes]]) -> dict[str, Any]:
    root = _served_root(folders)
    if b"composer.json" in folders[root] | folders[b""]:
        return _with_address(reader, folders, _generic("php", root))
    if any(name.endswith(b".php") for name in folders[root]):
        return _generic("php", root)
    if any(name.endswith((b".html", b".htm")) for name in folders[root]):
        return _generic("static", root)
    return _generic("generic", root)


def _served_root(folders: dict[bytes, frozenset[bytes]]) -> bytes:
    """The folder with an index page; the domain's own where several or none have one and it is as good."""
    for folder, names in folders.items():
        if any(name.startswith(b"index.") for name in names):
            return folder
    return next((folder for folder, names in folders.items() if folder and names), b"")


def _with_address(
    reader: BoundedReader, folders: dict[bytes, frozenset[bytes]], found: dict[str, Any]
) -> dict[str, Any]:
    """Symfony and others keep one DATABASE_URL in .env, and what differs on this server in .env.local."""
    values: dict[str, str] = {}
    unknown: frozenset[str] = frozenset()
    for folder, name in ((folder, name) for folder in (b"", *DOCUMENT_ROOTS[1:]) for name in (b".env", b".env.local")):
        source = (
            decoded(reader.read(joined(folder, name), CONFIG_LIMIT_BYTES) or b"") if name in folders[folder] else ""
        )
        read = read_dotenv(source or "", reader.seconds_left)
        if read is None:
            return {**found, "databases": [], "warnings": [f"{name.decode()} takes too long to read: it was not read."]}
        more, unknown_there = read
        values |= more
        unknown = unknown - more.keys() | unknown_there
    login, warnings = dotenv_login(values, unknown)
    return {**found, "databases": [] if login is None else [login], "warnings": warnings}


def _generic(kind: str, root: bytes) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": None,
        "config": None,
        "document_root": root.decode(),
        "databases": [],
        "warnings": [],
    }


def _sqlite_files(reader: BoundedReader, folders: dict[bytes, frozenset[bytes]]) -> Iterator[str]:
    for root, root_names in folders.items():
        for folder in _SQLITE_FOLDERS:
            if folder and folder.partition(b"/")[0] not in root_names:
                continue
            names = root_names if not folder else reader.names(joined(root, folder))
            for name in sorted(names):
                if name.endswith(_SQLITE_ENDINGS):
                    yield joined(joined(root, folder) if folder else root, name).decode("utf-8", "replace")

"""Look for an application in a domain's folder and in the folders below it that web servers serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smartbackup_panel.engine.applications.laravel import find_laravel
from smartbackup_panel.engine.applications.reader import Reader, joined
from smartbackup_panel.engine.applications.wordpress import find_wordpress

DOCUMENT_ROOTS = (b"", b"public_html", b"public", b"httpdocs", b"htdocs", b"web")
_SQLITE_FOLDERS = (b"", b"database", b"data", b"db", b"storage", b"var", b"wp-content/database")
_SQLITE_ENDINGS = (b".sqlite", b".sqlite3", b".db", b".db3")
_SQLITE_LIMIT = 20


def find_application(reader: Reader) -> dict[str, Any]:
    """Return the application as plain types, ready to cross a process boundary.

    `kind` is wordpress, laravel, php, static or generic; `document_root` the folder that is served, relative to the domain's
    ("" is the domain's own); `version` and `config` (relative path) are None where unknown; `databases` are dicts for
    `DatabaseLogin.from_fields`, passwords included; `sqlite_files` are relative paths; `warnings` are sentences without
    secrets.
    """
    folders = {folder: frozenset(reader.names(folder)) for folder in DOCUMENT_ROOTS}
    found = _find_known(reader, folders) or _find_generic(folders)
    found["sqlite_files"] = list(_sqlite_files(reader, folders))[:_SQLITE_LIMIT]
    return found


def _find_known(reader: Reader, folders: dict[bytes, frozenset[bytes]]) -> dict[str, Any] | None:
    for folder, names in _served_first(folders):
        above = folders[b""] if folder else frozenset()
        wordpress = find_wordpress(reader, folder, names, above)
        if wordpress is not None:
            return {**wordpress, "document_root": folder.decode()}
    for folder, names in folders.items():
        laravel = find_laravel(reader, folder, names)
        if laravel is not None:
            root = joined(folder, b"public") if b"public" in names else folder
            return {**laravel, "document_root": root.decode()}
    return None


def _served_first(folders: dict[bytes, frozenset[bytes]]) -> Iterator[tuple[bytes, frozenset[bytes]]]:
    """Folders with WordPress's own code first: a lone wp-config.php may belong to the folder below it."""
    yield from ((folder, names) for folder, names in folders.items() if b"wp-load.php" in names)
    yield from ((folder, names) for folder, names in folders.items() if b"wp-load.php" not in names)


def _find_generic(folders: dict[bytes, frozenset[bytes]]) -> dict[str, Any]:
    root = _served_root(folders)
    if b"composer.json" in folders[root] | folders[b""] or any(name.endswith(b".php") for name in folders[root]):
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


def _generic(kind: str, root: bytes) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": None,
        "config": None,
        "document_root": root.decode(),
        "databases": [],
        "warnings": [],
    }


def _sqlite_files(reader: Reader, folders: dict[bytes, frozenset[bytes]]) -> Iterator[str]:
    for root, root_names in folders.items():
        for folder in _SQLITE_FOLDERS:
            if folder and folder.partition(b"/")[0] not in root_names:
                continue
            names = root_names if not folder else reader.names(joined(root, folder))
            for name in sorted(names):
                if name.endswith(_SQLITE_ENDINGS):
                    yield joined(joined(root, folder) if folder else root, name).decode("utf-8", "replace")

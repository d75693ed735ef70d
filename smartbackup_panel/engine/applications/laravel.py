"""Laravel: its .env beside artisan, whatever its DB_CONNECTION is."""

from __future__ import annotations

import re

from smartbackup_panel.engine.applications.dotenv_login import dotenv_login, read_dotenv
from smartbackup_panel.engine.applications.php_login import Row
from smartbackup_panel.engine.applications.reader import CONFIG_LIMIT_BYTES, BoundedReader, decoded, joined

_VERSION = re.compile(rb"const\s+VERSION\s*=\s*'([0-9][0-9A-Za-z.+-]{0,30})'")
_APPLICATION = b"vendor/laravel/framework/src/Illuminate/Foundation/Application.php"
_SQLITE_FILE = "database/database.sqlite"


def find_laravel(reader: BoundedReader, folder: bytes, names: frozenset[bytes]) -> Row | None:
    """Return what is known of a Laravel application whose artisan lies in `folder`, or None."""
    if b"artisan" not in names or not names & {b"bootstrap", b"composer.json", b".env"}:
        return None
    config = joined(folder, b".env")
    databases, warnings, sqlite = _read_config(reader, config, b".env" in names)
    version = _VERSION.search(reader.read(joined(folder, _APPLICATION), CONFIG_LIMIT_BYTES) or b"")
    found: Row = {
        "kind": "laravel",
        "version": None if version is None else version[1].decode(),
        "config": config.decode() if b".env" in names else None,
        "databases": databases,
        "warnings": warnings,
    }
    return {**found, "sqlite": [joined(folder, sqlite.encode()).decode()]} if sqlite else found


def _read_config(reader: BoundedReader, config: bytes, is_there: bool) -> tuple[list[Row], list[str], str]:
    """Return the logins, the warnings and the SQLite file that it names, if any."""
    if not is_there:
        return [], ["This Laravel application has no .env, so its database is not known."], ""
    raw = reader.read(config, CONFIG_LIMIT_BYTES)
    source = None if raw is None else decoded(raw)
    if source is None:
        return [], [".env cannot be read: it is a link, larger than 256 KiB, or no UTF-8 text."], ""
    read = read_dotenv(source, reader.seconds_left)
    if read is None:
        return [], [".env takes too long to read, so its database login was not read."], ""
    values, unknown = read
    login, warnings = dotenv_login(values, unknown)
    is_sqlite = values.get("DB_CONNECTION", "").lower() == "sqlite"
    return ([] if login is None else [login]), warnings, _sqlite_file(values) if is_sqlite else ""


def _sqlite_file(values: dict[str, str]) -> str:
    """The path below the application's folder; an absolute one counts from its `database` folder on."""
    named = values.get("DB_DATABASE", "")
    if named.startswith("/"):
        return "database/" + named.rpartition("/database/")[2] if "/database/" in named else ""
    return named or _SQLITE_FILE

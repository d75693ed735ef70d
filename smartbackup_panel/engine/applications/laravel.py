"""Laravel: its .env beside artisan, read by python-dotenv without interpolation."""

from __future__ import annotations

import io
import re
from typing import Any

from dotenv import dotenv_values

from smartbackup_panel.core.databases import parse_endpoint
from smartbackup_panel.engine.applications.reader import CONFIG_LIMIT_BYTES, Reader, decoded, joined

_VERSION = re.compile(rb"const\s+VERSION\s*=\s*'([0-9][0-9A-Za-z.+-]{0,30})'")
_APPLICATION = b"vendor/laravel/framework/src/Illuminate/Foundation/Application.php"
_MYSQL = frozenset({"mysql", "mariadb"})
_REFERENCE = re.compile(r"\$\{[A-Za-z_]|\$[A-Za-z_]")


def find_laravel(reader: Reader, folder: bytes, names: frozenset[bytes]) -> dict[str, Any] | None:
    """Return what is known of a Laravel application whose artisan lies in `folder`, or None."""
    if b"artisan" not in names or not names & {b"bootstrap", b"composer.json", b".env"}:
        return None
    config = joined(folder, b".env")
    databases, warnings = _read_config(reader, config, b".env" in names)
    version = _VERSION.search(reader.read(joined(folder, _APPLICATION), CONFIG_LIMIT_BYTES) or b"")
    return {
        "kind": "laravel",
        "version": None if version is None else version[1].decode(),
        "config": config.decode() if b".env" in names else None,
        "databases": databases,
        "warnings": warnings,
    }


def _read_config(reader: Reader, config: bytes, is_there: bool) -> tuple[list[dict[str, Any]], list[str]]:
    if not is_there:
        return [], ["This Laravel application has no .env, so its database is not known."]
    raw = reader.read(config, CONFIG_LIMIT_BYTES)
    source = None if raw is None else decoded(raw)
    if source is None:
        return [], [".env cannot be read: it is a link, larger than 256 KiB, or no UTF-8 text."]
    values = dotenv_values(stream=io.StringIO(source), interpolate=False)
    return _logins({name: value or "" for name, value in values.items()})


def _logins(values: dict[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    connection = values.get("DB_CONNECTION", "").lower()
    if connection not in _MYSQL:
        if connection in ("", "sqlite"):
            return [], []
        return [], [f"The database connection {connection!r} of .env is not dumped yet."]
    if values.get("DB_URL") or values.get("DATABASE_URL"):
        return [], ["DB_URL in .env is not read; set DB_HOST, DB_DATABASE, DB_USERNAME and DB_PASSWORD."]
    needed = {key: values.get(key, "") for key in ("DB_DATABASE", "DB_USERNAME", "DB_PASSWORD", "DB_HOST")}
    references = sorted(key for key, value in needed.items() if key != "DB_PASSWORD" and _REFERENCE.search(value))
    if _REFERENCE.match(needed["DB_PASSWORD"]) and "${" in needed["DB_PASSWORD"]:
        references.append("DB_PASSWORD")
    endpoint = parse_endpoint(needed["DB_HOST"] or "127.0.0.1")
    port = values.get("DB_PORT", "")
    if references or endpoint is None or not needed["DB_DATABASE"] or not needed["DB_USERNAME"] or not _is_port(port):
        named = f" ({', '.join(references)} refer to other variables)" if references else ""
        return [], [f"The database login in .env is incomplete or cannot be understood{named}."]
    login = {
        "kind": "mysql",
        "name": needed["DB_DATABASE"],
        "user": needed["DB_USERNAME"],
        "password": needed["DB_PASSWORD"],
        "host": endpoint.host or "localhost",
        "port": int(port) if port else endpoint.port,
        "socket": values.get("DB_SOCKET") or endpoint.socket,
        "charset": values.get("DB_CHARSET") or None,
        "table_prefix": None,
    }
    return [login], []


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65_535)

"""Logins out of a .env file, as Laravel and Symfony read it: quotes, comments, ${NAMES}, an address in one line."""

from __future__ import annotations

import io
import re
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from dotenv.parser import parse_stream

from smartbackup_panel.core.database_hosts import parse_endpoint
from smartbackup_panel.engine.applications.php_login import NOT_BACKED_UP, Row, is_port, kind_of_driver

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_PLAIN = re.compile(r"\s*+(?:export\s++)?+[^=]*+=\s*+'")
_BLANKS = re.compile(r"\s{64,}+")
"""The parser's own expressions take the square of such a run's length, and no login holds one."""

_VALUE_LIMIT = 4_096
_URLS = ("DB_URL", "DATABASE_URL")


def read_dotenv(source: str, limit_seconds: float) -> tuple[dict[str, str], frozenset[str]] | None:
    """Return the variables, and the names of those that refer to something that the file does not set before them.

    As in PHP's dotenv, `${NAME}` counts outside single quotes alone. None for what takes longer than `limit_seconds`.
    """
    deadline = time.monotonic() + limit_seconds
    values: dict[str, str] = {}
    unknown: set[str] = set()
    source = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] or "\r" in run[0] else " ", source)
    for binding in parse_stream(io.StringIO(source)):
        if time.monotonic() > deadline:
            return None
        if binding.key is None or binding.error:
            continue
        text = (binding.value or "")[:_VALUE_LIMIT]
        is_plain = _PLAIN.match(binding.original.string) is not None
        names = [] if is_plain else _REFERENCE.findall(text)
        if any(name not in values or name in unknown for name in names):
            unknown.add(binding.key)
        elif names:
            text = _REFERENCE.sub(lambda match: values[match[1]], text)
        values[binding.key] = text[:_VALUE_LIMIT]
    return values, frozenset(unknown & values.keys())


def dotenv_login(values: dict[str, str], unknown: frozenset[str], prefix: str = "DB") -> tuple[Row | None, list[str]]:
    """Return the login of the variables `DB_…` or of DB_URL, or None with the sentences that say why.

    None without a sentence: the file names no database server.
    """
    url = next((name for name in _URLS if values.get(name)), None)
    parts = _parts_of_variables(values, prefix)
    if url is not None:
        read = _parts_of_url(values[url])
        if url in unknown or read is None:
            return None, [f"{url} in .env cannot be understood.", NOT_BACKED_UP]
        parts |= {name: text for name, text in read.items() if text}
    if parts["driver"].lower() in ("", "sqlite"):
        return None, []
    kind = kind_of_driver(parts["driver"])
    if kind is None:
        return None, [f"The database connection {parts['driver'][:40]!r} of .env is of a kind that is not backed up."]
    referring = sorted(f"{prefix}_{name}" for name in _NAMES.values() if f"{prefix}_{name}" in unknown)
    endpoint = parse_endpoint(parts["host"] or "127.0.0.1")
    port_is_odd = bool(parts["port"]) and not is_port(parts["port"])
    if (referring and url is None) or endpoint is None or not parts["name"] or not parts["user"] or port_is_odd:
        named = f" ({', '.join(referring)} refer to other variables)" if referring else ""
        return None, [f"The database login in .env is incomplete or cannot be understood{named}."]
    return {
        "kind": kind,
        "name": parts["name"],
        "user": parts["user"],
        "password": parts["password"],
        "host": endpoint.host or "localhost",
        "port": int(parts["port"]) if parts["port"] else endpoint.port,
        "socket": parts["socket"] or endpoint.socket,
        "charset": parts["charset"] or None,
        "table_prefix": parts["table_prefix"] or None,
    }, []


_NAMES = {
    "driver": "CONNECTION",
    "name": "DATABASE",
    "user": "USERNAME",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
    "socket": "SOCKET",
    "charset": "CHARSET",
    "table_prefix": "PREFIX",
}


def _parts_of_variables(values: dict[str, str], prefix: str) -> dict[str, str]:
    return {part: values.get(f"{prefix}_{name}", "") for part, name in _NAMES.items()}


def _parts_of_url(text: str) -> dict[str, Any] | None:
    """`mysql://user:password@host:port/name?unix_socket=/path&charset=…`, percent signs resolved."""
    try:
        url = urlsplit(text)
        port = url.port
        options = parse_qs(url.query, max_num_fields=50)
    except ValueError:
        return None
    if not url.scheme:
        return None
    sockets = options.get("unix_socket") or options.get("host") or [""]
    return {
        "driver": url.scheme,
        "name": unquote(url.path.lstrip("/")),
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "host": url.hostname or "",
        "port": "" if port is None else str(port),
        "socket": sockets[0] if sockets[0].startswith("/") else "",
        "charset": options.get("charset", [""])[0],
    }

"""A database login out of a PHP configuration: which names hold its parts, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smartbackup_panel.core.database_hosts import parse_endpoint
from smartbackup_panel.engine.applications.php_values import PhpValues, read_php_values
from smartbackup_panel.engine.applications.reader import CONFIG_LIMIT_BYTES, BoundedReader, decoded

Row = dict[str, Any]
NOT_BACKED_UP = "The database of this site is not backed up until its login is known."
_KINDS = {
    "mysql": "mysql",
    "mysqli": "mysql",
    "mariadb": "mysql",
    "pdo_mysql": "mysql",
    "pdomysql": "mysql",
    "pgsql": "pgsql",
    "postgresql": "pgsql",
    "postgres": "pgsql",
    "pdo_pgsql": "pgsql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "pdo_sqlite": "sqlite",
}


@dataclass(frozen=True, slots=True)
class LoginNames:
    """Where a configuration keeps the parts of a login; empty: it has no such part."""

    name: str
    user: str
    password: str
    host: str
    port: str = ""
    socket: str = ""
    charset: str = ""
    prefix: str = ""


def kind_of_driver(driver: str) -> str | None:
    """Return mysql, pgsql or sqlite for what an application calls its driver; None for any other."""
    return _KINDS.get(driver.lower())


def read_config(reader: BoundedReader, path: bytes) -> tuple[PhpValues | None, list[str]]:
    """Return what a PHP configuration sets, or None; and warnings about what is wrong with it."""
    shown = path.rpartition(b"/")[2].decode("utf-8", "replace")
    raw = reader.read(path, CONFIG_LIMIT_BYTES)
    if raw is None:
        return None, [f"{shown} cannot be read: it is a link, no regular file, or larger than 256 KiB."]
    source = decoded(raw)
    if source is None:
        return None, [f"{shown} is no UTF-8 text, so its database login was not read."]
    values = read_php_values(source, reader.seconds_left)
    if not values.is_complete:
        return None, [f"{shown} takes too long to read, so its database login was not read."]
    if values.has_errors:
        return values, [f"Parts of {shown} are not valid PHP; its settings may be read wrongly."]
    return values, []


def read_login(values: PhpValues, names: LoginNames, shown: str, kind: str = "mysql") -> tuple[Row | None, list[str]]:
    """Return the login as a row for `DatabaseLogin.from_fields`, or None with the sentences that say why."""
    found: dict[str, str] = {}
    problems: list[str] = []
    computed = set()
    for part in ("name", "user", "password", "host", "port", "socket", "charset", "prefix"):
        place = getattr(names, part)
        text, reason = values.find(place) if place else (None, None)
        if text is not None:
            found[part] = text
        elif reason is not None:
            computed.add(part)
            problems.append(f"{place} {reason} in {shown}; it was left alone.")
        elif part in ("name", "user", "password"):
            problems.append(f"{place} is not in {shown}.")
    endpoint = parse_endpoint(found.get("host") or "localhost")
    port = found.get("port", "")
    if endpoint is None:
        problems.append(f"{names.host} in {shown} is no host that can be understood.")
    elif port and not is_port(port):
        problems.append(f"{names.port} in {shown} is no port.")
    unusable = endpoint is None or (port and not is_port(port)) or computed & {"host", "port", "socket"}
    if endpoint is None or unusable or any(part not in found for part in ("name", "user", "password")):
        return None, [*problems, NOT_BACKED_UP]
    return {
        "kind": kind,
        "name": found["name"],
        "user": found["user"],
        "password": found["password"],
        "host": endpoint.host or "localhost",
        "port": int(port) if port else endpoint.port,
        "socket": found.get("socket") or endpoint.socket,
        "charset": found.get("charset") or None,
        "table_prefix": found.get("prefix"),
    }, problems


def is_port(text: str) -> bool:
    """Return whether a text is a port number."""
    return text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65_535

"""WordPress: wp-config.php in its folder or one folder up, inside the domain's own folder."""

from __future__ import annotations

import re
from typing import Any

from smartbackup_panel.core.databases import parse_endpoint
from smartbackup_panel.engine.applications.php_values import PhpValues, read_php_values
from smartbackup_panel.engine.applications.reader import CONFIG_LIMIT_BYTES, Reader, decoded, joined

_CONFIG = b"wp-config.php"
_MARKERS = frozenset({b"wp-load.php", b"wp-settings.php", b"wp-includes"})
_VERSION = re.compile(rb"\$wp_version\s*=\s*'([0-9][0-9A-Za-z.+-]{0,30})'")
_VERSION_LIMIT_BYTES = 64 * 1024
_NEEDED = ("DB_NAME", "DB_USER", "DB_PASSWORD")


def find_wordpress(
    reader: Reader, folder: bytes, names: frozenset[bytes], above: frozenset[bytes]
) -> dict[str, Any] | None:
    """Return what is known of a WordPress in `folder`, or None. `above` are the names one folder up (empty: none).

    As WordPress itself does, a wp-config.php one folder up counts only where no wp-settings.php lies beside it.
    """
    has_core = bool(names & _MARKERS)
    if _CONFIG in names:
        config = joined(folder, _CONFIG)
    elif has_core and _CONFIG in above and b"wp-settings.php" not in above:
        config = joined(folder.rpartition(b"/")[0], _CONFIG)
    elif has_core and b"wp-includes" in names and b"wp-load.php" in names:
        warning = "This WordPress has no wp-config.php yet, so its database is not known."
        return _found(reader, folder, None, [], [warning])
    else:
        return None
    databases, warnings = _read_config(reader, config)
    return _found(reader, folder, config, databases, warnings)


def _found(
    reader: Reader, folder: bytes, config: bytes | None, databases: list[dict[str, Any]], warnings: list[str]
) -> dict[str, Any]:
    text = reader.read(joined(folder, b"wp-includes/version.php"), _VERSION_LIMIT_BYTES) or b""
    version = _VERSION.search(text)
    return {
        "kind": "wordpress",
        "version": None if version is None else version[1].decode(),
        "config": None if config is None else config.decode(),
        "databases": databases,
        "warnings": warnings,
    }


def _read_config(reader: Reader, config: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    raw = reader.read(config, CONFIG_LIMIT_BYTES)
    if raw is None:
        return [], ["wp-config.php cannot be read: it is a link, no regular file, or larger than 256 KiB."]
    source = decoded(raw)
    if source is None:
        return [], ["wp-config.php is no UTF-8 text, so its database login was not read."]
    values = read_php_values(source)
    warnings = []
    if not values.is_complete:
        return [], ["wp-config.php takes too long to read, so its database login was not read."]
    if values.has_errors:
        warnings.append("Parts of wp-config.php are not valid PHP; its settings may be read wrongly.")
    login, problems = _login(values)
    return ([] if login is None else [login]), warnings + problems


def _login(values: PhpValues) -> tuple[dict[str, Any] | None, list[str]]:
    found: dict[str, str] = {}
    problems = []
    for name in (*_NEEDED, "DB_HOST", "DB_CHARSET", "$table_prefix"):
        text, reason = values.find(name)
        if text is not None:
            found[name] = text
        elif reason is not None:
            problems.append(f"{name} {reason} in wp-config.php; it was left alone.")
        elif name in _NEEDED:
            problems.append(f"{name} is not in wp-config.php.")
    host_unknown = values.find("DB_HOST")[1] is not None
    endpoint = parse_endpoint(found.get("DB_HOST", "localhost"))
    if endpoint is None:
        problems.append("DB_HOST in wp-config.php is no host that can be understood.")
    if endpoint is None or host_unknown or any(name not in found for name in _NEEDED):
        return None, [*problems, "The database of this site is not backed up until its login is known."]
    return {
        "kind": "mysql",
        "name": found["DB_NAME"],
        "user": found["DB_USER"],
        "password": found["DB_PASSWORD"],
        "host": endpoint.host or "localhost",
        "port": endpoint.port,
        "socket": endpoint.socket,
        "charset": found.get("DB_CHARSET") or None,
        "table_prefix": found.get("$table_prefix"),
    }, problems

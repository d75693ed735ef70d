"""WordPress: wp-config.php in its folder or one folder up, inside the domain's own folder."""

from __future__ import annotations

import re

from smartbackup_panel.engine.applications.php_login import LoginNames, Row, read_config, read_login
from smartbackup_panel.engine.applications.php_values import PhpValues
from smartbackup_panel.engine.applications.reader import BoundedReader, joined

_CONFIG = b"wp-config.php"
_MARKERS = frozenset({b"wp-load.php", b"wp-settings.php", b"wp-includes"})
_VERSION = re.compile(rb"\$wp_version\s*=\s*'([0-9][0-9A-Za-z.+-]{0,30})'")
_VERSION_LIMIT_BYTES = 64 * 1024
NAMES = LoginNames("DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST", charset="DB_CHARSET", prefix="$table_prefix")


def find_wordpress(
    reader: BoundedReader, folder: bytes, names: frozenset[bytes], above: frozenset[bytes]
) -> Row | None:
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
    databases, warnings, is_multisite = _read_config(reader, config)
    found = _found(reader, folder, config, databases, warnings)
    return {**found, "multisite": True} if is_multisite else found


def _found(
    reader: BoundedReader, folder: bytes, config: bytes | None, databases: list[Row], warnings: list[str]
) -> Row:
    text = reader.read(joined(folder, b"wp-includes/version.php"), _VERSION_LIMIT_BYTES) or b""
    version = _VERSION.search(text)
    return {
        "kind": "wordpress",
        "version": None if version is None else version[1].decode(),
        "config": None if config is None else config.decode(),
        "databases": databases,
        "warnings": warnings,
    }


def _read_config(reader: BoundedReader, config: bytes) -> tuple[list[Row], list[str], bool]:
    """Return the logins, the warnings, and whether this is a multisite."""
    values, warnings = read_config(reader, config)
    if values is None:
        return [], warnings, False
    login, problems = read_login(values, NAMES, "wp-config.php")
    warnings += problems + _content_warning(values)
    return ([] if login is None else [login]), warnings, values.find("MULTISITE")[0] == "1"


def _content_warning(values: PhpValues) -> list[str]:
    """Plugins, themes and uploads may lie anywhere; a backup holds what lies in the domain's folder."""
    text, reason = values.find("WP_CONTENT_DIR")
    if text is None and reason is None:
        return []
    where = text or "a folder that PHP computes"
    return [
        f"WP_CONTENT_DIR is {where}; themes and uploads are in a restore point only if that is inside this site's folder."
    ]

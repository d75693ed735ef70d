"""Joomla, Drupal, PrestaShop and Magento: where each keeps its login."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smartbackup_panel.engine.applications.php_login import LoginNames, Row, kind_of_driver, read_config, read_login
from smartbackup_panel.engine.applications.php_values import PhpValues
from smartbackup_panel.engine.applications.reader import BoundedReader, joined

_VERSION_LIMIT_BYTES = 64 * 1024
_SITES_LIMIT = 20
_JOOMLA_VERSION = re.compile(rb"<version>([0-9][0-9A-Za-z.+-]{0,30})</version>")
_DRUPAL_VERSION = re.compile(rb"const VERSION = '([0-9][0-9A-Za-z.+-]{0,30})'")
_JOOMLA = LoginNames(
    "JConfig.db", "JConfig.user", "JConfig.password", "JConfig.host", port="JConfig.port", prefix="JConfig.dbprefix"
)
_PRESTASHOP = LoginNames(
    "return.parameters.database_name",
    "return.parameters.database_user",
    "return.parameters.database_password",
    "return.parameters.database_host",
    port="return.parameters.database_port",
    prefix="return.parameters.database_prefix",
)
_PRESTASHOP_OLD = LoginNames("_DB_NAME_", "_DB_USER_", "_DB_PASSWD_", "_DB_SERVER_", prefix="_DB_PREFIX_")


def find_other_system(reader: BoundedReader, folder: bytes, names: frozenset[bytes]) -> Row | None:
    """Return what is known of a Joomla, Drupal, PrestaShop or Magento in `folder`, or None."""
    if b"configuration.php" in names and names & {b"administrator", b"libraries"}:
        return _joomla(reader, folder)
    if b"sites" in names and names & {b"core", b"includes"}:
        return _drupal(reader, folder)
    if b"app" in names and b"bin" in names and b"env.php" in reader.names(joined(folder, b"app/etc")):
        return _magento(reader, folder)
    if b"app" in names and b"parameters.php" in reader.names(joined(folder, b"app/config")):
        return _prestashop(reader, folder, b"app/config/parameters.php", _PRESTASHOP)
    if b"classes" in names and b"settings.inc.php" in reader.names(joined(folder, b"config")):
        return _prestashop(reader, folder, b"config/settings.inc.php", _PRESTASHOP_OLD)
    return None


def _joomla(reader: BoundedReader, folder: bytes) -> Row:
    config = joined(folder, b"configuration.php")
    values, warnings = read_config(reader, config)
    version = _version(reader, joined(folder, b"administrator/manifests/files/joomla.xml"), _JOOMLA_VERSION)
    found = _found("joomla", version, config, warnings)
    if values is not None:
        _add(found, values, _JOOMLA, "configuration.php", values.find("JConfig.dbtype")[0] or "mysqli")
    return found


def _drupal(reader: BoundedReader, folder: bytes) -> Row | None:
    """Every site of a Drupal has settings of its own; each connection of them is a database."""
    sites = joined(folder, b"sites")
    configs = [
        joined(sites, joined(name, b"settings.php"))
        for name in reader.names(sites)[:_SITES_LIMIT]
        if b"settings.php" in reader.names(joined(sites, name))
    ]
    if not configs:
        return None
    version = _version(reader, joined(folder, b"core/lib/Drupal.php"), _DRUPAL_VERSION)
    found = _found("drupal", version, configs[0], [])
    for config in configs:
        values, warnings = read_config(reader, config)
        found["warnings"] += warnings
        for place in _drupal_places(values) if values is not None else ():
            names = _names_below(place, "database", "username")
            driver = (values.find(f"{place}.driver")[0] if values else None) or "mysql"
            if values is not None and kind_of_driver(driver) == "sqlite":
                found.setdefault("sqlite", []).append(values.find(f"{place}.database")[0] or "")
            elif values is not None:
                _add(found, values, names, config.decode("utf-8", "replace"), driver)
    return found


def _drupal_places(values: PhpValues) -> Iterator[str]:
    for key in values.below("$databases"):
        for target in values.below(f"$databases.{key}"):
            if target != "replica" and target != "slave":
                yield f"$databases.{key}.{target}"


def _magento(reader: BoundedReader, folder: bytes) -> Row:
    config = joined(folder, b"app/etc/env.php")
    values, warnings = read_config(reader, config)
    found = _found("magento", None, config, warnings)
    for connection in values.below("return.db.connection") if values is not None else ():
        place = f"return.db.connection.{connection}"
        names = _names_below(place, "dbname", "username", prefix="return.db.table_prefix")
        if values is not None and values.find(f"{place}.active")[0] not in ("0", ""):
            _add(found, values, names, "app/etc/env.php", "mysql")
    return found


def _prestashop(reader: BoundedReader, folder: bytes, path: bytes, names: LoginNames) -> Row:
    config = joined(folder, path)
    values, warnings = read_config(reader, config)
    version = None if values is None else values.find("_PS_VERSION_")[0]
    found = _found("prestashop", version, config, warnings)
    if values is not None:
        _add(found, values, names, path.decode(), "mysql")
    return found


def _names_below(place: str, name: str, user: str, prefix: str | None = None) -> LoginNames:
    return LoginNames(
        f"{place}.{name}",
        f"{place}.{user}",
        f"{place}.password",
        f"{place}.host",
        port=f"{place}.port",
        socket=f"{place}.unix_socket",
        charset=f"{place}.charset",
        prefix=prefix or f"{place}.prefix",
    )


def _found(kind: str, version: str | None, config: bytes, warnings: list[str]) -> Row:
    return {
        "kind": kind,
        "version": version,
        "config": config.decode("utf-8", "replace"),
        "databases": [],
        "warnings": warnings,
    }


def _add(found: Row, values: PhpValues, names: LoginNames, shown: str, driver: str) -> None:
    kind = kind_of_driver(driver)
    if kind is None:
        found["warnings"].append(f"{shown} names a database of a kind that is not backed up: {driver[:40]!r}.")
        return
    login, problems = read_login(values, names, shown, kind)
    found["warnings"] += problems
    if login is not None:
        found["databases"].append(login)


def _version(reader: BoundedReader, path: bytes, pattern: re.Pattern[bytes]) -> str | None:
    match = pattern.search(reader.read(path, _VERSION_LIMIT_BYTES) or b"")
    return None if match is None else match[1].decode()

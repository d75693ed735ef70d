"""What a tenant's login may do beyond its own database (SECURITY rule 12: never the admin login)."""

from __future__ import annotations

import re

from smartbackup_panel.adapters.databases.connection import Session

_HARMLESS = frozenset(
    {"USAGE", "PROCESS", "RELOAD", "SHOW DATABASES", "LOCK TABLES", "CREATE TEMPORARY TABLES"}
    | {"REPLICATION CLIENT", "BINLOG MONITOR", "SLAVE MONITOR", "SHOW_ROUTINE"}
)
RESTORE_RIGHTS = frozenset({"SELECT", "INSERT", "CREATE", "DROP", "ALTER"})
"""What loading tables beside the live ones and renaming them takes."""

_RIGHTS = (
    "SELECT TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES "
    "WHERE DATABASE() LIKE TABLE_SCHEMA OR DATABASE() = TABLE_SCHEMA"
)
_GLOBAL_GRANT = re.compile(r"GRANT (.+?) ON \*\.\* TO ", re.DOTALL)


def server_wide_rights(session: Session) -> tuple[str, ...]:
    """Return the rights that reach other databases or the server itself, sorted; empty for a login as panels make them."""
    found: set[str] = set()
    for (grant,) in session.rows("SHOW GRANTS"):
        match = _GLOBAL_GRANT.match(grant)
        if match is not None:
            found |= {right.strip() for right in match[1].split(",")}
    return tuple(sorted(found - _HARMLESS))


def rights_on_database(session: Session) -> frozenset[str]:
    """Return the rights of the session's login on its database as a whole; those that every matching grant has."""
    grants = _grants(session)
    return frozenset(set.intersection(*grants.values())) if grants else frozenset()


def lacking_for_a_restore(session: Session) -> list[str]:
    """Return which rights no grant on the database has, sorted; nothing where a role's or other grants may decide."""
    granted = {right for rights in _grants(session).values() for right in rights}
    return sorted(RESTORE_RIGHTS - granted) if granted else []


def _grants(session: Session) -> dict[str, set[str]]:
    grants: dict[str, set[str]] = {}
    for pattern, right in session.rows(_RIGHTS):
        grants.setdefault(pattern, set()).add(right)
    return grants

"""What a tenant's login may do beyond its own database (SECURITY rule 12: never the admin login)."""

from __future__ import annotations

import re

from smartbackup_panel.adapters.databases.connection import Session

_HARMLESS = frozenset(
    {"USAGE", "PROCESS", "RELOAD", "SHOW DATABASES", "LOCK TABLES", "CREATE TEMPORARY TABLES"}
    | {"REPLICATION CLIENT", "BINLOG MONITOR", "SLAVE MONITOR", "SHOW_ROUTINE"}
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

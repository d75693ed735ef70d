"""The logins of a domain's databases: what its configuration names, as far as the panel gives it (SECURITY rule 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smartbackup_panel.core.database_grants import grant
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.errors import DatabaseRefused, WrongUsage
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.services.installation import Installation


def find_logins(
    installation: Installation, domain: Domain, found: Mapping[str, object]
) -> tuple[list[DatabaseLogin], list[str]]:
    """Return the login of each of the domain's databases, and sentences about what is unusable or does not agree.

    `found` is what an agent says of the application.
    """
    logins: dict[tuple[str, str, str], DatabaseLogin] = {}
    warnings: list[str] = []
    rows = found.get("databases")
    for row in rows if isinstance(rows, Sequence) else ():
        try:
            login = DatabaseLogin.from_fields(row)
        except DatabaseRefused as refused:
            warnings.append(refused.message)
        else:
            logins.setdefault((login.kind, login.host, login.name), login)
    granted, mismatches = grant(list(logins.values()), installation.panel.list_databases(domain.panel_uid))
    return granted, warnings + mismatches


def match_logins(
    installation: Installation, domain: Domain, found: Mapping[str, object], point: Point
) -> dict[str, DatabaseLogin]:
    """Return the login of each of the point's databases: of the same name, or the only one there is today."""
    logins, _ = find_logins(installation, domain, found)
    matched: dict[str, DatabaseLogin] = {}
    for dump in point.databases:
        same_kind = [login for login in logins if login.kind == dump.kind]
        named = [login for login in same_kind if login.name == dump.database]
        if named:
            matched[dump.database] = named[0]
        elif len(same_kind) == 1 and len(point.databases) == 1:
            matched[dump.database] = same_kind[0]
    return matched


def refuse_strange_target(installation: Installation, domain: Domain, name: str) -> None:
    """Raise WrongUsage for a database to restore into that the panel does not give to the domain."""
    known = installation.panel.list_databases(domain.panel_uid)
    if known is not None and name not in {database.name for database in known}:
        raise WrongUsage(f"the panel does not give the database {name!r} to {domain.display_name}")

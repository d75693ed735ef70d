"""Which databases are a domain's (SECURITY rule 10): those that the panel gives it, or where it knows of none, what a login opens. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smartbackup_panel.core.database_hosts import DatabaseLogin


@dataclass(frozen=True, slots=True)
class PanelDatabase:
    """A database that the panel gives to a domain, with a login of that database where the panel has one to give."""

    kind: str
    name: str
    login: DatabaseLogin | None = None


def grant(
    named: Sequence[DatabaseLogin], known: Iterable[PanelDatabase] | None
) -> tuple[list[DatabaseLogin], list[str]]:
    """Return the logins that may be used, one for each database, and sentences about what does not agree.

    `named` are those of the site's configuration, `known` what the panel gives (None: it knows nothing of databases). The
    panel's login of a database goes before the site's.
    """
    if known is None:
        return list(named), []
    granted, warnings = [], []
    by_name = {(login.kind, login.name): login for login in reversed(named)}
    for database in known:
        login = database.login or by_name.get((database.kind, database.name))
        if login is None:
            warnings.append(
                f"The database {database.name} is this domain's, and the site's configuration names no login for it."
            )
        else:
            granted.append(login)
    allowed = {(login.kind, login.name) for login in granted}
    warnings += [
        f"The site's configuration names the database {login.name}, which the panel does not give to this domain; it is not used."
        for login in named
        if (login.kind, login.name) not in allowed
    ]
    return granted, warnings

"""An account of a job's own (SECURITY rule 12): made by the admin's login, with the tenant's rights on one database.

It never has a right that the tenant's own login does not have there, so a login that may only read a neighbour's database
stays a reader. The admin's session holds a lock of the account's name as long as the account is in use; whoever comes next
drops accounts whose lock is free, so a killed job leaves none behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace

from smartbackup_panel.adapters.databases.connection import LOCK_TIMEOUT_SECONDS, Session, quoted
from smartbackup_panel.adapters.databases.rights import rights_on_database
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import NEW_PREFIX
from smartbackup_panel.core.errors import DomainBusy

ACCOUNT_PATTERN = "^sbj_[0-9a-f]{20}$"
DUMP_RIGHTS = frozenset({"SELECT", "SHOW VIEW", "TRIGGER", "LOCK TABLES"})
LOAD_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES"})


@contextlib.contextmanager
def job_account(
    admin: Session, tenant: Session, login: DatabaseLogin, job_id: str, rights: frozenset[str]
) -> Iterator[DatabaseLogin | None]:
    """Give a login of the job's own with `rights` on the login's database, dropped at the end.

    None where the tenant's login has not all of them on the database as a whole: then its own is the one to use.
    """
    if not rights <= rights_on_database(tenant):
        yield None
        return
    drop_abandoned(admin)
    name = account_name(login, job_id)
    if admin.value(f"SELECT GET_LOCK(%s, {LOCK_TIMEOUT_SECONDS})", name) != 1:
        raise DomainBusy(f"Another job works on the database {login.name}.")
    host = str(tenant.value("SELECT USER()")).rpartition("@")[2]
    own = replace(login, user=name, password=secrets.token_urlsafe(24))
    try:
        admin.run("DROP USER IF EXISTS %s@%s", name, host)
        admin.run("CREATE USER %s@%s IDENTIFIED BY %s", name, host, own.password)
        admin.run(f"GRANT {', '.join(sorted(rights))} ON {_pattern(login.name)}.* TO %s@%s", name, host)
        yield own
    finally:
        admin.run("DROP USER IF EXISTS %s@%s", name, host)
        admin.value("SELECT RELEASE_LOCK(%s)", name)


@contextlib.contextmanager
def scratch_database(admin: Session, own: DatabaseLogin, job_id: str, tenant: DatabaseLogin) -> Iterator[str]:
    """Give the name of a new empty database, of the tenant's database's character set, that the job's account may fill."""
    name = scratch_name(tenant, job_id)
    charset, collation = admin.rows(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
        tenant.name,
    )[0]
    try:
        admin.run(f"DROP DATABASE IF EXISTS {quoted(name)}")
        admin.run(f"CREATE DATABASE {quoted(name)} CHARACTER SET {charset} COLLATE {collation}")
        for (host,) in admin.rows("SELECT Host FROM mysql.user WHERE User = %s", own.user):
            admin.run(f"GRANT ALL PRIVILEGES ON {_pattern(name)}.* TO %s@%s", own.user, host)
        yield name
    finally:
        admin.run(f"DROP DATABASE IF EXISTS {quoted(name)}")


def drop_scratch_database(admin: Session, job_id: str, tenant: DatabaseLogin) -> None:
    """Remove what a killed load left outside the tenant's database; nothing there is fine."""
    admin.run(f"DROP DATABASE IF EXISTS {quoted(scratch_name(tenant, job_id))}")
    drop_abandoned(admin)


def drop_abandoned(admin: Session) -> None:
    """Drop the accounts of jobs that are gone: those whose lock nobody holds."""
    for name, host in admin.rows("SELECT User, Host FROM mysql.user WHERE User REGEXP %s", ACCOUNT_PATTERN):
        if admin.value("SELECT GET_LOCK(%s, 0)", name) == 1:
            admin.run("DROP USER IF EXISTS %s@%s", name, host)
            admin.value("SELECT RELEASE_LOCK(%s)", name)


def no_account(reason: str) -> str:
    """Return the sentence of a job that goes on with the tenant's own login."""
    return f"The site's own login was used, because no account could be made for the job: {reason.rstrip('.')}."


def account_name(login: DatabaseLogin, job_id: str) -> str:
    """Return the name of a job's account for one of the tenant's databases; nobody else's matches `ACCOUNT_PATTERN`."""
    return f"sbj_{_token(login, job_id)}"


def scratch_name(tenant: DatabaseLogin, job_id: str) -> str:
    """Return the name of a job's scratch database for one of the tenant's databases."""
    return f"{NEW_PREFIX}{_token(tenant, job_id)}"


def _token(login: DatabaseLogin, job_id: str) -> str:
    return hashlib.sha256(f"{job_id}\0{login.name}".encode()).hexdigest()[:20]


def _pattern(name: str) -> str:
    """Return a database's name as GRANT reads it: `_` and `%` would be wildcards there."""
    return quoted(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))

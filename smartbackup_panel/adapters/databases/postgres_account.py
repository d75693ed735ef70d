"""An account of a job's own on PostgreSQL (SECURITY rule 12): made by the admin's login, it acts as the tenant's role.

What it makes belongs to the tenant's role, whose rights are all that it has. The scratch stays a schema of the tenant's
database: PostgreSQL moves no table from one database to another. As on MariaDB a lock says that an account is in use, and
whoever comes next drops those whose lock is free.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.job_account import ACCOUNT_PATTERN, account_name
from smartbackup_panel.adapters.databases.postgres_session import Connection, open_postgres, open_postgres_admin
from smartbackup_panel.core.database_hosts import Address, AdminLogin, DatabaseLogin
from smartbackup_panel.core.errors import DomainBusy

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


@contextlib.contextmanager
def postgres_job_account(
    admin_login: AdminLogin, address: Address, login: DatabaseLogin, job_id: str
) -> Iterator[DatabaseLogin]:
    """Give a login of the job's own to the login's database, dropped at the end.

    DatabaseRefused where the admin's login is not accepted; psycopg's errors where it may not make accounts.
    """
    with open_postgres_admin(admin_login, address) as admin:
        drop_abandoned(admin, address, login)
        name = account_name(login, job_id)
        if admin.execute(_LOCK, [name]).fetchone() != (True,):
            raise DomainBusy(f"Another job works on the database {login.name}.")
        own = _login_of(name, login)
        try:
            _make(admin, own, login)
            yield own
        finally:
            _drop(admin, address, login, name)


def drop_abandoned(admin: Connection, address: Address, login: DatabaseLogin) -> None:
    """Drop the accounts of jobs that are gone: those whose lock nobody holds."""
    for (name,) in admin.execute("SELECT rolname FROM pg_roles WHERE rolname ~ %s", [ACCOUNT_PATTERN]).fetchall():
        if admin.execute(_LOCK, [name]).fetchone() == (True,):
            try:
                _drop(admin, address, login, name)
            finally:
                admin.execute(_UNLOCK, [name])


def _make(admin: Connection, own: DatabaseLogin, tenant: DatabaseLogin) -> None:
    names = {"own": sql.Identifier(own.user), "tenant": sql.Identifier(tenant.user)}
    admin.execute(sql.SQL("CREATE ROLE {own} LOGIN").format(**names))
    _set_password(admin, own)
    admin.execute(sql.SQL("GRANT {tenant} TO {own}").format(**names))
    admin.execute(sql.SQL("ALTER ROLE {own} SET role = {tenant}").format(**names))


def _login_of(name: str, tenant: DatabaseLogin) -> DatabaseLogin:
    return replace(tenant, user=name, password=secrets.token_urlsafe(24))


def _set_password(admin: Connection, own: DatabaseLogin) -> None:
    """The server gets the password encrypted: it may log statements."""
    encrypted = admin.pgconn.encrypt_password(own.password.encode(), own.user.encode()).decode()
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(own.user), sql.Literal(encrypted))
    admin.execute(statement)


def _drop(admin: Connection, address: Address, tenant: DatabaseLogin, name: str) -> None:
    """Drop an account. What a dump's own code made as the account, having put its role aside, the account gives to the tenant."""
    names = {"own": sql.Identifier(name), "tenant": sql.Identifier(tenant.user)}
    drop = sql.SQL("DROP ROLE IF EXISTS {own}").format(**names)
    try:
        admin.execute(drop)
    except psycopg.errors.DependentObjectsStillExist:
        own = _login_of(name, tenant)
        _set_password(admin, own)
        with open_postgres(own, address) as there:
            there.execute("SET ROLE NONE")
            there.execute(sql.SQL("REASSIGN OWNED BY {own} TO {tenant}").format(**names))
            there.execute(sql.SQL("DROP OWNED BY {own}").format(**names))
        admin.execute(drop)

"""Sessions with a tenant's PostgreSQL, as the tenant's own role and never as a superuser."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import pq, sql

from smartbackup_panel.adapters.process import Account, SecretFile
from smartbackup_panel.core.database_hosts import Address, AdminLogin, DatabaseLogin
from smartbackup_panel.core.errors import DatabaseRefused, DumpFailed, LoadFailed

Connection = psycopg.Connection[tuple[Any, ...]]
CONNECT_TIMEOUT_SECONDS = 10
LOCK_TIMEOUT = "20s"
_REFUSED = (psycopg.errors.InvalidPassword, psycopg.errors.InvalidAuthorizationSpecification)
_SETTINGS = (
    "SET search_path = pg_catalog; SET standard_conforming_strings = on; SET check_function_bodies = off; "
    f"SET lock_timeout = '{LOCK_TIMEOUT}'; SET timezone = 'UTC'; SET row_security = off; SET xmloption = content; "
    "SET client_min_messages = warning; SET default_tablespace = ''; SET idle_in_transaction_session_timeout = 0"
)
_TOO_MIGHTY = (
    "SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls OR pg_has_role(oid, 'pg_execute_server_program', "
    "'MEMBER') OR pg_has_role(oid, 'pg_write_server_files', 'MEMBER') OR pg_has_role(oid, 'pg_read_server_files', "
    "'MEMBER') FROM pg_roles WHERE rolname = current_user"
)


@contextlib.contextmanager
def open_postgres(login: DatabaseLogin, address: Address) -> Iterator[Connection]:
    """Give a session that commits each statement, in UTC and UTF-8, with no schema but the server's own in its path.

    DatabaseRefused when the server does not accept the login, or when it accepts it as more than a tenant's;
    DumpFailed when it does not answer.
    """
    try:
        connection = _connect(address, login.name, login.user, login.password)
    except psycopg.Error as error:
        raise _connection_error(login, error) from None
    try:
        if _is_too_mighty(login, connection):
            raise DatabaseRefused(
                f"The role {login.user} has rights on the whole database server; it is not used.",
                hint=f"Give the site a role of its own that owns the database {login.name} and nothing else.",
            )
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def open_postgres_admin(admin: AdminLogin, address: Address) -> Iterator[Connection]:
    """Give a session of the admin's login, in no tenant's database: accounts are made and dropped with it, nothing else.

    DatabaseRefused when the server does not accept it or does not answer.
    """
    try:
        connection = _connect(address, "postgres", admin.user, admin.password)
    except psycopg.Error as error:
        raise DatabaseRefused(
            f"The database server does not let the admin's login {admin.user} in: {_last_line(error, admin.password)}",
            hint="Correct the login in the file that the setting database_admin names.",
        ) from None
    with contextlib.closing(connection):
        connection.execute("SET search_path = pg_catalog")
        yield connection


def _connect(address: Address, database: str, user: str, password: str) -> Connection:
    return psycopg.connect(
        **where(address),
        dbname=database,
        user=user,
        password=password,
        passfile="/dev/null",
        client_encoding="UTF8",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        autocommit=True,
    )


def _is_too_mighty(login: DatabaseLogin, connection: Connection) -> bool:
    """Make the session's settings; return whether the role has rights beyond its own database."""
    try:
        connection.execute(_SETTINGS)
        return connection.execute(_TOO_MIGHTY).fetchone() != (False,)
    except psycopg.Error as error:
        raise _connection_error(login, error) from None


def where(address: Address) -> dict[str, Any]:
    """Return host and port as libpq wants them: of a unix socket, its folder and the number in its name."""
    if address.socket is None:
        return {"host": address.host, "port": address.port}
    folder, name = os.path.split(address.socket)
    return {"host": folder, "port": int(name.rpartition(".")[2])}


def password_file(login: DatabaseLogin, account: Account | None) -> SecretFile:
    """Return the file from which a client reads the password; DatabaseRefused for one that such files cannot hold."""
    if "\n" in login.password:
        raise DatabaseRefused(f"The password of {login.user} has a line break; PostgreSQL's clients cannot read it.")
    escaped = login.password.replace("\\", "\\\\").replace(":", "\\:")
    return SecretFile(f"*:*:*:*:{escaped}\n".encode(), [login.password], account)


def conninfo_value(text: str) -> str:
    """Return a value as connection strings write it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def run_one(connection: Connection, text: bytes) -> None:
    """Run exactly one statement of a dump; the server refuses a second one in it. psycopg's errors come out."""
    result = connection.pgconn.exec_params(text, None)
    if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result)


def identifier(*names: str) -> sql.Identifier:
    """Return a (qualified) name for `psycopg.sql`."""
    return sql.Identifier(*names)


def reason_of(error: psycopg.Error) -> str:
    """Return the server's sentence; of what else depends on something the first name too. Other details may hold rows."""
    said = (error.diag.message_primary or str(error)).strip()
    if not isinstance(error, psycopg.errors.DependentObjectsStillExist):
        return said
    detail = (error.diag.message_detail or "").partition("\n")[0]
    return f"{said} ({detail.rstrip('.')})"


@contextlib.contextmanager
def as_failure(login: DatabaseLogin, failure: type[LoadFailed] | type[DumpFailed] | type[Any]) -> Iterator[None]:
    """Turn what the server says in the middle of a step into our own error."""
    try:
        yield
    except psycopg.Error as error:
        raise failure(f"The database server stopped the work on {login.name}: {reason_of(error)}.") from None


def _connection_error(login: DatabaseLogin, error: psycopg.Error) -> DatabaseRefused | DumpFailed:
    reason = _last_line(error, login.password)
    refused = ("authentication failed", "does not exist", "permission denied", "no pg_hba.conf entry", "not permitted")
    if isinstance(error, _REFUSED) or any(words in reason for words in refused):
        return DatabaseRefused(
            f"The database server does not let {login.user} into {login.name}: {reason}",
            hint="Correct the database name, user and password in the site's configuration.",
        )
    return DumpFailed(
        f"The database server of {login.name} does not answer: {reason}", hint="Start the database server."
    )


def _last_line(error: psycopg.Error, password: str) -> str:
    text = (str(error).replace(password, "***") if password else str(error)).strip()
    return text.splitlines()[-1] if text else "no answer"

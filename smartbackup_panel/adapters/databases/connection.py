"""Sessions with a tenant's MariaDB or MySQL, as the tenant's own login and never as root of the machine."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pymysql
from pymysql.constants import CLIENT, CR, ER

from smartbackup_panel.adapters.process import ENVIRONMENT, Account, peer_account
from smartbackup_panel.core.database_hosts import Address, AdminLogin, DatabaseLogin
from smartbackup_panel.core.errors import DatabaseRefused, DumpFailed, SmartBackupError

CONNECT_TIMEOUT_SECONDS = 10
LOCK_TIMEOUT_SECONDS = 20
STATEMENT_LIMIT_SECONDS = 3_600
_REFUSALS = frozenset(
    {
        ER.ACCESS_DENIED_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.BAD_DB_ERROR,
        ER.HOST_NOT_PRIVILEGED,
        1_862,  # the password has expired
        1_698,  # unix_socket or another plugin does not accept this login
        3_118,  # the account is locked (MySQL)
        4_151,  # the account is locked (MariaDB)
    }
)
SESSION_SETTINGS = (
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', sql_quote_show_create = 1, "
    f"lock_wait_timeout = {LOCK_TIMEOUT_SECONDS}, innodb_lock_wait_timeout = {LOCK_TIMEOUT_SECONDS}, "
    "wait_timeout = 28800, net_read_timeout = 600, net_write_timeout = 600, character_set_results = utf8mb4"
)


class Session:
    """One connection to a tenant's database, one statement a call: what follows a `;` is an error, never a second one."""

    def __init__(self, connection: pymysql.connections.Connection[Any]) -> None:
        self._connection = connection

    @property
    def server_version(self) -> str:
        """The server's version text, for example 10.11.19-MariaDB-0+deb12u1."""
        return str(self.value("SELECT VERSION()"))

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of one statement; each `%s` of it is a value, quoted by the connection."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return [tuple(_text(value) for value in row) for row in cursor.fetchall()]

    def find_trouble(self, name: str) -> str | None:
        """Return None when rows of a table or view can be read within ten seconds, else the server's reason.

        A view or a table of a remote engine may take for ever: what a tenant made must not hold up a backup.
        """
        limits = "/*M!100101 SET STATEMENT max_statement_time = 10 FOR */ SELECT /*+ MAX_EXECUTION_TIME(10000) */"
        try:
            self.rows(f"{limits} 1 FROM {quoted(name)} LIMIT 1")
        except pymysql.err.MySQLError as error:
            if is_lost(error):
                raise
            return error_facts(error)[1]
        return None

    def value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row; its type is the server's business."""
        return self.rows(sql, *values)[0][0]

    def named_row(self, sql: str) -> dict[str, Any]:
        """Return the first row by column names."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
            names = [column[0] for column in cursor.description or ()]
        return {name: _text(value) for name, value in zip(names, row or (), strict=True)}

    def run(self, sql: str, *values: object) -> int:
        """Run one statement and return how many rows it changed."""
        with self._connection.cursor() as cursor:
            return int(cursor.execute(sql, values or None))

    def send(self, statement: bytes) -> int:
        """Run one statement whose bytes go out as they are; return how many rows it changed."""
        return int(self._connection.query(statement))

    def commit(self) -> None:
        self._connection.commit()

    def transaction(self) -> None:
        """Begin a transaction; `commit` ends it."""
        self._connection.begin()


@contextlib.contextmanager
def open_session(login: DatabaseLogin, address: Address, account: Account | None) -> Iterator[Session]:
    """Give a session in the login's database, in UTC and utf8mb4; SQL warnings raise nothing.

    DatabaseRefused when the server does not accept the login or the database; DumpFailed when it does not answer. Errors of
    statements come out as pymysql's own, for the caller to say what they meant.
    """
    try:
        connection = _connect(login.user, login.password, login.name, address, account)
    except pymysql.err.MySQLError as error:
        raise connection_error(login, error) from None
    with _session_of(connection, lambda error: connection_error(login, error)) as session:
        yield session


@contextlib.contextmanager
def open_admin_session(admin: AdminLogin, address: Address) -> Iterator[Session]:
    """Give a session of the admin's login, in no database: accounts and scratch databases are made with it, nothing else.

    DatabaseRefused when the server does not accept it or does not answer.
    """
    try:
        connection = _connect(admin.user, admin.password, None, address, None)
    except pymysql.err.MySQLError as error:
        raise _admin_refused(admin, error) from None
    with _session_of(connection, lambda error: _admin_refused(admin, error)) as session:
        yield session


def _admin_refused(admin: AdminLogin, error: pymysql.err.MySQLError) -> DatabaseRefused:
    return DatabaseRefused(
        f"The database server does not let the admin's login {admin.user} in: {error_facts(error)[1]}",
        hint="Correct the login in the file that the setting database_admin names.",
    )


@contextlib.contextmanager
def _session_of(
    connection: pymysql.connections.Connection[Any], our_error: Callable[[pymysql.err.MySQLError], SmartBackupError]
) -> Iterator[Session]:
    """`our_error` says what it means when the server goes away before the first statement."""
    try:
        try:
            with connection.cursor() as cursor:
                cursor.execute(SESSION_SETTINGS)
        except pymysql.err.MySQLError as error:
            raise our_error(error) from None
        yield Session(connection)
    finally:
        with contextlib.suppress(pymysql.err.Error):
            connection.close()


def connection_error(login: DatabaseLogin, error: pymysql.err.MySQLError) -> SmartBackupError:
    """Return our error for what a server answered to a login; its text never holds the password."""
    number, reason = error_facts(error)
    if number in _REFUSALS:
        return DatabaseRefused(
            f"The database server does not let {login.user} into {login.name}: {reason}",
            hint="Correct the database name, user and password in the site's configuration.",
        )
    return DumpFailed(
        f"The database server of {login.name} does not answer: {reason}", hint="Start the database server."
    )


def error_facts(error: pymysql.err.MySQLError) -> tuple[int, str]:
    """Return the server's error number (0: none) and its sentence."""
    if len(error.args) >= 2 and isinstance(error.args[0], int):
        return error.args[0], str(error.args[1])
    return 0, str(error)


def is_lost(error: pymysql.err.MySQLError) -> bool:
    """Return whether the connection, not the statement, failed."""
    lost = (0, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, ER.SERVER_SHUTDOWN, 1_927)
    return isinstance(error, pymysql.err.InterfaceError) or error_facts(error)[0] in lost


def quoted(name: str, database: str | None = None) -> str:
    """Return a name as SQL writes it, qualified by a database's where one is given."""
    plain = "`" + name.replace("`", "``") + "`"
    return plain if database is None else f"{quoted(database)}.{plain}"


def _text(value: Any) -> Any:
    """Text of the server; bytes that are no UTF-8 (a binary DEFAULT in a definition) survive the way back to it."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _connect(
    user: str, password: str, database: str | None, address: Address, account: Account | None
) -> pymysql.connections.Connection[Any]:
    connection = pymysql.connect(
        host=address.host or "localhost",
        port=address.port or 0,
        unix_socket=address.socket,
        user=user,
        password=password.encode(),  # PyMySQL would send a str as Latin-1
        database=database,
        charset="utf8mb4",
        use_unicode=False,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=STATEMENT_LIMIT_SECONDS,
        write_timeout=STATEMENT_LIMIT_SECONDS,
        local_infile=False,
        autocommit=True,
        defer_connect=True,
        conv=_as_text(pymysql.converters.decoders),
    )
    connection.client_flag &= ~CLIENT.MULTI_STATEMENTS
    peer = peer_account(account)
    if address.socket is not None and peer is not None:
        connection.connect(_connected_socket(address.socket, peer))
    else:
        connection.connect()
    return connection


def _as_text(decoders: Mapping[Any, Any]) -> dict[Any, Any]:
    """Numbers stay numbers; dates stay the server's text, which may be what Python cannot hold (0000-00-00)."""
    return {kind: decoder for kind, decoder in decoders.items() if decoder in (int, float)}


def _connected_socket(path: str, peer: Account) -> socket.socket:
    """Return a socket that is connected to `path` by a child that has become `peer`."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unix_connect.py")
        command = [sys.executable, "-I", "-S", script, str(peer.uid), str(peer.gid), path]
        child = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
        )
        theirs.close()
        try:
            ours.settimeout(CONNECT_TIMEOUT_SECONDS + 5)
            answer, descriptors, _, _ = socket.recv_fds(ours, 1_024, 1)
        except TimeoutError:
            answer, descriptors = b"-no answer", []
        finally:
            child.kill()
            child.wait()
    if not descriptors:
        raise pymysql.err.OperationalError(
            CR.CR_CONNECTION_ERROR, answer[1:].decode(errors="replace") or "no connection"
        )
    connected = socket.socket(fileno=descriptors[0])
    connected.settimeout(None)
    return connected

"""A database server killed at each step of a restore comes up with the old tables or the new ones, and nothing is left over.

What follows the start is what the worker does: a restore that was being prepared is thrown away, one that was being put in
place is carried through, an undo too.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Timer
from typing import Any

import psycopg
import pytest

from smartbackup_panel.adapters.databases import postgres_loader, postgres_part
from smartbackup_panel.adapters.databases.connection import Session
from smartbackup_panel.adapters.databases.postgres import PostgresServer
from smartbackup_panel.adapters.databases.postgres_session import run_one
from smartbackup_panel.core.database_hosts import DatabaseLogin, parse_database_hosts
from smartbackup_panel.core.databases import WHOLE_DUMP, DatabaseServer, DumpReport, LoadPart, RestoreState
from smartbackup_panel.core.errors import SmartBackupError
from tests.integration.databases import test_postgres
from tests.integration.databases.tenant import Tenant, create_tenant
from tests.integration.databases.test_crashes import SCHEMA, WRECK, tables, tables_of
from tests.support.mariadb import MariaDB, start_mariadb
from tests.support.postgres import Postgres, start_postgres
from tests.support.servers import wait_for

IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
STRIDE = 1 if IS_LONG else 11
DELAYS_SECONDS = (0.0, 0.0005, 0.002)
"""From the moment a statement goes out to the kill: before it arrives, in the middle of it, after it."""


@dataclass
class Deadly:
    """Kills a server as the statement of a number goes out; `was` says whether there was one."""

    kill: Callable[[], None]
    at: int
    was: bool = False
    _count: int = field(default=0)

    def wrap(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._count += 1
            if self._count - 1 != self.at:
                return method(*arguments, **options)
            self.was = True
            killer = Timer(DELAYS_SECONDS[self.at % 3], self.kill)
            killer.start()
            try:
                return method(*arguments, **options)
            finally:
                killer.join()

        return call


@dataclass
class Maria:
    """A server that writes what is committed before it says so, and a tenant of it."""

    folder: Path
    server: MariaDB
    tenant: Tenant

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    def start_again(self) -> None:
        self.server = start_mariadb(self.folder)
        self.server.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        login = self.tenant.login
        connection = self.server.connect(login.user, login.password, login.name)
        self.tenant = replace(self.tenant, server=self.server, connection=connection)

    @contextmanager
    def killed_at(self, step: int) -> Iterator[Deadly]:
        """Kill the server at a statement of what is done inside, and start it again."""
        deadly = Deadly(self.kill, step)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "run", deadly.wrap(Session.run))
            patch.setattr(Session, "send", deadly.wrap(Session.send))
            yield deadly
        if deadly.was:
            self.start_again()


@pytest.fixture
def maria() -> Iterator[Maria]:
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        server = start_mariadb(Path(folder))
        server.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        made = Maria(Path(folder), server, create_tenant(server, "alice"))
        try:
            yield made
        finally:
            made.server.stop()


FIRST = {"load": 2, "swap": 1, "undo": 3, "discard": 0}
LAST = {"load": 10, "swap": 20, "undo": 20, "discard": 3}
"""Statements of each step: from which one on it is killed, and how many there are at least."""


def test_a_mariadb_killed_at_a_statement_has_the_old_tables_or_the_new_ones(maria: Maria) -> None:
    maria.tenant.sql(*SCHEMA)
    then = maria.tenant.facts()
    text, report = maria.tenant.dump()
    maria.tenant.sql(*WRECK)
    wreck = maria.tenant.facts()
    for step, first in FIRST.items():
        number, killed = first, True
        while killed:
            killed = _one_kill(maria, step, number, Moments(text, report, then, wreck))
            number += STRIDE
        assert number > LAST[step]


@dataclass
class Moments:
    """A dump of what was, and what the database holds then and now."""

    text: bytes
    report: DumpReport
    then: Any
    wreck: Any
    part: LoadPart = WHOLE_DUMP


def _one_kill(maria: Maria, step: str, number: int, moments: Moments) -> bool:
    """Do a step and kill the server at one of its statements; return whether there was one."""
    alice, then, wreck = maria.tenant, moments.then, moments.wreck
    adapter, login = alice.adapter, alice.login
    if step != "load":
        adapter.load(login, [moments.text], "r", moments.report)
    if step == "undo":
        adapter.swap(login, "r")
    with maria.killed_at(number) as deadly:
        try:
            _do(adapter, login, step, moments)
        except SmartBackupError:
            assert deadly.was
    alice = maria.tenant
    assert tables(alice) in (tables_of(then), tables_of(wreck)), (step, number)
    if step in ("load", "discard"):
        assert tables(alice) == tables_of(wreck)
    state = adapter.state_of(login, "r")
    if state in (RestoreState.SWAPPING, RestoreState.SWAPPED) and step == "swap":
        adapter.swap(login, "r")
        assert alice.facts() == then, (step, number)
    if state in (RestoreState.SWAPPING, RestoreState.SWAPPED, RestoreState.UNDOING):
        adapter.undo(login, "r")
    assert alice.facts() == wreck, (step, number)
    adapter.discard(login, "r")
    assert alice.reserved_tables() == []
    return deadly.was


def _do(adapter: DatabaseServer, login: DatabaseLogin, step: str, moments: Moments) -> None:
    if step == "load":
        adapter.load(login, [moments.text], "r", moments.report, None, moments.part)
    elif step == "swap":
        adapter.swap(login, "r")
    elif step == "undo":
        adapter.undo(login, "r")
    else:
        adapter.discard(login, "r")


@dataclass
class Postgresql:
    """A server of its own, whose data outlives it, and a tenant of it."""

    server: Postgres
    tenant: test_postgres.Tenant

    def crash(self) -> None:
        self.server.crash()

    def connect(self) -> None:
        login = self.tenant.login
        self.tenant.connection = self.server.connect(login.user, login.password, login.name)
        self.tenant.connection.execute(b"SET search_path = public")

    @contextmanager
    def killed_at(self, step: int) -> Iterator[Deadly]:
        """Kill the server at a statement (or the end of a transaction) of what is done inside, and start it again."""
        deadly = Deadly(self.crash, step)
        with statements_of_psycopg(deadly):
            yield deadly
        if deadly.was:
            self.server.start_again()
            self.connect()

    def wait_for_nobody_else(self) -> None:
        """Return when the server has noticed that a killed worker is gone."""
        others = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
        wait_for(lambda: self.tenant.rows(others) == [(0,)], "the killed worker's session to end")

    def facts(self) -> Any:
        return (
            self.tenant.rows("SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'shop') ORDER BY 1"),
            self.tenant.rows("SELECT title FROM posts ORDER BY id"),
            self.tenant.rows("SELECT title FROM titles ORDER BY id"),
            self.tenant.rows(
                "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text !~ '_sb' ORDER BY 1"
            ),
        )


@contextmanager
def statements_of_psycopg(deadly: Deadly) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", deadly.wrap(psycopg.Connection.execute))
        patch.setattr(psycopg.Transaction, "__exit__", deadly.wrap(psycopg.Transaction.__exit__))
        patch.setattr(postgres_loader, "run_one", deadly.wrap(run_one))
        patch.setattr(postgres_part, "run_one", deadly.wrap(run_one))
        yield


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    server = start_postgres()
    try:
        server.create_tenant("alice", "s3cret")
        hosts = parse_database_hosts(f"localhost:{server.socket}")
        login = DatabaseLogin("alice", "alice", "s3cret", socket=server.socket, kind="pgsql")
        connection = server.connect("alice", "s3cret", "alice")
        connection.execute(b"SET search_path = public")
        yield Postgresql(server, test_postgres.Tenant(server, login, PostgresServer(hosts), connection))
    finally:
        server.stop()


WHOLE, SOME = LoadPart(), LoadPart(frozenset({"posts", "comments"}))


@pytest.mark.parametrize("part", [WHOLE, SOME], ids=["whole", "some tables"])
@pytest.mark.parametrize("who", ["server", "worker"])
def test_a_postgresql_or_its_worker_killed_at_a_statement_leaves_the_old_tables_or_the_new_ones(
    postgresql: Postgresql, who: str, part: LoadPart
) -> None:
    postgresql.tenant.run(test_postgres.SCHEMA + "DROP MATERIALIZED VIEW counted")
    text, report = postgresql.tenant.dump()
    then = postgresql.facts()
    postgresql.tenant.run("UPDATE posts SET title = 'hacked'; DROP TABLE comments")
    moments = Moments(text, report, then, postgresql.facts(), part)
    stride = 1 if IS_LONG else 9 if who == "worker" else 13
    for step in FIRST:
        number, killed = FIRST[step], True
        while killed:
            killed = _one_kill_of_postgresql(postgresql, step, number, moments, who)
            number += stride
        assert number > 5
    assert postgresql.tenant.schemas() == ["public", "shop"]


def _one_kill_of_postgresql(postgresql: Postgresql, step: str, number: int, moments: Moments, who: str) -> bool:
    adapter, login = postgresql.tenant.adapter, postgresql.tenant.login
    if step != "load":
        adapter.load(login, [moments.text], "r", moments.report, None, moments.part)
    if step == "undo":
        adapter.swap(login, "r")
    if who == "server":
        with postgresql.killed_at(number) as deadly:
            try:
                _do(adapter, login, step, moments)
            except SmartBackupError:
                assert deadly.was
        killed = deadly.was
    else:
        killed = _worker_killed_at(number, lambda: _do(adapter, login, step, moments))
        postgresql.wait_for_nobody_else()
    assert postgresql.facts() in (moments.then, moments.wreck), (step, number)
    if step in ("load", "discard"):
        assert postgresql.facts() == moments.wreck
    if adapter.state_of(login, "r") is RestoreState.SWAPPED:
        adapter.swap(login, "r")
        assert postgresql.facts() == moments.then
        adapter.undo(login, "r")
    assert postgresql.facts() == moments.wreck, (step, number)
    adapter.discard(login, "r")
    assert postgresql.tenant.schemas() == ["public", "shop"]
    return killed


def _worker_killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that kills itself at its statement of a number; True when it was killed."""
    child = os.fork()
    if child == 0:
        try:
            with statements_of_psycopg(Deadly(lambda: os.kill(os.getpid(), signal.SIGKILL), number)):
                work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

"""A PostgreSQL account of the job's own: it has the tenant's rights, what it makes is the tenant's, and nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from psycopg import sql

from smartbackup_panel.adapters.databases.postgres import PostgresServer
from smartbackup_panel.core.database_hosts import AdminLogin, AllowedHost, parse_database_hosts
from smartbackup_panel.core.databases import LoadPart, RestoreState
from smartbackup_panel.core.errors import DatabaseRefused, LoadFailed
from tests.integration.databases.tenant import in_chunks
from tests.integration.databases.test_postgres import SCHEMA, Tenant, alice, stable
from tests.support.postgres import Postgres, postgres_server

__all__ = ["alice", "postgres_server"]

ROWS = "CREATE TABLE numbers (n int, body text); INSERT INTO numbers SELECT n, repeat('x', 500) FROM generate_series(1, 40000) n"

RIGHTS = (
    "SELECT has_database_privilege(%s, 'neighbour', 'CONNECT'), rolsuper OR rolcreaterole OR rolcreatedb "
    "FROM pg_roles WHERE rolname = %s"
)


@pytest.fixture(params=["superuser", "maker of roles"])
def rosas_login(postgres_server: Postgres, request: pytest.FixtureRequest) -> Iterator[AdminLogin]:
    rights = sql.SQL("SUPERUSER" if request.param == "superuser" else "CREATEROLE")
    postgres_server.admin(sql.SQL("CREATE ROLE rosa LOGIN PASSWORD 'rosas-secret' {}").format(rights))
    yield AdminLogin(AllowedHost("localhost", socket=postgres_server.socket), "rosa", "rosas-secret")
    postgres_server.admin(sql.SQL("DROP ROLE rosa"))


@pytest.fixture
def two(alice: Tenant, rosas_login: AdminLogin) -> Tenant:
    """Alice, on a server whose admin gave a login."""
    hosts = parse_database_hosts(f"localhost:{alice.server.socket}")
    return replace(alice, adapter=PostgresServer(hosts, None, lambda: (rosas_login,)))


def accounts(server: Postgres) -> list[str]:
    with server.connect("admin", server.admin_password, "postgres") as connection:
        return [name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'sbj%'")]


def clients(server: Postgres) -> set[str]:
    with server.connect("admin", server.admin_password, "postgres") as connection:
        rows = connection.execute("SELECT DISTINCT usename FROM pg_stat_activity WHERE usename LIKE 'sbj%'")
        return {name for (name,) in rows}


def test_a_restore_through_an_account_of_the_job_equals_its_moment(two: Tenant) -> None:
    two.run(SCHEMA)
    text, report = two.dump()
    two.run("DROP TABLE comments; UPDATE posts SET title = 'hacked'")
    wreck, _ = two.dump()
    two.restore(text, report)
    assert stable(two.dump()[0]) == stable(text)
    owners = two.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'shop')")
    assert owners == [(two.login.user,)]
    two.adapter.undo(two.login, "r1")
    assert stable(two.dump()[0]) == stable(wreck)
    two.adapter.discard(two.login, "r1")
    two.run("DELETE FROM shop.orders")
    part = LoadPart(frozenset({"shop.orders"}))
    two.adapter.load(two.login, in_chunks(text), "part", report, None, part)
    two.adapter.swap(two.login, "part")
    assert two.rows("SELECT id FROM shop.orders") == [(7,)]
    assert report.warnings == ()
    assert accounts(two.server) == []


def test_the_dump_client_and_the_load_are_accounts_of_the_job(two: Tenant) -> None:
    two.run(ROWS)
    run = two.adapter.dump(two.login)
    pieces: list[bytes] = []
    dumpers: set[str] = set()
    for piece in run.pieces():
        pieces.append(piece.chunk)
        dumpers |= clients(two.server) if piece.section == "table:numbers" and not dumpers else set()
    loaders: set[str] = set()
    two.adapter.load(two.login, pieces, "seen", run.report, lambda _: loaders.update(clients(two.server)))
    assert (len(dumpers), len(loaders), len(dumpers & loaders)) == (1, 1, 0)
    assert accounts(two.server) == []


def test_the_account_has_no_right_in_a_neighbours_database(two: Tenant) -> None:
    two.run(ROWS)
    two.server.create_tenant("neighbour", "hers")
    tried: list[str] = []

    def look(_done: int) -> None:
        for name in accounts(two.server) if not tried else ():
            with two.server.connect("admin", two.server.admin_password, "postgres") as connection:
                tried.append(str(connection.execute(RIGHTS, [name, name]).fetchone()))

    text, report = two.dump()
    two.adapter.load(two.login, [text], "r", report, look)
    two.server.drop_tenant("neighbour")
    assert tried == ["(False, False)"]


def test_what_a_dumps_code_makes_as_the_account_becomes_the_tenants(two: Tenant) -> None:
    """A check that runs during a load puts the tenant's role aside: the account could not be dropped any more."""
    two.run(
        """CREATE FUNCTION shop_check(n int) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            IF session_user LIKE 'sbj%' THEN PERFORM set_config('role', 'none', false), lo_create(0); END IF;
            RETURN true;
        END $$;
        CREATE TABLE orders (n int CHECK (public.shop_check(n))); INSERT INTO orders VALUES (1)"""
    )
    text, report = two.dump()
    two.adapter.load(two.login, [text], "r", report)
    assert accounts(two.server) == []
    assert two.rows("SELECT lomowner::regrole::text FROM pg_largeobject_metadata") == [(two.login.user,)]


def test_a_load_killed_in_the_middle_leaves_no_account_after_the_next(two: Tenant) -> None:
    two.run(ROWS)
    text, report = two.dump()
    die_in_a_child(lambda done: two.adapter.load(two.login, in_chunks(text), "r", report, done))
    assert len(accounts(two.server)) == 1
    two.adapter.load(two.login, in_chunks(text), "r", report)
    assert accounts(two.server) == []
    assert two.adapter.state_of(two.login, "r") is RestoreState.LOADED


def test_a_tenants_role_of_a_similar_name_is_nobodys_job(two: Tenant) -> None:
    two.server.admin(sql.SQL("CREATE ROLE sbj_shop LOGIN"))
    two.run(ROWS)
    two.dump()
    assert accounts(two.server) == ["sbj_shop"]
    two.server.admin(sql.SQL("DROP ROLE sbj_shop"))


def test_a_refused_dump_leaves_no_account(two: Tenant) -> None:
    two.run(ROWS)
    text, report = two.dump()
    with pytest.raises(LoadFailed):
        two.adapter.load(two.login, [text[: len(text) // 2]], "r", report)
    assert accounts(two.server) == []
    assert two.schemas() == ["public"]


def test_a_tenant_whose_own_login_is_refused_gets_no_account(two: Tenant) -> None:
    made: list[str] = []
    wrong = replace(two.login, password="guessed")
    with pytest.raises(DatabaseRefused, match="does not let"):
        two.adapter.load(wrong, [b""], "r", None, lambda _: made.extend(accounts(two.server)))
    assert made == []


def test_without_a_working_admin_login_backup_and_restore_go_on_and_say_so(
    alice: Tenant, rosas_login: AdminLogin
) -> None:
    wrong = replace(rosas_login, password="old-secret")
    tenant = replace(alice, adapter=PostgresServer(alice.adapter._allowed, None, lambda: (wrong,)))
    tenant.run(ROWS)
    text, report = tenant.dump()
    loaded = tenant.adapter.load(tenant.login, [text], "r", report)
    for warnings in (report.warnings, loaded.warnings):
        assert [text.partition(":")[0] for text in warnings] == [
            "The site's own login was used, because no account could be made for the job"
        ]
        assert "old-secret" not in str(warnings)


def die_in_a_child(work: Callable[[Callable[[int], None]], object]) -> None:
    """Do the work in a process that is killed at its first progress."""
    child = os.fork()
    if child == 0:
        try:
            work(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])

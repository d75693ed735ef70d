"""Chosen tables of a PostgreSQL database come back alone, with what hangs on them, and go again when that is undone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import sql

from smartbackup_panel.core.databases import DumpReport, LoadPart, RestoreState, SwapMode
from smartbackup_panel.core.errors import LoadFailed, RestoreFailed
from tests.integration.databases.tenant import in_chunks
from tests.integration.databases.test_postgres import SCHEMA, Tenant, alice, stable
from tests.support.postgres import postgres_server

__all__ = ["alice", "postgres_server"]

MORE = """
CREATE VIEW shouted WITH (security_barrier=true) AS SELECT id, upper(title) AS title FROM posts;
CREATE POLICY mine ON comments USING (body <> 'hidden');
COMMENT ON COLUMN comments.body IS 'it''s text';
GRANT SELECT ON comments TO PUBLIC;
DROP MATERIALIZED VIEW counted;
"""


def put_back(tenant: Tenant, text: bytes, report: DumpReport, *tables: str) -> None:
    part = LoadPart(frozenset(tables))
    tenant.adapter.load(tenant.login, in_chunks(text), "r1", report, None, part)
    tenant.adapter.swap(tenant.login, "r1")


def test_two_tables_come_back_alone_with_all_that_hangs_on_them(alice: Tenant) -> None:
    alice.run(SCHEMA + MORE)
    text, report = alice.dump()
    alice.run(
        "ALTER TABLE posts DISABLE TRIGGER USER; UPDATE posts SET title = 'hacked'; DROP TABLE comments;"
        "UPDATE shop.orders SET id = 8; ALTER SEQUENCE posts_id_seq RESTART 900; ALTER TABLE posts ENABLE TRIGGER USER"
    )
    wrecked = alice.dump()[0]
    put_back(alice, text, report, "posts", "comments")
    assert alice.rows("SELECT id FROM shop.orders") == [(8,)]
    alice.run("UPDATE shop.orders SET id = 7")
    assert sorted(stable(alice.dump()[0]).splitlines()) == sorted(stable(text).splitlines())
    assert alice.rows("SELECT title FROM shouted ORDER BY id") == [("EMOJI 😀",), ("SECOND",), ("THIRD",)]
    alice.run("DELETE FROM shop.orders; DELETE FROM posts WHERE id = 2; INSERT INTO comments (post) VALUES (3)")
    assert alice.rows("SELECT body IS NOT NULL FROM comments WHERE post = 3") == [(True,)]
    alice.run("INSERT INTO shop.orders VALUES (8, 1)")
    alice.adapter.undo(alice.login, "r1")
    assert sorted(stable(alice.dump()[0]).splitlines()) == sorted(stable(wrecked).splitlines())
    alice.adapter.swap(alice.login, "r1")
    assert alice.rows("SELECT count(*) FROM comments") == [(2,)]
    alice.adapter.undo(alice.login, "r1")
    alice.adapter.discard(alice.login, "r1")
    assert alice.schemas() == ["public", "shop"]
    assert alice.adapter.state_of(alice.login, "r1") is RestoreState.NONE


def test_a_load_of_a_table_locks_no_live_one(alice: Tenant) -> None:
    alice.run(SCHEMA)
    text, report = alice.dump()
    seen: list[int] = []

    def read(_done: int) -> None:
        with alice.server.connect(alice.login.user, alice.login.password, alice.login.name) as site:
            site.execute(b"SET lock_timeout = '2s'")
            seen.append(len(site.execute(b"SELECT * FROM public.comments FOR UPDATE").fetchall()))

    alice.adapter.load(alice.login, [text, b""], "r1", report, read, LoadPart(frozenset({"comments"})))
    assert seen == [2, 2]


def test_rows_that_refer_to_what_is_gone_come_back_with_a_warning(alice: Tenant) -> None:
    alice.run(SCHEMA)
    text, report = alice.dump()
    alice.run("DELETE FROM posts WHERE id = 2")
    assert alice.rows("SELECT count(*) FROM comments") == [(1,)]
    alice.adapter.load(alice.login, [text], "r1", report, None, LoadPart(frozenset({"comments"})))
    swapped = alice.adapter.swap(alice.login, "r1")
    assert [warning.partition(" (")[0] for warning in swapped.warnings] == [
        "Rows of comments refer to rows that are not there"
    ]
    assert swapped.replaced == ("comments",)
    assert alice.rows("SELECT post FROM comments ORDER BY 1") == [(1,), (2,)]


def test_what_was_put_aside_does_not_hold_up_the_site(alice: Tenant) -> None:
    alice.run("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p); INSERT INTO p VALUES (1), (2)")
    text, report = alice.dump()
    alice.run("INSERT INTO c VALUES (2)")
    put_back(alice, text, report, "c")
    alice.run("DELETE FROM p WHERE id = 2")
    alice.adapter.undo(alice.login, "r1")
    assert alice.rows("SELECT p FROM c") == [(2,)]


@pytest.mark.parametrize(
    ("change", "table", "reason"),
    [
        ("", "events_2026", "spread over several tables"),
        ("", "posts", "materialized view public.counted is built on"),
        ("CREATE TABLE heir () INHERITS (comments)", "comments", "inherits from one"),
        (
            "CREATE FUNCTION f(c comments) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "comments",
            r"function public.f\(public.comments\) is built on",
        ),
        ("CREATE TABLE holder (c comments)", "comments", "table public.holder is built on"),
    ],
)
def test_a_table_that_cannot_come_alone_is_refused_before_anything_changes(
    alice: Tenant, change: str, table: str, reason: str
) -> None:
    alice.run(SCHEMA)
    text, report = alice.dump()
    alice.run(change)
    live = alice.dump()[0]
    with pytest.raises(LoadFailed, match=reason):
        put_back(alice, text, report, table)
    assert stable(alice.dump()[0]) == stable(live)
    assert alice.schemas() == ["public", "shop"]


@pytest.mark.parametrize(
    "attack",
    [
        b'ALTER TABLE ONLY "public"."posts"\n    ADD CONSTRAINT "x" FOREIGN KEY ("id") REFERENCES "public"."posts"; COMMIT;\nSELECT 1;',
        b'ALTER TABLE "public"."posts" ADD CONSTRAINT "x" FOREIGN KEY ("id") REFERENCES "public"."posts"("id") '
        b"/* ' */ ; DROP TABLE public.comments; -- ';",
    ],
)
def test_a_hostile_statement_about_a_chosen_table_runs_nothing(alice: Tenant, attack: bytes) -> None:
    alice.run("CREATE TABLE posts (id int PRIMARY KEY); CREATE TABLE comments (id int)")
    text, report = alice.dump()
    head, mark, tail = text.rpartition(b"--\n-- PostgreSQL database dump complete")
    with pytest.raises((LoadFailed, RestoreFailed)):
        put_back(alice, head + attack + b"\n" + mark + tail, report, "posts")
    assert alice.rows("SELECT count(*) FROM comments") == [(0,)]
    alice.adapter.discard(alice.login, "r1")
    assert alice.schemas() == ["public"]


def test_tables_with_types_of_an_extension_go_back_alone(alice: Tenant) -> None:
    alice.run("CREATE EXTENSION citext; CREATE TABLE users (mail citext PRIMARY KEY); INSERT INTO users VALUES ('A@b')")
    text, report = alice.dump()
    alice.run("DELETE FROM users")
    put_back(alice, text, report, "users")
    assert alice.rows("SELECT mail::text FROM users WHERE mail = 'a@B'") == [("A@b",)]
    alice.adapter.undo(alice.login, "r1")
    assert alice.rows("SELECT * FROM users") == []
    alice.adapter.discard(alice.login, "r1")
    assert alice.schemas() == ["public"]


def test_a_whole_database_goes_into_another_one(alice: Tenant) -> None:
    """What stands there under other names stays; the site's own database is not touched."""
    alice.run(SCHEMA)
    text, report = alice.dump()
    other = f"{alice.login.name}_other"
    names = {"other": sql.Identifier(other), "owner": sql.Identifier(alice.login.user)}
    alice.server.admin(sql.SQL("CREATE DATABASE {other} OWNER {owner} TEMPLATE template0").format(**names))
    target = replace(alice.login, name=other)
    with alice.server.connect(target.user, target.password, other) as there:
        there.execute(b"CREATE TABLE notes (id int); CREATE TABLE posts (old int)")
        alice.adapter.load(target, [text], "r1", report)
        alice.adapter.swap(target, "r1", SwapMode.MERGE)
        assert there.execute(b"SELECT count(*) FROM public.posts").fetchall() == [(3,)]
        assert there.execute(b"SELECT count(*) FROM public.notes").fetchall() == [(0,)]
        alice.adapter.undo(target, "r1")
        assert there.execute(b"SELECT old FROM public.posts").fetchall() == []
        alice.adapter.discard(target, "r1")
    assert stable(alice.dump()[0]) == stable(text)
    alice.server.admin(sql.SQL("DROP DATABASE {other}").format(**names))

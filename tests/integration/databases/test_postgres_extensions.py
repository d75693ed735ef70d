"""A whole PostgreSQL database goes back where extensions lie among its tables, as `CREATE EXTENSION` puts them."""

from __future__ import annotations

import threading

import pytest
from psycopg import sql

from smartbackup_panel.core.databases import SwapMode
from smartbackup_panel.core.errors import LoadFailed, RestoreFailed
from tests.integration.databases.test_postgres import SCHEMA, Tenant, alice, stable
from tests.support.postgres import Postgres, postgres_server

__all__ = ["alice", "postgres_server"]

EXTENSIONS = ("citext", "pg_trgm", '"uuid-ossp"', "hstore", "pgcrypto", "unaccent")
EXTENDED = (
    "".join(f"CREATE EXTENSION {name};" for name in EXTENSIONS)
    + """
CREATE DOMAIN email AS citext CHECK (VALUE ~~* '%@%' AND VALUE <> 'public.citext');
CREATE TYPE pair AS (mail citext, extra hstore);
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), number serial, mail email UNIQUE, extra hstore,
  pairs pair[], secret bytea DEFAULT gen_random_bytes(8), note text DEFAULT '"public"."citext" stays text');
CREATE INDEX users_mail ON users USING gin ((mail::text) gin_trgm_ops);
CREATE VIEW alike AS SELECT id, similarity(mail::text, 'x') AS near FROM users WHERE mail::text % 'ann' OR mail = 'ANN@B';
CREATE FUNCTION plain(t text) RETURNS citext LANGUAGE sql STABLE AS $f$ SELECT public.unaccent(t)::public.citext $f$;
CREATE FUNCTION longer(a citext, b citext) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT length(a) > length(b) $$;
CREATE OPERATOR >>> (LEFTARG = citext, RIGHTARG = citext, FUNCTION = longer);
CREATE AGGREGATE both_of (hstore) (SFUNC = hs_concat, STYPE = hstore);
CREATE PROCEDURE nothing_to_do() LANGUAGE sql AS 'SELECT 1';
CREATE TEXT SEARCH CONFIGURATION ours (COPY = simple);
CREATE STATISTICS told ON number, mail FROM users;
CREATE COLLATION ours (provider = libc, locale = 'C');
INSERT INTO users (mail, extra, pairs) VALUES ('Ann@b', 'a=>1', ARRAY[ROW('c@d', 'x=>y')::pair]),
  ('é@b', NULL, NULL);
"""
)


@pytest.fixture
def extended(alice: Tenant) -> Tenant:
    alice.run(SCHEMA + EXTENDED)
    return alice


def use(tenant: Tenant) -> list[tuple[object, ...]]:
    """What a site does with its extensions, without saying where they are."""
    tenant.run("INSERT INTO users (mail) VALUES ('new@b'); DELETE FROM users WHERE mail = 'NEW@B'")
    return tenant.rows(
        "SELECT mail, plain(mail) = 'ANN@B', mail >>> 'a', (SELECT count(*) FROM alike), "
        "(pairs[1]).extra -> 'x' FROM users ORDER BY number"
    )


def test_everything_beside_extensions_comes_back_and_an_undo_brings_back_the_rest(extended: Tenant) -> None:
    used = use(extended)
    text, report = extended.dump()
    assert report.warnings == ()
    extended.run(
        "DROP TABLE users CASCADE; UPDATE posts SET title = 'hacked'; DROP SCHEMA shop CASCADE; DROP TYPE pair"
    )
    wrecked, _ = extended.dump()
    extended.restore(text, report)
    assert stable(extended.dump()[0]) == stable(text)
    assert use(extended) == used
    extended.adapter.undo(extended.login, "r1")
    assert stable(extended.dump()[0]) == stable(wrecked)
    extended.adapter.swap(extended.login, "r1")
    assert use(extended) == used
    extended.adapter.discard(extended.login, "r1")
    assert use(extended) == used
    assert extended.schemas() == ["public", "shop"]


def test_extensions_that_went_with_their_schema_are_made_again(extended: Tenant) -> None:
    used = use(extended)
    text, report = extended.dump()
    extended.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    extended.restore(text, report)
    assert use(extended) == used
    extended.adapter.undo(extended.login, "r1")
    assert extended.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    extended.adapter.discard(extended.login, "r1")


def test_a_database_whose_schema_is_gone_comes_back_whole(extended: Tenant) -> None:
    used = use(extended)
    text, report = extended.dump()
    extended.run("DROP SCHEMA public CASCADE")
    extended.restore(text, report)
    assert use(extended) == used
    extended.adapter.undo(extended.login, "r1")
    extended.adapter.swap(extended.login, "r1")
    assert use(extended) == used
    extended.adapter.discard(extended.login, "r1")
    assert extended.schemas() == ["public", "shop"]


def test_an_extension_that_only_an_administrator_makes_is_said(extended: Tenant) -> None:
    extended.server.admin(sql.SQL("CREATE EXTENSION pageinspect SCHEMA public"), extended.login.name)
    extended.run("CREATE VIEW pages AS SELECT public.page_checksum('\\x00', 1) AS n")
    text, report = extended.dump()
    extended.server.admin(sql.SQL("DROP EXTENSION pageinspect CASCADE"), extended.login.name)
    live = extended.dump()[0]
    with pytest.raises(LoadFailed, match="page_checksum"):
        extended.restore(text, report)
    assert stable(extended.dump()[0]) == stable(live)
    extended.server.admin(sql.SQL("CREATE EXTENSION pageinspect SCHEMA public"), extended.login.name)
    extended.restore(text, report)
    assert stable(extended.dump()[0]) == stable(text)


def test_a_load_beside_extensions_locks_no_reader_and_a_failed_one_changes_nothing(extended: Tenant) -> None:
    text, report = extended.dump()
    live = extended.dump()[0]
    seen: list[object] = []

    def read(_done: int) -> None:
        if not seen:
            reader = threading.Thread(target=lambda: seen.append(use(extended)))
            reader.start()
            reader.join(timeout=5)

    extended.adapter.load(extended.login, [text[:20000], text[20000:]], "r1", report, read)
    assert len(seen) == 1
    extended.adapter.discard(extended.login, "r1")
    with pytest.raises(LoadFailed):
        extended.adapter.load(extended.login, [text[:-4000]], "r1", report)
    assert [len(use(extended)), extended.schemas()] == [2, ["public", "shop"]]
    assert len(stable(extended.dump()[0])) == len(stable(live))


def test_merged_tables_keep_what_is_new_beside_extensions(extended: Tenant) -> None:
    text, report = extended.dump()
    extended.run("CREATE TABLE newcomer (mail citext); INSERT INTO newcomer VALUES ('A'); DELETE FROM users")
    extended.restore(text, report, SwapMode.MERGE)
    assert extended.rows("SELECT count(*) FROM newcomer WHERE mail = 'a'") == [(1,)]
    assert extended.rows("SELECT count(*) FROM users") == [(2,)]
    extended.adapter.undo(extended.login, "r1")
    assert extended.rows("SELECT (SELECT count(*) FROM newcomer), (SELECT count(*) FROM users)") == [(1, 0)]


def test_a_site_and_an_extension_with_something_of_one_name_is_refused(extended: Tenant) -> None:
    extended.run("CREATE FUNCTION similarity(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a - b'")
    text, report = extended.dump()
    with pytest.raises(LoadFailed, match="an extension has something of that name") as refusal:
        extended.restore(text, report)
    assert refusal.value.hint.startswith("Restore chosen tables")
    assert stable(extended.dump()[0]) == stable(text)


def test_a_table_of_somebody_else_beside_an_extension_is_a_refusal_that_names_it(
    extended: Tenant, postgres_server: Postgres
) -> None:
    text, report = extended.dump()
    postgres_server.admin(sql.SQL("CREATE TABLE public.theirs (id int)"), extended.login.name)
    postgres_server.admin(sql.SQL("GRANT SELECT ON public.theirs TO PUBLIC"), extended.login.name)
    extended.adapter.load(extended.login, [text], "r1", report)
    with pytest.raises(RestoreFailed, match="must be owner of table theirs"):
        extended.adapter.swap(extended.login, "r1")
    assert len(use(extended)) == 2


def test_a_range_type_beside_an_extension_is_said_at_backup_time_and_refused_before_anything_changes(
    extended: Tenant,
) -> None:
    """Its constructors belong to the server (PostgreSQL makes them so), and no role of a site may move them."""
    text, _ = extended.dump()
    extended.run("CREATE TYPE spread AS RANGE (subtype = numeric)")
    later, report = extended.dump()
    assert report.warnings == ("The range type spread lies beside an extension: only chosen tables go back.",)
    for dump in (text, later):
        with pytest.raises(LoadFailed, match="The range type spread lies in one schema with an extension"):
            extended.adapter.load(extended.login, [dump], "r1")
    extended.run("DROP TYPE spread")
    with pytest.raises(LoadFailed, match=r"The range type .spread. lies in one schema with an extension"):
        extended.adapter.load(extended.login, [later], "r1")
    assert stable(extended.dump()[0]) == stable(text)


def test_what_a_restore_would_not_run_is_said_at_backup_time(alice: Tenant) -> None:
    alice.server.admin(sql.SQL("CREATE EXTENSION postgres_fdw SCHEMA public"), alice.login.name)
    alice.server.admin(sql.SQL("CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw"), alice.login.name)
    _, report = alice.dump()
    assert report.warnings == (
        """A restore as a whole would be refused: it does not run 'CREATE SERVER "other" FOREIGN DATA WRAPPER "postgres_fdw";'.""",
    )

"""A database goes back to the moment of its dump exactly, and an undo brings back what was there before."""

from __future__ import annotations

import subprocess

import pytest

from smartbackup_panel.adapters.databases.client import login_file
from smartbackup_panel.core.database_hosts import Address, DatabaseLogin
from smartbackup_panel.core.databases import DumpReport, LoadPart, RestoreState, SwapMode, TablePlan
from smartbackup_panel.core.errors import DumpFailed, LoadFailed
from tests.integration.databases.schemas import LONG_NAME, ODD_NAME, RICH, UNUSUAL, WORDPRESS
from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant, in_chunks
from tests.support.mariadb import MariaDB

WRECK = (
    "DELETE FROM wp_posts WHERE ID = 2",
    "DROP TABLE wp_comments",
    "UPDATE wp_options SET option_value = 'https://evil.example' WHERE option_name = 'siteurl'",
    "CREATE TABLE wp_added_later (id INT)",
    "ALTER TABLE wp_options ADD COLUMN extra INT",
)


def test_a_wordpress_database_equals_its_moment_after_a_restore(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    then = alice.facts()
    text, report = alice.dump()
    alice.sql(*WRECK)
    wreck = alice.facts()
    alice.restore(text, report)
    assert alice.facts() == then
    alice.adapter.undo(alice.login, "restore-1")
    assert alice.facts() == wreck


def test_the_report_counts_rows_and_says_what_the_dump_is_of(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    report = alice.dump()[1]
    assert [(table.name, table.rows) for table in report.tables] == [
        ("wp_comments", 2),
        ("wp_options", 2),
        ("wp_posts", 3),
    ]
    assert (report.consistent, report.missing, report.warnings) == (True, (), ())
    assert DumpReport.from_fields(report.to_fields()) == report


def test_every_kind_of_object_and_value_comes_back_and_an_undo_brings_back_the_rest(alice: Tenant) -> None:
    alice.sql(*RICH)
    then = alice.facts()
    text, report = alice.dump()
    assert {table.name for table in report.tables} >= {LONG_NAME, ODD_NAME, "nothing"}
    assert (report.views, report.triggers) == (("a_names", "z_names"), ("children_check", "second `one"))
    assert (report.routines, report.events, report.sequences) == (("tidy", "twice"), ("nightly",), ("numbers",))
    assert (report.missing, report.consistent) == ((), False)
    assert report.warnings == ("Not of one moment, because their engines know no transactions: latin.",)
    alice.sql(
        "DROP TABLE children",
        "DROP VIEW a_names",
        "DROP FUNCTION twice",
        "ALTER EVENT nightly ENABLE",
        "DROP TRIGGER `second ``one`",
        "CREATE TRIGGER new_one BEFORE DELETE ON parents FOR EACH ROW SET @gone = 1",
        "CREATE PROCEDURE new_proc() SELECT 1",
        "INSERT INTO parents VALUES (3, 'three')",
        "CREATE TABLE later (id INT PRIMARY KEY, p INT, CONSTRAINT zz_named FOREIGN KEY (p) REFERENCES parents (id))",
    )
    wreck = alice.facts()
    alice.restore(text, report)
    assert alice.facts() == then
    alice.adapter.undo(alice.login, "restore-1")
    assert alice.facts() == wreck
    assert alice.adapter.state_of(alice.login, "restore-1") is RestoreState.LOADED
    alice.adapter.swap(alice.login, "restore-1")
    assert alice.facts() == then
    alice.adapter.discard(alice.login, "restore-1")
    assert alice.reserved_tables() == []
    assert alice.facts() == then


def test_unusual_definitions_come_back(alice: Tenant) -> None:
    alice.sql(*UNUSUAL)
    then = alice.facts()
    text, report = alice.dump()
    assert report.warnings == (
        "Not of one moment, because their engines know no transactions: u10, u3, u4.",
        "Of tables with history only today's rows are kept: u7.",
    )
    alice.restore(text, report)
    assert alice.facts() == then


def test_a_binary_default_that_is_no_text_comes_back(alice: Tenant) -> None:
    alice.sql("CREATE TABLE raw (v VARBINARY(10) DEFAULT 0x00ff27)")
    text, report = alice.dump()
    assert b"\xff" in text
    alice.restore(text, report)
    alice.sql("INSERT INTO raw () VALUES ()")
    assert alice.sql("SELECT HEX(v) FROM raw") == [("00FF27",)]


def test_foreign_keys_hold_after_a_restore(alice: Tenant) -> None:
    alice.sql(*RICH)
    text, report = alice.dump()
    alice.restore(text, report)
    alice.sql(
        "DELETE FROM children WHERE id = 2",
        "DELETE FROM children",
        f"DELETE FROM {LONG_NAME}",
        "INSERT INTO children VALUES (7, 2, 1, NULL)",
    )
    alice.sql("DELETE FROM parents WHERE id = 2")
    assert alice.sql("SELECT COUNT(*) FROM children") == [(0,)]


def test_a_second_restore_works_while_the_undo_of_the_first_is_kept(alice: Tenant) -> None:
    alice.sql(*RICH)
    first = alice.facts()
    text, report = alice.dump()
    alice.sql("INSERT INTO parents VALUES (4, 'four')")
    second = alice.facts()
    second_text, second_report = alice.dump()
    alice.restore(text, report, "one")
    alice.restore(second_text, second_report, "two")
    assert alice.facts() == second
    alice.adapter.undo(alice.login, "two")
    assert alice.facts() == first
    alice.adapter.discard(alice.login, "two")
    alice.adapter.undo(alice.login, "one")
    assert alice.facts() == second


def test_reserved_tables_are_neither_dumped_nor_shown(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    text, report = alice.dump()
    alice.restore(text, report)
    assert alice.reserved_tables() != []
    again, report_again = alice.dump()
    assert again == text
    assert [table.name for table in report_again.tables] == ["wp_comments", "wp_options", "wp_posts"]
    assert alice.adapter.probe(alice.login).table_names() == ("wp_comments", "wp_options", "wp_posts")


def test_merge_keeps_tables_that_the_point_does_not_have(alice: Tenant) -> None:
    alice.sql(*RICH)
    text, report = alice.dump()
    alice.sql(
        "CREATE TABLE later (id INT PRIMARY KEY, p INT, CONSTRAINT later_fk FOREIGN KEY (p) REFERENCES parents (id))",
        "INSERT INTO later VALUES (1, 2)",
        "CREATE PROCEDURE later_proc() SELECT 1",
    )
    live = alice.facts()
    alice.adapter.load(alice.login, in_chunks(text), "m", report)
    assert alice.adapter.swap(alice.login, "m", SwapMode.MERGE).removed == ()
    assert alice.facts() == live
    alice.adapter.undo(alice.login, "m")
    assert alice.facts() == live


def test_one_section_of_a_dump_restores_one_table(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    then = alice.facts()
    pieces = list(alice.adapter.dump(alice.login).pieces())
    alice.sql("DELETE FROM wp_posts", "DELETE FROM wp_comments")
    chosen = [piece.chunk for piece in pieces if piece.section in (None, "table:wp_posts")]
    alice.adapter.load(alice.login, chosen, "one-table")
    alice.adapter.swap(alice.login, "one-table", SwapMode.MERGE)
    assert alice.facts()["BASE TABLE wp_posts"] == then["BASE TABLE wp_posts"]
    assert alice.sql("SELECT COUNT(*) FROM wp_comments") == [(0,)]


def test_a_table_made_after_the_restore_does_not_stop_the_undo(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    text, report = alice.dump()
    alice.sql("CREATE TABLE shop (id INT)", "INSERT INTO shop VALUES (1), (2)")
    wreck = alice.facts()
    alice.restore(text, report)
    alice.sql("CREATE TABLE shop (id INT)", "DROP TABLE wp_comments")
    alice.adapter.undo(alice.login, "restore-1")
    assert alice.facts() == wreck
    alice.adapter.discard(alice.login, "restore-1")
    assert alice.reserved_tables() == []


def test_the_plan_says_rows_then_and_now(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    report = alice.dump()[1]
    alice.sql(*WRECK)
    assert alice.adapter.plan(alice.login, report) == (
        TablePlan("wp_added_later", None, 0),
        TablePlan("wp_comments", 2, None),
        TablePlan("wp_options", 2, 2),
        TablePlan("wp_posts", 3, 2),
    )


def test_a_database_without_tables_is_a_valid_dump(alice: Tenant) -> None:
    text, report = alice.dump()
    assert report.tables == ()
    alice.sql("CREATE TABLE later (id INT)")
    alice.restore(text, report)
    assert alice.facts() == {}
    alice.adapter.undo(alice.login, "restore-1")
    assert list(alice.facts()) == ["BASE TABLE later"]


def test_a_dump_that_lacks_rows_or_a_table_is_not_put_in_place(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    text, report = alice.dump()
    with pytest.raises(LoadFailed, match="wp_comments has 1 rows after the load; the restore point has 2"):
        alice.adapter.load(alice.login, [text.replace(b",\n(2,1,'Second `x`')", b"")], "short", report)
    section = text[text.index(b"DROP TABLE IF EXISTS `wp_comments`") : text.index(b"DROP TABLE IF EXISTS `wp_options`")]
    with pytest.raises(LoadFailed, match="should hold the table wp_comments and does not"):
        alice.adapter.load(alice.login, [text.replace(section, b"")], "short", report)
    assert alice.reserved_tables() == []


def test_the_plain_client_reads_the_dump_too(alice: Tenant, bob: Tenant, mariadb_server: MariaDB) -> None:
    bob.sql("DROP TABLE accounts")
    alice.sql(*RICH)
    text = alice.dump()[0].replace(alice.login.name.encode(), bob.login.name.encode())
    with login_file(bob.login, Address(socket=mariadb_server.socket), None) as secret:
        command = ["/usr/bin/mariadb", f"--defaults-file={secret.path}", "--binary-mode", "--comments", bob.login.name]
        run = subprocess.run(command, input=text, pass_fds=(secret.fd,), capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    names = alice.login.name, bob.login.name
    assert {key: str(value).replace(*names) for key, value in alice.facts().items()} == {
        key: str(value) for key, value in bob.facts().items()
    }


def test_a_report_is_there_only_after_the_last_piece(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    run = alice.adapter.dump(alice.login)
    next(run.pieces())
    with pytest.raises(DumpFailed, match="was not read to its end"):
        _ = run.report


def test_a_password_may_hold_any_character(mariadb_server: MariaDB) -> None:
    password = "p'\"\\#;=[] \t\n\r%s é😀" + "x" * 60
    tenant = create_tenant(mariadb_server, "odd", password)
    tenant.sql(*WORDPRESS)
    then = tenant.facts()
    text, report = tenant.dump()
    tenant.sql("DROP TABLE wp_posts")
    tenant.restore(text, report)
    assert tenant.facts() == then
    assert password not in repr(DatabaseLogin("a", "b", password))
    drop_tenant(tenant)


def test_a_column_that_counts_by_a_sequence_comes_back_where_the_sequence_is_gone(alice: Tenant) -> None:
    alice.sql(
        "CREATE SEQUENCE numbers START WITH 5",
        "CREATE TABLE bills (id BIGINT NOT NULL DEFAULT nextval(numbers) PRIMARY KEY COMMENT 'DEFAULT nextval(`x`)', note TEXT)",
        "INSERT INTO bills (note) VALUES ('five'), ('six')",
    )
    then = alice.facts()
    text, report = alice.dump()
    alice.sql("DROP TABLE bills", "DROP SEQUENCE numbers")
    alice.restore(text, report)
    assert alice.facts() == then
    alice.sql("INSERT INTO bills (note) VALUES ('next')")
    assert alice.sql("SELECT id > 6 FROM bills WHERE note = 'next'")[0] == (1,)
    alice.adapter.undo(alice.login, "restore-1")
    assert alice.facts() == {}


def test_a_table_alone_whose_sequence_is_gone_says_so(alice: Tenant) -> None:
    alice.sql("CREATE SEQUENCE numbers", "CREATE TABLE bills (id BIGINT NOT NULL DEFAULT nextval(numbers) PRIMARY KEY)")
    text, report = alice.dump()
    alice.sql("DROP TABLE bills", "DROP SEQUENCE numbers")
    alice.adapter.load(alice.login, [text], "r", report, None, LoadPart(frozenset({"bills"})))
    [warning] = alice.adapter.swap(alice.login, "r").warnings
    assert warning.startswith("The column id of bills has no default any more: ")

"""A dump is good, or it says what is missing, or it is none: never a quiet success."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from smartbackup_panel.adapters.databases.connection import Session
from smartbackup_panel.core.errors import DumpFailed, ToolMissing
from smartbackup_panel.core.row_rules import DumpPolicy
from tests.integration.databases.laravel_site import DOMAIN, LaravelSite, add_laravel
from tests.integration.databases.schemas import WORDPRESS
from tests.integration.databases.tenant import Tenant
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB

MANY_ROWS = ["INSERT INTO wp_posts (post_content, post_title) SELECT REPEAT('x', 99), '' FROM wp_posts"] * 16


def test_a_broken_view_is_named_and_its_definition_is_kept(alice: Tenant) -> None:
    alice.sql(*WORDPRESS, "CREATE TABLE gone (id INT)", "CREATE VIEW broken AS SELECT id FROM gone", "DROP TABLE gone")
    text, report = alice.dump()
    assert report.missing == ("view broken",)
    assert report.warnings[0].startswith("The view broken does not work; its definition is kept:")
    assert b"VIEW `broken` AS select" in text
    assert [table.name for table in report.tables] == ["wp_comments", "wp_options", "wp_posts"]
    live = alice.facts
    alice.sql("DROP TABLE wp_posts")
    alice.adapter.load(alice.login, [text], "r", report)
    assert alice.adapter.swap(alice.login, "r").warnings == ()
    assert "BASE TABLE wp_posts" in live()


def test_a_view_whose_definer_is_gone_does_not_stop_the_dump(alice: Tenant, mariadb_server: MariaDB) -> None:
    name = alice.login.name
    alice.sql(*WORDPRESS)
    mariadb_server.admin("CREATE USER leaver")
    mariadb_server.admin(f"CREATE DEFINER=leaver VIEW orphan AS SELECT 1 AS one FROM {name}.wp_posts", database=name)
    mariadb_server.admin("DROP USER leaver")
    text, report = alice.dump()
    assert (report.missing, report.views) == (("view orphan",), ("orphan",))
    assert b"VIEW `orphan` AS select" in text


def test_a_routine_that_the_login_may_not_see_is_named(alice: Tenant, mariadb_server: MariaDB) -> None:
    alice.sql(*WORDPRESS)
    mariadb_server.admin("CREATE PROCEDURE foreign_one() SELECT 1", database=alice.login.name)
    report = alice.dump()[1]
    assert report.missing == ("procedure foreign_one",)
    assert report.warnings == ("The procedure foreign_one is not in the dump: the login may not see its definition.",)


def test_a_damaged_table_is_named_and_the_others_are_dumped(alice: Tenant, mariadb_server: MariaDB) -> None:
    alice.sql(
        *WORDPRESS, "CREATE TABLE old_stats (id INT, KEY (id)) ENGINE=MyISAM", "INSERT INTO old_stats VALUES (1), (2)"
    )
    mariadb_server.admin("FLUSH TABLES")
    index = mariadb_server.folder / "data" / alice.login.name / "old_stats.MYI"
    index.write_bytes(b"\0" * 100)
    report = alice.dump()[1]
    assert report.missing == ("table old_stats",)
    assert [(table.name, table.rows) for table in report.tables if table.name.startswith("wp_")] == [
        ("wp_comments", 2),
        ("wp_options", 2),
        ("wp_posts", 3),
    ]
    assert report.warnings[0].startswith("The rows of the table old_stats are not in the dump:")


def test_a_table_altered_or_dropped_during_the_dump_is_a_failure(alice: Tenant) -> None:
    for change in ("ALTER TABLE wp_zz FORCE", "TRUNCATE TABLE wp_zz", "DROP TABLE wp_zz"):
        alice.sql("DROP TABLE IF EXISTS wp_posts, wp_options, wp_comments, wp_zz", *WORDPRESS, *MANY_ROWS)
        alice.sql("CREATE TABLE wp_zz (id INT)", "INSERT INTO wp_zz VALUES (1)")
        run = alice.adapter.dump(alice.login)
        changed = False
        with pytest.raises(DumpFailed, match="The dump client exited"):
            for piece in run.pieces():
                if piece.section == "table:wp_posts" and not changed:
                    alice.sql(change)
                    changed = True
        with pytest.raises(DumpFailed, match="was not read to its end"):
            _ = run.report


def test_a_killed_dump_client_is_a_failure(alice: Tenant) -> None:
    alice.sql(*WORDPRESS, *MANY_ROWS)
    with pytest.raises(DumpFailed, match="exited -9"):
        for piece in alice.adapter.dump(alice.login).pieces():
            if piece.section == "table:wp_posts":
                for pid in _children_named(b"mariadb-dump"):
                    os.kill(pid, signal.SIGKILL)


def test_a_dump_that_is_dropped_half_way_leaves_no_client_running(alice: Tenant) -> None:
    alice.sql(*WORDPRESS, *MANY_ROWS)
    pieces = alice.adapter.dump(alice.login).pieces()
    assert isinstance(pieces, Generator)
    assert any(piece.section == "table:wp_posts" for piece in pieces)
    assert len(_children_named(b"mariadb-dump")) == 1
    pieces.close()
    assert _children_named(b"mariadb-dump") == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('"$@" | head -c 3000', "cut short"),
        ('"$@" | sed "/^-- Dump/d"', "no end marker"),
        ('"$@"; exit 3', "exited 3"),
        ('"${@:1:$#-1}"', "lacks wp_posts"),
    ],
)
def test_a_dump_client_that_fails_in_any_way_is_a_failure(
    script: str, message: str, alice: Tenant, mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.sql(*WORDPRESS)
    fake = mariadb_server.folder / "fake-dump"
    fake.write_text(f"#!/bin/bash\n/usr/bin/mariadb-dump {script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr("smartbackup_panel.adapters.databases.dump.find_dump_program", lambda: str(fake))
    with pytest.raises(DumpFailed, match=message):
        list(alice.adapter.dump(alice.login).pieces())


def test_a_machine_without_the_client_is_told_what_to_install(alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alice.sql(*WORDPRESS)
    monkeypatch.setattr("smartbackup_panel.adapters.databases.client.DUMP_PROGRAMS", ("no-such-dump",))
    with pytest.raises(ToolMissing, match="no-such-dump is not installed"):
        list(alice.adapter.dump(alice.login).pieces())


def test_rows_that_the_policy_leaves_out_are_marked_and_the_definition_is_kept(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    run = alice.adapter.dump(alice.login, DumpPolicy(frozenset({"wp_options"})))
    text = b"".join(piece.chunk for piece in run.pieces())
    assert [(table.name, table.rows, table.data_left_out) for table in run.report.tables] == [
        ("wp_comments", 2, False),
        ("wp_options", 0, True),
        ("wp_posts", 3, False),
    ]
    assert b"CREATE TABLE `wp_options`" in text
    assert b"_transient_feed" not in text


def test_a_row_that_the_server_would_not_take_back_is_said_at_backup_time(
    alice: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.sql(*WORDPRESS)
    whole = Session.value
    monkeypatch.setattr(
        Session, "value", lambda self, sql, *values: 100 if "max_allowed_packet" in sql else whole(self, sql, *values)
    )
    warnings = alice.dump()[1].warnings
    assert any(warning.startswith("The table wp_posts has a row of") for warning in warnings)


def _children_named(program: bytes) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and any(word.endswith(program) for word in words):
            found.append(int(pid))
    return found


def add_shop(installation: Installation, tenant: Tenant) -> LaravelSite:
    login = tenant.login
    made = add_laravel(installation, "mysql", login.name, login.user, login.password)
    env = made.site.root / ".env"
    env.write_text(env.read_text() + f"DB_SOCKET={tenant.server.socket}\n")
    return made


def test_a_table_that_stops_every_dump_is_named_and_the_rest_is_in_the_point(alice: Tenant) -> None:
    """Its first row can be read, and what lies behind it cannot (case T33)."""
    alice.sql(*WORDPRESS, "CREATE TABLE old_stats (id INT, body VARCHAR(300)) ENGINE=MyISAM")
    alice.sql("INSERT INTO old_stats SELECT seq, REPEAT('x', 300) FROM seq_1_to_5000")
    rows = alice.server.folder / "data" / alice.login.name / "old_stats.MYD"
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        site = add_shop(installation, alice)
        good = site.back_up()
        alice.server.admin("FLUSH TABLES")
        content = bytearray(rows.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40_000] = os.urandom(40_000)
        rows.write_bytes(content)
        made = installation.smartbackup("backup", DOMAIN, exit_code=3)
        assert made["state"] == "partial"
        assert len(made["databases"]) == 1
        assert made["warnings"] == [
            "The rows of the table old_stats are not in the dump: it stopped the dump each time."
        ]
        listed = {row["point"]: row["state"] for row in installation.smartbackup("points", DOMAIN)}
        assert listed == {made["point"]: "partial", good["point"]: "good"}
        alice.sql("DROP TABLE wp_posts")
        installation.smartbackup("restore", DOMAIN, "--point", made["point"], "--table", "wp_posts", "--yes")
        assert alice.sql("SELECT COUNT(*) FROM wp_posts") == [(3,)]

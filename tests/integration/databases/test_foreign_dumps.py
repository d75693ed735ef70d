"""Dumps that mysqldump wrote are read strictly and written anew: what is taken restores, everything else is refused by name."""

from __future__ import annotations

import gzip
import subprocess
from datetime import UTC, datetime

import pytest

from smartbackup_panel.adapters.databases.foreign_dump import ForeignDump
from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.errors import LoadFailed
from tests.integration.databases.laravel_site import DOMAIN, add_laravel
from tests.integration.databases.schemas import RICH, WORDPRESS
from tests.integration.databases.tenant import Tenant, in_chunks
from tests.integration.databases.test_hostile_dumps import HOSTILE
from tests.support.installation import make_installation
from tests.support.original import Original

AS_THE_ORIGINAL = ("--single-transaction", "--quick", "--lock-tables=false")


def mysqldump(tenant: Tenant, *options: str) -> bytes:
    """Return what the original design's own call of mysqldump writes."""
    login = [f"--socket={tenant.server.socket}", f"--user={tenant.login.user}", f"--password={tenant.login.password}"]
    command = ["mysqldump", *login, *AS_THE_ORIGINAL, *options, tenant.login.name]
    return subprocess.run(command, capture_output=True, check=True).stdout


def taken(text: bytes) -> tuple[bytes, DumpReport]:
    """Return a dump of mysqldump as a dump of ours."""
    run = ForeignDump("dump", in_chunks(text))
    ours = b"".join(piece.chunk for piece in run.pieces())
    return ours, run.report


@pytest.mark.parametrize("options", [(), ("--skip-comments",), ("--hex-blob", "--skip-extended-insert")])
@pytest.mark.parametrize("schema", [WORDPRESS, RICH], ids=["wordpress", "rich"])
def test_what_mysqldump_wrote_restores_to_the_same_database(
    schema: tuple[str, ...], options: tuple[str, ...], alice: Tenant
) -> None:
    alice.sql(*schema)
    then = {
        name: fact for name, fact in alice.facts().items() if not name.startswith(("EVENT", "PROCEDURE", "FUNCTION"))
    }
    ours, report = taken(mysqldump(alice, *options))
    assert report.name == ("" if "--skip-comments" in options else alice.login.name)
    names = [row.name for row in report.tables]
    alice.sql("SET foreign_key_checks = 0", *(f"DROP TABLE {quoted(name)}" for name in names))
    alice.restore(ours, report)
    found = alice.facts()
    assert {name: found.get(name) for name in then} == then


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def test_older_character_sets_and_mysqls_own_lines_are_understood() -> None:
    text = b"""-- MySQL dump 10.13  Distrib 5.7.44, for Linux (x86_64)
--
-- Host: localhost    Database: shop_db
-- ------------------------------------------------------
-- Server version\t5.7.44

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8 */;
/*!40103 SET TIME_ZONE='+00:00' */;
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23';
DROP TABLE IF EXISTS `orders`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL,
  `note` text,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
/*!40101 SET character_set_client = @saved_cs_client */;
LOCK TABLES `orders` WRITE;
INSERT INTO `orders` VALUES (1,'a;b'),(2,'it\\'s'),(3,NULL);
UNLOCK TABLES;
SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2024-01-01  3:00:00
"""
    ours, report = taken(text)
    assert (report.name, report.server_version) == ("shop_db", "5.7.44")
    assert [(row.name, row.rows) for row in report.tables] == [("orders", 3)]
    assert b"SET NAMES utf8mb4" in ours
    assert b"GTID" not in ours
    with pytest.raises(LoadFailed, match="does not run"):
        taken(text.replace(b"NAMES utf8", b"NAMES latin1"))


def test_names_that_are_no_text_are_refused() -> None:
    key = b"  CONSTRAINT `k` FOREIGN KEY (`\xff`) REFERENCES `b` (`a`)\n"
    with pytest.raises(LoadFailed):
        taken(b"CREATE TABLE `t` (\n  `a` int,\n" + key + b") ENGINE=InnoDB;\n-- Dump completed\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_restore_would_not_run_is_refused_when_it_is_imported(name: str) -> None:
    start = b"DROP TABLE IF EXISTS `wp_posts`;\nCREATE TABLE `wp_posts` (\n  `a` int\n) ENGINE=InnoDB;\n"
    hostile = HOSTILE[name].format(canary="/tmp/canary", bob="bob_1").encode()
    taken(start + b"-- Dump completed\n")
    with pytest.raises(LoadFailed):
        taken(start + hostile + b"\n-- Dump completed\n")


def test_a_dump_without_its_end_is_refused_wherever_it_was_cut(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    for options in ((), ("--skip-comments",)):
        text = mysqldump(alice, *options)
        end = text.rindex(b"/*!40111 SET SQL_NOTES")
        for cut in (0, 1, len(text) // 3, len(text) // 2, end - 1, end, end + 20):
            with pytest.raises(LoadFailed):
                taken(text[:cut])


def test_an_imported_dump_is_restored_and_keeps_tables_that_it_does_not_hold(alice: Tenant) -> None:
    alice.sql(
        "CREATE TABLE users (id INT PRIMARY KEY, name TEXT)",
        "INSERT INTO users VALUES (1, 'then')",
        "CREATE TABLE sessions (id INT PRIMARY KEY)",
        "INSERT INTO sessions VALUES (7)",
    )
    dump = mysqldump(alice, "--skip-comments", f"--ignore-table={alice.login.name}.sessions")
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        login = alice.login
        add_laravel(installation, "mysql", login.name, login.user, login.password)
        old = Original.at(installation.folder / "old", installation.domains_root, DOMAIN)
        old.full("20260201_030000", int(datetime(2026, 2, 1, 3, tzinfo=UTC).timestamp()))
        old.dump("20260201_030000", dump)
        old.dump("20260202_030000", dump)
        old.dump("20260203_030000", dump[:-200])
        bad = old.folder / "database_20260204_030000.sql.gz"
        bad.write_bytes(gzip.compress(dump)[:-9])
        planned = installation.smartbackup("import", DOMAIN, str(old.backups), "--dry-run", exit_code=3)
        assert [row["state"] for row in planned["sources"]] == [*["would be imported"] * 3, *["refused"] * 2]
        found = installation.smartbackup("import", DOMAIN, str(old.backups), exit_code=3)
        assert [(row["kind"], row["state"], row.get("database")) for row in found["sources"]] == [
            ("full", "imported", None),
            ("dump", "imported", login.name),
            ("dump", "imported", login.name),
            ("dump", "refused", None),
            ("dump", "refused", None),
        ]
        assert "cut short" in found["sources"][3]["reason"]
        assert "cut off" in found["sources"][4]["reason"]
        assert found["sources"][0]["point"] == found["sources"][1]["point"]
        assert "unpin" in found["note"]
        alone, whole = installation.points(DOMAIN)
        assert (alone["archive"], alone["databases"]) == (None, [login.name])
        assert installation.smartbackup("verify", DOMAIN)["points"]
        alice.sql("UPDATE users SET name = 'now'", "INSERT INTO users VALUES (2, 'new')", "CREATE TABLE later (id INT)")
        for point in (whole, alone):
            installation.smartbackup("restore", DOMAIN, "--point", point["point"], "--exact", "--yes")
            assert alice.sql("SELECT * FROM users") == [(1, "then")]
            assert alice.sql("SELECT * FROM sessions") == [(7,)]
            assert alice.sql("SHOW TABLES LIKE 'later'") == [("later",)]
            alice.sql("UPDATE users SET name = 'now'")
        assert {
            row["state"] for row in installation.smartbackup("import", DOMAIN, str(old.folder), exit_code=3)["sources"]
        } == {
            "known",
            "refused",
        }

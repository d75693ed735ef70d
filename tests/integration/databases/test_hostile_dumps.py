"""A dump is untrusted on its way back: statements that our dumps never hold are refused by name, and nothing of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import DatabaseRefused, LoadFailed
from tests.integration.databases.schemas import WORDPRESS
from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant, in_chunks
from tests.support.mariadb import MariaDB

HOSTILE = {
    "a shell escape": "\\! touch {canary}",
    "the system command": "system touch {canary};",
    "a sourced file": "source {canary};",
    "a short source": "\\. {canary}",
    "tee": "tee {canary}\n;",
    "a pager": "pager touch {canary};",
    "a pager in short": "\\P touch {canary}",
    "another database": "USE `{bob}`;",
    "rows for another database": "INSERT INTO `{bob}`.`accounts` VALUES (2,'stolen');",
    "a dropped table of another database": "DROP TABLE IF EXISTS `{bob}`.`accounts`;",
    "a dropped live table": "DROP TABLE `wp_posts`;",
    "an unquoted name": "INSERT INTO wp_posts VALUES (9,0,'','','','');",
    "rows from another table": "INSERT INTO `wp_options` SELECT * FROM `{bob}`.`accounts`;",
    "a subquery as a value": "INSERT INTO `wp_options` VALUES (9,(SELECT note FROM `{bob}`.`accounts`),'','');",
    "a function as a value": "INSERT INTO `wp_options` VALUES (9,LOAD_FILE('/etc/passwd'),'','');",
    "a second statement behind rows": "INSERT INTO `wp_options` VALUES (9,'x','','');DROP TABLE `wp_posts`;",
    "an update on a duplicate": "INSERT INTO `wp_options` VALUES (9,'x','','') ON DUPLICATE KEY UPDATE autoload=1;",
    "a grant": "GRANT ALL ON *.* TO 'alice'@'localhost';",
    "a new user": "CREATE USER mallory IDENTIFIED BY 'x';",
    "a global setting": "SET GLOBAL general_log = 1;",
    "a global setting in a comment": "/*!40101 SET GLOBAL general_log = 1 */;",
    "a charset that reads bytes differently": "/*!40101 SET NAMES gbk */;",
    "an update in a comment": "/*!50000 UPDATE `wp_posts` SET post_title = 'x' */;",
    "a file written": "SELECT 1 INTO OUTFILE '{canary}';",
    "a file read": "LOAD DATA INFILE '/etc/passwd' INTO TABLE `wp_posts`;",
    "a local file read": "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `wp_posts`;",
    "a prepared statement": "PREPARE s FROM 'DROP TABLE wp_posts';",
    "a call": "CALL `anything`();",
    "a delimiter trick": "DELIMITER $$\nDROP TABLE `wp_posts`\n$$\nDELIMITER ;",
    "a table made from another": "CREATE TABLE `t` (`a` int) SELECT * FROM `{bob}`.`accounts`;",
    "a table made like another": "CREATE TABLE `t` LIKE `{bob}`.`accounts`;",
    "a table in another database": "CREATE TABLE `{bob}`.`t` (`a` int);",
    "a key to another database": (
        "CREATE TABLE `t` (`a` int,\n  CONSTRAINT `x` FOREIGN KEY (`a`) REFERENCES `{bob}`.`accounts` (`id`)\n) ENGINE=InnoDB;"
    ),
    "a column's own key": "CREATE TABLE `t` (\n  `a` int REFERENCES `wp_posts` (`ID`)\n) ENGINE=InnoDB;",
    "a table over other tables": "CREATE TABLE `t` (`a` int) ENGINE=MRG_MyISAM UNION=(`wp_posts`);",
    "a table over the network": "CREATE TABLE `t` (`a` int) ENGINE=FEDERATED CONNECTION='mysql://x@h/d/t';",
    "a table with a folder": "CREATE TABLE `t` (`a` int) ENGINE=MyISAM DATA DIRECTORY='/tmp';",
    "a reserved name": "CREATE TABLE `_sb_restore` (`a` int) ENGINE=InnoDB;",
    "a hidden select": "CREATE TABLE `t` (`a` int) /*!99999 ' */ SELECT * FROM `wp_posts` /*!99999 ' */;",
    "a table twice": "CREATE TABLE `wp_posts` (`a` int) ENGINE=InnoDB;",
    "a rename": "RENAME TABLE `wp_posts` TO `gone`;",
    "a library": "CREATE DEFINER=`a`@`b` FUNCTION `f` RETURNS STRING SONAME 'x.so';",
    "a program in another database": "DELIMITER ;;\nCREATE DEFINER=`a`@`b` PROCEDURE `{bob}`.`p`() SELECT 1\n;;\nDELIMITER ;",
    "a trigger of a table that is not there": (
        "DELIMITER ;;\nCREATE DEFINER=`a`@`b` TRIGGER `x` BEFORE INSERT ON `other` FOR EACH ROW SET @a=1\n;;\nDELIMITER ;"
    ),
    "an endless string": "INSERT INTO `wp_posts` VALUES (1,'",
    "a handler": "HANDLER `wp_posts` OPEN;",
    "a lock of another database": "LOCK TABLES `{bob}`.`accounts` WRITE;",
}


@dataclass(frozen=True)
class Scene:
    """Alice's and Bob's databases, Alice's dump, and all that must not change."""

    alice: Tenant
    bob: Tenant
    dump: bytes
    before: list[object]

    def facts(self) -> list[object]:
        server = self.alice.server
        users = server.admin("SELECT User, Host FROM mysql.user ORDER BY 1, 2")
        return [self.alice.facts(), self.bob.facts(), users, server.admin("SELECT @@GLOBAL.general_log")]


@pytest.fixture(scope="module")
def scene(mariadb_server: MariaDB) -> Iterator[Scene]:
    alice, bob = create_tenant(mariadb_server, "alice"), create_tenant(mariadb_server, "bob")
    alice.sql(*WORDPRESS)
    bob.sql("CREATE TABLE accounts (id INT PRIMARY KEY, note TEXT)", "INSERT INTO accounts VALUES (1, 'bobs money')")
    quiet = Scene(alice, bob, alice.dump()[0], [])
    yield replace(quiet, before=quiet.facts())
    drop_tenant(alice)
    drop_tenant(bob)


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_statement_is_refused_and_nothing_changes(attack: str, scene: Scene, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    statement = HOSTILE[attack].format(bob=scene.bob.login.name, canary=canary)
    place = scene.dump.index(b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */")
    hostile = scene.dump[:place] + statement.encode() + b"\n" + scene.dump[place:]
    with pytest.raises(LoadFailed):
        scene.alice.adapter.load(scene.alice.login, in_chunks(hostile), "hostile")
    assert scene.facts() == scene.before
    assert scene.alice.reserved_tables() == []
    assert not canary.exists()


def test_the_same_dump_without_a_hostile_statement_loads(scene: Scene) -> None:
    report = scene.alice.adapter.load(scene.alice.login, in_chunks(scene.dump), "harmless")
    assert [table.rows for table in report.tables] == [2, 2, 3]
    scene.alice.adapter.discard(scene.alice.login, "harmless")


def test_programs_of_a_foreign_definer_are_refused_and_listed(alice: Tenant, mariadb_server: MariaDB) -> None:
    name = alice.login.name
    alice.sql(*WORDPRESS, "CREATE VIEW titles AS SELECT post_title FROM wp_posts", "CREATE PROCEDURE p() SELECT 1")
    alice.sql(
        "CREATE TRIGGER t BEFORE INSERT ON wp_posts FOR EACH ROW SET @a = 1",
        "CREATE FUNCTION kept() RETURNS INT RETURN 1",
    )
    text = alice.dump()[0]
    for kind in (b"PROCEDURE", b"TRIGGER", b"SQL SECURITY DEFINER VIEW"):
        text = text.replace(f"DEFINER=`{name}`@`localhost` ".encode() + kind, b"DEFINER=`root`@`localhost` " + kind)
    alice.sql("DROP VIEW titles", "DROP PROCEDURE p", "DROP FUNCTION kept")
    report = alice.adapter.load(alice.login, [text], "foreign")
    assert report.warnings == (
        "The trigger t belongs to root and not to this site; a restore does not make it.",
        "The procedure p belongs to root and not to this site; a restore does not make it.",
        "The view titles belongs to root and not to this site; a restore does not make it.",
    )
    assert alice.adapter.swap(alice.login, "foreign").warnings == report.warnings
    facts = alice.facts()
    assert "FUNCTION kept" in facts
    assert not facts.keys() & {"VIEW titles", "PROCEDURE p", "trigger t"}


def test_a_live_program_of_the_admins_stays_as_it_is(alice: Tenant, mariadb_server: MariaDB) -> None:
    name = alice.login.name
    alice.sql(*WORDPRESS)
    mariadb_server.admin(
        "CREATE DEFINER=root@localhost VIEW titles AS SELECT post_title FROM wp_posts;"
        "CREATE DEFINER=root@localhost FUNCTION seven() RETURNS INT RETURN 7",
        database=name,
    )
    text, report = alice.dump()
    assert "The view titles belongs to root and not to this site; a restore would not make it." in report.warnings
    before = alice.facts()
    alice.restore(text, report)
    assert alice.facts() == before
    assert mariadb_server.admin(f"SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{name}'") == [
        ("root@localhost",)
    ]


def test_programs_of_the_login_that_was_dumped_are_the_sites_own_under_its_next_login(
    alice: Tenant, mariadb_server: MariaDB
) -> None:
    alice.sql(*WORDPRESS, "CREATE VIEW titles AS SELECT post_title FROM wp_posts")
    text, report = alice.dump()
    renamed = replace(alice.login, user=f"{alice.login.user}_new")
    pattern = alice.login.name.replace("_", "\\_")
    mariadb_server.admin(
        f"CREATE USER '{renamed.user}'@'localhost' IDENTIFIED BY '{renamed.password}';"
        f"GRANT ALL ON `{pattern}`.* TO '{renamed.user}'@'localhost'"
    )
    alice.sql("DROP VIEW titles")
    assert alice.adapter.load(renamed, [text], "moved", report).warnings == ()
    alice.adapter.swap(renamed, "moved")
    assert "VIEW titles" in alice.facts()
    mariadb_server.admin(f"DROP USER '{renamed.user}'@'localhost'")


def test_a_view_into_another_database_is_named_and_the_rest_is_restored(alice: Tenant, bob: Tenant) -> None:
    alice.sql(*WORDPRESS, "CREATE VIEW titles AS SELECT post_title FROM wp_posts")
    text = alice.dump()[0].replace(b"from `wp_posts`", f"from `{bob.login.name}`.`accounts`".encode())
    alice.adapter.load(alice.login, [text], "peek")
    warnings = alice.adapter.swap(alice.login, "peek").warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("The view titles could not be made again: ")
    assert "command denied" in warnings[0]
    assert "BASE TABLE wp_posts" in alice.facts()


def test_nothing_is_loaded_with_a_login_that_reaches_other_databases(alice: Tenant, mariadb_server: MariaDB) -> None:
    alice.sql(*WORDPRESS)
    mariadb_server.admin(f"GRANT ALL ON *.* TO '{alice.login.user}'@'localhost'")
    text, report = alice.dump()
    assert any("has rights on the whole database server" in warning for warning in report.warnings)
    with pytest.raises(DatabaseRefused, match="nothing is loaded with it"):
        alice.adapter.load(alice.login, [text], "admin")


def test_a_trigger_of_somebody_else_goes_and_comes_back_with_its_table(alice: Tenant, mariadb_server: MariaDB) -> None:
    """Made again by us it would run under the site's own login from then on."""
    name = alice.login.name
    alice.sql(*WORDPRESS)
    text, report = alice.dump()
    mariadb_server.admin(
        "CREATE DEFINER=root@localhost TRIGGER stamp BEFORE INSERT ON wp_posts FOR EACH ROW SET NEW.post_title = 'stamped'",
        database=name,
    )
    alice.restore(text, report)
    alice.sql("INSERT INTO wp_posts (post_content, post_title) VALUES ('', 'plain')")
    assert alice.sql("SELECT post_title FROM wp_posts ORDER BY ID DESC LIMIT 1")[0] == ("plain",)
    alice.adapter.undo(alice.login, "restore-1")
    definer = f"SELECT DEFINER, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{name}'"
    assert mariadb_server.admin(definer) == [("root@localhost", "wp_posts")]
    alice.sql("INSERT INTO wp_posts (post_content, post_title) VALUES ('', 'plain')")
    assert alice.sql("SELECT post_title FROM wp_posts ORDER BY ID DESC LIMIT 1")[0] == ("stamped",)
    alice.adapter.discard(alice.login, "restore-1")
    assert alice.reserved_tables() == []

"""Bad input: a clear message with what to do, and nothing is lost or changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB
from tests.support.sites import Site, differences

FILES = {"index.php": "<?php echo 'shop';\n", "a/b.txt": "content\n"}


def said(document: dict[str, dict[str, str]]) -> str:
    error = document["error"]
    assert error["hint"], "an error says what to do"
    return f"{error['code']}: {error['message']}"


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("nobody.example.test", "domain.unknown", "nobody.example.test"),
        ("../etc", "domain.bad_name", "path"),
        ("a/b", "domain.bad_name", "path"),
        ("shop.example.test\n", "domain.bad_name", "control"),
        ("Shop.Example.Test", "domain.bad_name", "lower case"),
    ],
)
@pytest.mark.parametrize("command", [("backup",), ("points",), ("analyze",), ("verify",), ("undo",)])
def test_a_domain_that_is_none_is_refused(
    installation: Installation, name: str, code: str, word: str, command: tuple[str, ...]
) -> None:
    refused = said(installation.smartbackup(*command, name, exit_code=2))
    assert refused.startswith(code) and word in refused
    assert not (installation.folder / "store").exists()


def test_words_that_no_command_knows_exit_with_2(installation: Installation) -> None:
    assert installation.run("backup").returncode == 2
    assert installation.run("backup", "shop.example.test", "--type", "sideways").returncode == 2
    assert installation.run("frobnicate").returncode == 2


def test_a_missing_folder_is_said_and_its_points_stay(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    made = installation.smartbackup("backup", "shop.example.test")
    then = site.tree()
    shutil.rmtree(site.root)
    refused = said(installation.smartbackup("backup", "shop.example.test", exit_code=1))
    assert refused.startswith("domain.missing_root")
    [point] = installation.smartbackup("points", "shop.example.test")
    assert point["point"] == made["point"]
    installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
    assert not differences(then, site.tree())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that its tenant may not read")
def test_an_unreadable_file_makes_the_point_partial_and_is_listed(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    locked = site.write("locked.txt", "secret\n", mode=0o600)
    os.chown(locked, 0, 0)
    made = installation.smartbackup("backup", "shop.example.test", exit_code=3)
    assert made["state"] == "partial"
    assert [(row["path"], row["reason"]) for row in made["skipped"]] == [("locked.txt", "foreign_owner")]
    assert made["file_count"] == 2
    site.write("mine.txt", "mine\n", mode=0o000)
    again = installation.smartbackup("backup", "shop.example.test", exit_code=3)
    assert ("mine.txt", "unreadable") in [(row["path"], row["reason"]) for row in again["skipped"]]
    assert installation.smartbackup("points", "shop.example.test")[0]["state"] == "partial"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem needs root")
def test_a_full_disk_fails_the_job_and_the_last_good_point_stays(open_folder: Path) -> None:
    store = open_folder / "small"
    store.mkdir()
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", store], check=True)
    try:
        with make_installation({"BACKUP_ROOT": str(store / "store")}) as installation:
            site = installation.add_site("shop.example.test", FILES)
            good = installation.smartbackup("backup", "shop.example.test")
            site.write("large.bin", os.urandom(4 * 1024 * 1024))
            refused = said(installation.smartbackup("backup", "shop.example.test", exit_code=1))
            assert refused.startswith("space.none")
            assert [row["point"] for row in installation.points("shop.example.test")] == [good["point"]]
            left = sorted(os.listdir(store / "store" / "shop.example.test"))
            assert left == [good["archive"], good["archive"] + ".meta"]
            installation.smartbackup("verify", "shop.example.test")
            (site.root / "large.bin").unlink()
            installation.smartbackup("backup", "shop.example.test")
    finally:
        subprocess.run(["/usr/bin/umount", store], check=True)


def test_only_the_reserve_left_is_said_before_anything_is_written(open_folder: Path) -> None:
    with make_installation({"RESERVE_MB": "9999999"}) as installation:
        installation.add_site("shop.example.test", FILES)
        refused = said(installation.smartbackup("backup", "shop.example.test", exit_code=1))
        assert refused.startswith("space.none") and "reserve" in refused


def test_a_restore_that_nobody_confirms_does_nothing(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    (site.root / "index.php").unlink()
    before = site.tree()
    refused = said(installation.smartbackup("restore", "shop.example.test", "--point", "latest", exit_code=2))
    assert "--yes" in refused or "asked" in refused
    planned = installation.smartbackup("restore", "shop.example.test", "--point", "latest", "--plan")
    assert planned["plan"]["names"]["added"] == ["index.php"]
    assert not differences(before, site.tree())


@pytest.mark.parametrize("point", ["00000000000000000000000000000000", "nonsense", "../../etc/passwd"])
def test_an_unknown_point_is_refused(installation: Installation, point: str) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    refused = said(installation.smartbackup("restore", "shop.example.test", "--point", point, "--yes", exit_code=2))
    assert refused.startswith("point.unknown")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STATE_DIR", "relative/path"),
        ("CONCURRENCY", "many"),
        ("CONCURRENCY", "0"),
        ("ACCESS_LOG", "/var/log/access.log"),
        ("COMPRESSION", "lzma:9"),
        ("TIMEZONE", "Mars/Olympus"),
        ("PANEL", "nopanel"),
        ("STATE_URL", "nosuchdatabase://"),
        ("DATABASE_HOSTS", "a b c"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(installation: Installation, variable: str, value: str) -> None:
    installation.environment[f"SMARTBACKUP_{variable}"] = value
    run = installation.run("domains", "--json")
    assert run.returncode in (1, 2)
    assert b"usage" not in run.stdout
    assert (b"nosuchdatabase" if variable == "STATE_URL" else variable.encode()) in run.stdout


def test_a_configuration_file_is_read_and_its_mistakes_are_named(installation: Installation, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("undo_dayz = 3\n")
    refused = installation.run("--config", str(config), "domains", "--json")
    assert refused.returncode == 2 and b"undo_dayz" in refused.stdout
    config.write_text("undo_days = 3\n")
    found = installation.smartbackup("--config", str(config), "check", exit_code=1)
    assert (found["settings"]["undo_days"], found["sources"]["undo_days"]) == ("3", "file")
    missing = installation.run("--config", str(tmp_path / "none.toml"), "domains", "--json")
    assert missing.returncode == 2 and b"none.toml" in missing.stdout


def test_the_domains_root_that_is_gone_changes_nothing(installation: Installation) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    os.rename(installation.domains_root, installation.folder / "unmounted")
    refused = said(installation.smartbackup("reconcile", exit_code=1))
    assert "cannot be read" in refused
    os.rename(installation.folder / "unmounted", installation.domains_root)
    assert [row["state"] for row in installation.smartbackup("domains")] == ["active"]


def wordpress_site(installation: Installation, mariadb: MariaDB, database: str, user: str, password: str) -> Site:
    config = (
        f"<?php define('DB_NAME', '{database}'); define('DB_USER', '{user}'); define('DB_PASSWORD', '{password}');"
        f" define('DB_HOST', 'localhost:{mariadb.socket}'); $table_prefix = 'wp_';\n"
    )
    version = "<?php $wp_version = '6.1';\n"
    files: dict[str, bytes | str] = {
        "wp-config.php": config,
        "wp-load.php": "<?php\n",
        "wp-includes/version.php": version,
    }
    return installation.add_site("shop.example.test", files)


@pytest.fixture
def shop_database(mariadb_server: MariaDB) -> Iterator[tuple[str, str]]:
    """Give a database with one table, and its user (password: right)."""
    database, user = mariadb_server.unique("wp"), mariadb_server.unique("alice")
    mariadb_server.create_tenant(database, user, "right")
    mariadb_server.admin("CREATE TABLE wp_posts (id INT PRIMARY KEY)", database=database)
    yield database, user
    mariadb_server.drop_tenant(database, user)


@pytest.mark.parametrize("wrong", ["password", "database", "host", "stopped server"])
def test_a_database_that_cannot_be_read_leaves_a_partial_point_that_says_so(
    mariadb_server: MariaDB, shop_database: tuple[str, str], wrong: str
) -> None:
    database, user = shop_database
    sockets = {"host": "/run/other.sock", "stopped server": "/run/other.sock"}
    allowed = f"localhost:{sockets.get(wrong, mariadb_server.socket)}"
    with make_installation({"DATABASE_HOSTS": allowed}) as installation:
        named = "mysql_of_bob" if wrong == "database" else database
        site = wordpress_site(installation, mariadb_server, named, user, "wrong" if wrong == "password" else "right")
        if wrong == "stopped server":
            config = site.root / "wp-config.php"
            site.write("wp-config.php", config.read_text().replace(str(mariadb_server.socket), "/run/other.sock"))
        made = installation.smartbackup("backup", "shop.example.test", exit_code=3)
        assert (made["state"], made["file_count"], made["databases"]) == ("partial", 3, [])
        assert any(named in warning for warning in made["warnings"])
        installation.smartbackup("verify", "shop.example.test")
        site.write("wp-load.php", "broken")
        installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
        assert (site.root / "wp-load.php").read_text() == "<?php\n"


def test_databases_alone_and_files_alone(mariadb_server: MariaDB, shop_database: tuple[str, str]) -> None:
    database, user = shop_database
    with make_installation({"DATABASE_HOSTS": f"localhost:{mariadb_server.socket}"}) as installation:
        site = wordpress_site(installation, mariadb_server, database, user, "right")
        files = installation.smartbackup("backup", "shop.example.test", "--files-only")
        assert (files["databases"], files["file_count"]) == ([], 3)
        alone = installation.smartbackup("backup", "shop.example.test", "--databases-only")
        assert (alone["archive"], len(alone["databases"])) == (None, 1)
        mariadb_server.admin("INSERT INTO wp_posts VALUES (1), (2)", database=database)
        site.write("wp-load.php", "changed")
        installation.smartbackup("restore", "shop.example.test", "--point", alone["point"], "--yes")
        assert mariadb_server.admin("SELECT COUNT(*) FROM wp_posts", database=database) == [(0,)]
        assert (site.root / "wp-load.php").read_text() == "changed"
        installation.smartbackup("undo", "shop.example.test")
        assert mariadb_server.admin("SELECT COUNT(*) FROM wp_posts", database=database) == [(2,)]
        assert installation.smartbackup("verify", "shop.example.test")["damaged"] == []
        both = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
        assert (both["type"], both["changed"]) == ("incremental", 1)


def test_databases_alone_where_there_are_none_make_no_empty_point(installation: Installation) -> None:
    installation.add_site("plain.example.test", {"index.html": "<h1>plain</h1>\n"})
    refused = installation.smartbackup("backup", "plain.example.test", "--databases-only", exit_code=1)
    assert refused["error"]["code"] == "database.refused"
    assert refused["error"]["message"] == "no database of plain.example.test was found"
    assert installation.points("plain.example.test") == []


def test_the_store_is_private_from_its_first_file_on(installation: Installation) -> None:
    installation.add_site("plain.example.test", {"index.html": "<h1>plain</h1>\n"})
    installation.smartbackup("analyze", "plain.example.test")
    assert installation.backup_root.stat().st_mode & 0o777 == 0o700

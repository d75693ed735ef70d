"""SQLite databases of a site: one moment in every point, and no log of another moment beside them after a restore."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.installation import Installation, make_installation
from tests.support.sites import Site

DOMAIN = "notes.example.test"
BECOME = """
import os, sqlite3, sys
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*[int(sys.argv[2])] * 3)
    os.setresuid(*[int(sys.argv[2])] * 3)
"""
WRITER = """
site = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
print("ready", flush=True)
while True:
    site.execute("BEGIN IMMEDIATE")
    site.execute("UPDATE a SET n = n + 1")
    site.execute("UPDATE b SET n = n + 1")
    site.execute("COMMIT")
"""
OPEN_APPLICATION = """
site = sqlite3.connect(sys.argv[1], isolation_level=None)
site.execute("PRAGMA wal_autocheckpoint = 0")
site.execute("UPDATE a SET n = 7")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def installation() -> Iterator[Installation]:
    with make_installation() as made:
        yield made


@pytest.fixture
def site(installation: Installation) -> Site:
    made = installation.add_site(DOMAIN, {"index.php": "<?php\n", "data/.keep": ""})
    made.own()
    return made


def start(site: Site, program: str) -> subprocess.Popen[bytes]:
    """Start a program of the tenant's on the database and return it when it is ready."""
    assert site.tenant is not None
    arguments = [str(site.root / "data" / "notes.sqlite"), str(site.tenant.uid)]
    command = [sys.executable, "-c", BECOME + program, *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def make(site: Site, mode: str, rows: int) -> Path:
    path = site.root / "data" / "notes.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        for table in ("a", "b"):
            database.execute(f"CREATE TABLE {table} (n INT, filler TEXT)")
            database.executemany(f"INSERT INTO {table} VALUES (0, ?)", [("x" * 900,)] * rows)
        database.commit()
    site.own()
    return path


def values(path: Path) -> set[int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {n for (n,) in database.execute("SELECT n FROM a UNION SELECT n FROM b")}


@pytest.mark.parametrize(("mode", "rows"), [("DELETE", 3_000), ("WAL", 3_000), ("WAL", 20)])
def test_a_database_that_is_written_to_is_of_one_moment_in_every_point(
    mode: str, rows: int, installation: Installation, site: Site, tmp_path: Path
) -> None:
    make(site, mode, rows)
    writer = start(site, WRITER)
    try:
        for number in range(3):
            made = installation.smartbackup("backup", DOMAIN)
            assert (made["warnings"], made["state"]) == ([], "good")
            target = tmp_path / str(number)
            target.mkdir()
            installation.smartbackup("restore", DOMAIN, "--point", made["point"], "--to", str(target), "--yes")
            assert os.listdir(target / "data") == ["notes.sqlite"] or sorted(os.listdir(target / "data")) == [
                ".keep",
                "notes.sqlite",
            ]
            assert len(values(target / "data" / "notes.sqlite")) == 1
    finally:
        writer.kill()
        writer.wait()


def test_what_lies_in_the_log_alone_is_in_the_next_point(
    installation: Installation, site: Site, tmp_path: Path
) -> None:
    """The database's own file does not change while an application keeps its log open."""
    path = make(site, "WAL", 20)
    first = installation.smartbackup("backup", DOMAIN)
    before = path.stat()
    application = start(site, OPEN_APPLICATION)
    try:
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        second = installation.smartbackup("backup", DOMAIN)
    finally:
        application.communicate()
    for made, expected in ((first, {0}), (second, {0, 7})):
        target = tmp_path / made["point"]
        target.mkdir()
        installation.smartbackup("restore", DOMAIN, "--point", made["point"], "--to", str(target), "--yes")
        assert values(target / "data" / "notes.sqlite") == expected


@pytest.mark.parametrize("options", [(), ("--merge",), ("--path", "data/notes.sqlite")])
def test_a_restored_database_meets_no_log_of_another_moment(
    options: tuple[str, ...], installation: Installation, site: Site
) -> None:
    path = make(site, "WAL", 20)
    made = installation.smartbackup("backup", DOMAIN)
    application = start(site, OPEN_APPLICATION)
    application.kill()
    application.wait()
    assert path.with_name("notes.sqlite-wal").stat().st_size > 0
    installation.smartbackup("restore", DOMAIN, "--point", made["point"], *options, "--yes")
    assert not path.with_name("notes.sqlite-wal").exists()
    assert values(path) == {0}
    installation.smartbackup("undo", DOMAIN)
    assert values(path) == {0, 7}


def test_nor_does_one_that_is_put_beside_a_log_elsewhere(
    installation: Installation, site: Site, tmp_path: Path
) -> None:
    path = make(site, "WAL", 20)
    made = installation.smartbackup("backup", DOMAIN)
    target = tmp_path / "copy"
    restore = ("restore", DOMAIN, "--point", made["point"], "--to", str(target), "--yes")
    installation.smartbackup(*restore)
    application = start(site, OPEN_APPLICATION)
    application.kill()
    application.wait()
    for name in ("notes.sqlite", "notes.sqlite-wal"):
        (target / "data" / name).write_bytes(path.with_name(name).read_bytes())
    assert values(target / "data" / "notes.sqlite") == {0, 7}
    for name in ("notes.sqlite", "notes.sqlite-wal"):
        (target / "data" / name).write_bytes(path.with_name(name).read_bytes())
    installation.smartbackup(*restore, "--merge")
    assert os.listdir(target / "data").count("notes.sqlite-wal") == 0
    assert values(target / "data" / "notes.sqlite") == {0}


def test_a_locked_or_odd_database_is_stored_as_it_lies(installation: Installation, site: Site) -> None:
    odd = b"SQLite format 3\0" + b"but no database" * 5_000
    site.write("data/odd.db", odd)
    made = installation.smartbackup("backup", DOMAIN)
    archive = installation.backup_root / DOMAIN / made["archive"]
    with tarfile.open(archive) as tar:
        member = tar.extractfile("data/odd.db")
        assert member is not None
        assert member.read() == odd


def test_an_unchanged_database_is_not_stored_again(installation: Installation, site: Site) -> None:
    make(site, "WAL", 3_000)
    installation.smartbackup("backup", DOMAIN, "--type", "full")
    second = installation.smartbackup("backup", DOMAIN, "--type", "incremental")
    assert (second["changed"], second["archive_bytes"] < 20_000) == (0, True)

"""A copy of an SQLite database is of one moment, whoever writes to it meanwhile."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.engine.applications.sqlite_copy import copy_sqlite, is_sqlite

WRITER = """
import sqlite3, sys
site = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
print("ready", flush=True)
while True:
    site.execute("BEGIN IMMEDIATE")
    site.execute("UPDATE a SET n = n + 1")
    site.execute("UPDATE b SET n = n + 1")
    site.execute("COMMIT")
"""


def make(path: Path, mode: str) -> None:
    site = sqlite3.connect(path)
    site.execute(f"PRAGMA journal_mode = {mode}")
    for table in ("a", "b"):
        site.execute(f"CREATE TABLE {table} (n INT, filler TEXT)")
        site.executemany(f"INSERT INTO {table} VALUES (0, ?)", [("x" * 900,)] * 3_000)
    site.commit()
    site.close()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_two_tables_written_together_are_equal_in_every_copy(tmp_path: Path, mode: str) -> None:
    make(tmp_path / "shop.sqlite", mode)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "shop.sqlite"], stdout=subprocess.PIPE)
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        for number in range(5):
            copied = kept(copy_sqlite(folder_fd, b"shop.sqlite", 30), tmp_path / f"copy{number}")
            assert is_sqlite(copied.read_bytes()[:16])
            with sqlite3.connect(copied) as copy:
                assert copy.execute("PRAGMA journal_mode").fetchone() == (mode.lower(),)
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                counters = copy.execute(
                    "SELECT n, count(*) FROM a GROUP BY n UNION SELECT n, count(*) FROM b GROUP BY n"
                )
                assert [rows for _, rows in counters.fetchall()] == [3_000]
    finally:
        writer.kill()
        writer.wait()
        os.close(folder_fd)


@pytest.mark.parametrize("content", [b"", b"not a database at all " * 100])
def test_what_is_no_database_is_said_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.db").write_bytes(content)
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    before = temporary_files()
    if content:
        with pytest.raises(DumpFailed, match=r"notes\.db cannot be copied"):
            copy_sqlite(folder_fd, b"notes.db")
    else:
        os.close(copy_sqlite(folder_fd, b"notes.db"))
    assert temporary_files() == before
    os.close(folder_fd)


def test_a_locked_database_is_given_up_in_time_and_leaves_nothing_open(tmp_path: Path) -> None:
    make(tmp_path / "shop.sqlite", "DELETE")
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    before = os.listdir("/proc/self/fd")
    with closing(sqlite3.connect(tmp_path / "shop.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DumpFailed, match=r"shop\.sqlite"):
            copy_sqlite(folder_fd, b"shop.sqlite", 0.5)
    assert os.listdir("/proc/self/fd") == before
    os.close(folder_fd)


def kept(fd: int, path: Path) -> Path:
    """Give the copy a name."""
    with os.fdopen(fd, "rb") as copy:
        path.write_bytes(copy.read())
    return path


def temporary_files() -> list[str]:
    return [name for name in os.listdir("/var/tmp") if name.startswith("smartbackup-")]

"""A copy of an SQLite database is of one moment, whoever writes to it meanwhile."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
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
            target = tmp_path / f"copy{number}"
            made = copy_sqlite(folder_fd, b"shop.sqlite", str(target), 30)
            assert (made.damage, made.size_bytes) == (None, target.stat().st_size)
            assert is_sqlite(target.read_bytes()[:16])
            with sqlite3.connect(target) as copy:
                counters = copy.execute(
                    "SELECT n, count(*) FROM a GROUP BY n UNION SELECT n, count(*) FROM b GROUP BY n"
                )
                assert [rows for _, rows in counters.fetchall()] == [3_000]
            assert not (tmp_path / f"copy{number}-wal").exists()
    finally:
        writer.kill()
        writer.wait()
        os.close(folder_fd)


@pytest.mark.parametrize("content", [b"", b"not a database at all " * 100])
def test_what_is_no_database_is_said_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.db").write_bytes(content)
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    if content:
        with pytest.raises(DumpFailed, match=r"notes\.db cannot be copied"):
            copy_sqlite(folder_fd, b"notes.db", str(tmp_path / "copy"))
        assert not (tmp_path / "copy").exists()
    else:
        assert copy_sqlite(folder_fd, b"notes.db", str(tmp_path / "copy")).damage is None
    os.close(folder_fd)


def test_a_file_that_is_there_already_is_never_written_to(tmp_path: Path) -> None:
    make(tmp_path / "shop.sqlite", "DELETE")
    (tmp_path / "copy").write_text("mine")
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(FileExistsError):
        copy_sqlite(folder_fd, b"shop.sqlite", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "mine"
    os.close(folder_fd)


def test_a_locked_database_is_given_up_in_time(tmp_path: Path) -> None:
    make(tmp_path / "shop.sqlite", "DELETE")
    holder = sqlite3.connect(tmp_path / "shop.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(DumpFailed, match=r"shop\.sqlite"):
        copy_sqlite(folder_fd, b"shop.sqlite", str(tmp_path / "copy"), 0.5)
    assert not (tmp_path / "copy").exists()
    os.close(folder_fd)
    holder.close()

"""The sample sites are real sites, with something of everything that a restore has to bring back."""

from __future__ import annotations

import datetime
import sqlite3
import time
from pathlib import Path

from installer.samples import make_samples
from installer.trees import tree_of


def test_three_sites_with_links_modes_and_a_database(tmp_path: Path) -> None:
    assert make_samples(tmp_path / "domains", tmp_path / "logs") == (
        "notes.example.test",
        "php.example.test",
        "static.example.test",
    )
    tree = tree_of(tmp_path / "domains" / "static.example.test")
    assert tree["downloads/Preise für Gärten.txt".encode()].size_bytes == 109
    assert tree[b"downloads/prices.txt"].same_as == "downloads/Preise für Gärten.txt".encode()
    assert (tree[b"downloads/latest.txt"].kind, tree[b"downloads/latest.txt"].content) == ("link", "prices.txt")
    assert (tree[b"publish.sh"].mode, tree[b"index.html"].mode, tree[b"guestbook"].kind) == (0o755, 0o644, "folder")
    assert len([entry for entry in tree.values() if entry.mtime_ns < time.time_ns() - 86_400_000_000_000]) >= 12

    database = sqlite3.connect(tmp_path / "domains" / "notes.example.test" / "data" / "notes.sqlite")
    assert database.execute("SELECT count(*), sum(done) FROM notes").fetchone() == (230, 195)
    database.close()


def test_the_access_logs_have_visits_of_yesterday_in_the_combined_format(tmp_path: Path) -> None:
    make_samples(tmp_path / "domains", tmp_path / "logs")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    lines = (tmp_path / "logs" / "php.example.test.access.log").read_text().splitlines()
    assert len([line for line in lines if f"[{yesterday:%d/%b/%Y}:" in line]) == 450
    assert lines[0].startswith("192.0.2.1 - - [")
    assert lines[0].endswith(
        '"GET / HTTP/1.1" 200 1800 "-" "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"'
    )


def test_a_site_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "domains" / "php.example.test").mkdir(parents=True)
    make_samples(tmp_path / "domains", tmp_path / "logs")
    before = tree_of(tmp_path)
    make_samples(tmp_path / "domains", tmp_path / "logs")
    assert tree_of(tmp_path) == before
    assert list((tmp_path / "domains" / "php.example.test").iterdir()) == []

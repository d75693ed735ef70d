"""A corpus of hostile archives (T16, T25): each is refused or stays inside its folder, in bounded time and memory."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.engine.trees import look, write
from tests.support import hostile_indexed, hostile_tars

SECONDS_EACH = 10.0
RSS_MB = 300
FORGED = hostile_indexed.forged_points()
TARS = hostile_tars.refused_files(b"/outside")


def test_the_corpus_has_at_least_120_archives() -> None:
    assert len(TARS) + len(FORGED) >= 120
    assert (len(TARS), len(FORGED)) == (135, 65)


@pytest.fixture
def outside(open_folder: Path) -> Path:
    """Give a folder with secrets that every archive of the corpus tries to reach or to change."""
    place = open_folder / "outside"
    write(place / "secret", b"CANARY of somebody else")
    write(place / "config" / "wp-config.php", b"<?php // CANARY", mode=0o600)
    return place


def attack(kind: str, work: Path, outside: Path) -> dict[str, dict[str, object]]:
    """Unpack the whole corpus of a kind in one child process and return its report by archive."""
    work.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile_child", kind, work, outside],
        capture_output=True,
        check=False,
        timeout=280,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert run.returncode == 0, run.stderr.decode()[-3_000:]
    report: dict[str, dict[str, object]] = json.loads(run.stdout)
    return report


@pytest.mark.parametrize(("kind", "names"), [("tars", list(TARS)), ("forged", list(FORGED))])
def test_each_hostile_archive_is_refused_and_reaches_nothing(
    open_folder: Path, outside: Path, kind: str, names: list[str]
) -> None:
    before = look(outside)
    began = time.monotonic()
    report = attack(kind, open_folder / "work", outside)
    rss = report.pop("peak memory")
    assert sorted(report) == sorted(names)
    assert {name: row["outcome"] for name, row in report.items() if row["outcome"] != "refused"} == {}
    assert all(str(row["reason"]) for row in report.values())
    assert {name: row["seconds"] for name, row in report.items() if float(str(row["seconds"])) > SECONDS_EACH} == {}
    assert int(str(rss["mb"])) < RSS_MB
    for name in report:
        if name.startswith(("bomb: a gigabyte out", "bomb: zeros")):
            assert "200 times its size" in str(report[name]["reason"])
    assert look(outside) == before
    assert time.monotonic() - began < 280


def test_odd_archives_stay_inside_and_bring_no_rights(open_folder: Path, outside: Path) -> None:
    before, work = look(outside), open_folder / "work"
    report = attack("contained", work, outside)
    report.pop("peak memory")
    assert {name: row for name, row in report.items() if row["outcome"] != "contained"} == {}
    assert len(report) == 19
    assert look(outside) == before
    for folder, _, files in os.walk(work):
        for name in files:
            facts = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(facts.st_mode):
                assert not facts.st_mode & (stat.S_ISUID | stat.S_ISGID), name
                assert os.listxattr(os.path.join(folder, name)) == []
                assert facts.st_uid == os.geteuid()
    assert (work / "names by GNU" / "target" / ("n/" * 60) / "a").read_bytes() == b"content"

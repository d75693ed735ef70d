"""`installer/quickstart` as a newcomer runs it: everything at once, twice without a change, stopped without a trace."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installer.processes import Program
from installer.setup import prepare
from installer.trees import tree_of
from tests.support.http import Browser
from tests.support.servers import wait_for

TOP = Path(__file__).resolve().parents[2]
QUICKSTART = TOP / "installer" / "quickstart"


class Newcomer:
    """Somebody with a checkout and a state folder of an odd name."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "it's a state"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SMARTBACKUP_")}
        self.environment = {**kept, "SMARTBACKUP_STATE_DIR": str(self.state)}

    def quickstart(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(QUICKSTART), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def quickstart_twice_at_once(self) -> tuple[str, str]:
        """Return what both said, the one that started the programs first."""
        both = [
            subprocess.Popen(
                [str(QUICKSTART)], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=200)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        first, other = sorted(said, key=lambda words: words.startswith("Smart Backup is already"))
        return first, other

    def setup(self) -> Any:
        return prepare(self.state, self.environment)

    def pids(self) -> tuple[int | None, int | None]:
        return Program("worker", self.state).find_pid(), Program("web", self.state).find_pid()

    def points(self) -> dict[str, list[str]]:
        setup = self.setup()
        names = ("notes.example.test", "php.example.test", "static.example.test")
        return {name: [row["point"] for row in setup.smartbackup("points", name)] for name in names}


@pytest.fixture
def newcomer(open_folder: Path) -> Iterator[Newcomer]:
    someone = Newcomer(open_folder)
    yield someone
    someone.quickstart("--stop")


def test_one_command_shows_protected_domains_and_a_second_one_changes_nothing(newcomer: Newcomer) -> None:
    # An impatient newcomer calls it twice at once; one call does it, the other finds it done.
    first, other = newcomer.quickstart_twice_at_once()
    assert [words.splitlines()[0] for words in (first, other)] == [
        "Smart Backup is running.",
        "Smart Backup is already running.",
    ]
    address, password = _shown(first, "Address"), _shown(first, "Password")
    assert (_shown(other, "Address"), _shown(other, "Password")) == (address, password)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    assert len(password) >= 12
    assert Browser(address).get("/").status == 200
    assert stat.S_IMODE((newcomer.state / "admin-password").stat().st_mode) == 0o600
    assert stat.S_IMODE(newcomer.state.stat().st_mode) in (0o700, 0o710), "0710 where the pages have their own account"
    pids, points = newcomer.pids(), newcomer.points()
    assert None not in pids
    assert {name: len(rows) for name, rows in points.items()} == {
        "notes.example.test": 1,
        "php.example.test": 1,
        "static.example.test": 1,
    }

    sites = tree_of(newcomer.state / "domains")
    second = newcomer.quickstart()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Smart Backup is already running." in second.stdout
    assert (_shown(second.stdout, "Address"), _shown(second.stdout, "Password")) == (address, password)
    assert newcomer.pids() == pids
    assert newcomer.points() == points
    assert tree_of(newcomer.state / "domains") == sites

    listing = subprocess.run(
        ["/bin/sh", "-c", _shown(second.stdout, "Commands").replace("--help", "domains list")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "php.example.test" in listing.stdout

    stopped = subprocess.run(
        ["/bin/sh", "-c", _shown(second.stdout, "Stop")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped: web, worker.\n")
    assert newcomer.pids() == (None, None)
    assert newcomer.quickstart("--stop").stdout == "Nothing was running.\n"


def test_the_check_passes_and_leaves_neither_a_process_nor_a_file(open_folder: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMARTBACKUP_")}
    run = subprocess.run(
        [str(QUICKSTART), "--check"],
        env={**kept, "TMPDIR": str(open_folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Everything works" in run.stdout
    assert len(re.findall(r": verified", run.stdout)) == 3
    assert len(re.findall(r"restored and equal", run.stdout)) == 1
    assert list(open_folder.iterdir()) == []
    wait_for(
        lambda: _processes_that_name(open_folder) == [], "the processes of the check to be gone", timeout_seconds=10
    )


def test_folders_that_are_no_domains_get_the_samples_beside_them(open_folder: Path) -> None:
    (open_folder / "sites" / "html").mkdir(parents=True)
    setup = prepare(_state(open_folder), {"SMARTBACKUP_DOMAINS_ROOT": str(open_folder / "sites")})
    assert sorted(path.name for path in setup.domains_root.iterdir()) == [
        "html",
        "notes.example.test",
        "php.example.test",
        "static.example.test",
    ]


def test_a_domain_that_is_there_keeps_the_samples_away(open_folder: Path) -> None:
    (open_folder / "sites" / "shop.example.com").mkdir(parents=True)
    setup = prepare(_state(open_folder), {"SMARTBACKUP_DOMAINS_ROOT": str(open_folder / "sites")})
    assert [path.name for path in setup.domains_root.iterdir()] == ["shop.example.com"]


def test_the_choices_of_the_first_time_are_kept(open_folder: Path) -> None:
    state = _state(open_folder)
    environment = {
        "SMARTBACKUP_BACKUP_ROOT": str(open_folder / 'a "store" ☂'),
        "SMARTBACKUP_DOMAINS_ROOT": str(open_folder / "sites"),
        "SMARTBACKUP_WEB_ADDRESS": "127.0.0.1:18470",
    }
    first = prepare(state, environment)
    again = prepare(state, {})
    assert (again.backup_root, again.web_address) == (open_folder / 'a "store" ☂', "127.0.0.1:18470")
    assert (again.domains_root, again.environment) == (
        first.domains_root,
        {"SMARTBACKUP_CONFIG": str(state / "config.toml")},
    )
    assert tomllib.loads((state / "config.toml").read_text())["state_dir"] == str(state)


def _state(folder: Path) -> Path:
    (folder / "state").mkdir(mode=0o700)
    return folder / "state"


def _shown(words: str, name: str) -> str:
    found = re.search(rf"^  {name} +(.+)$", words, re.MULTILINE)
    assert found is not None, words
    return found.group(1)


def _processes_that_name(folder: Path) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for fact in ("environ", "cmdline"):
            try:
                content = Path(f"/proc/{pid}/{fact}").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in content:
                found.append(f"{pid} {fact}")
    return found

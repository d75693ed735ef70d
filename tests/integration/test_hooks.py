"""What a panel calls when a domain comes or goes: one small event file, at once, and never an error for the panel."""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from smartbackup_panel.adapters.panels.directory import DirectoryPanel
from smartbackup_panel.core.ports import PanelEvent
from smartbackup_panel.settings import load_settings
from tests.support.sites import ALICE

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
CANARY = "canary-7f3a"
HOSTILE = [
    "",
    "x;id",
    "-rf",
    "--version",
    "$(touch canary-7f3a)",
    "`touch canary-7f3a`",
    "'; touch canary-7f3a #",
    '"; touch canary-7f3a; "',
    "a\ntouch canary-7f3a",
    "a b.example.test",
    "../../etc/cron.d/canary-7f3a",
    "/etc/passwd",
    "..",
    ".hidden",
    "a..b",
    "example.test.",
    "*",
    "SHOP.example.test",
    "bücher.example.test",
    "%n%s%s.test",
    'a","event":"domain.deleted',
    "a\\nb",
    "a\x1b[31mb",
    "a" * 254,
    "a" * 10_000,
    "a" * 200_000,
]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "events"
    folder.mkdir(mode=0o700)
    return folder


def call(hook: str, *names: str | bytes, spool: Path, folder: Path = HOOKS, **options: Any) -> int:
    environment = {"PATH": "/usr/bin:/bin", "SMARTBACKUP_SPOOL_DIR": str(spool)}
    command = [str(folder / hook), *names]
    return subprocess.run(command, env=environment, cwd=spool.parent, timeout=20, check=False, **options).returncode


def events(spool: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_bytes()) for file in sorted(spool.glob("*.json"))]


def test_a_hook_writes_one_event_that_the_panel_adapter_understands(spool: Path) -> None:
    began = int(time.time())
    assert call("domain-created", "shop.example.test", spool=spool) == 0
    assert call("domain-deleted", "xn--bcher-kva.example", spool=spool) == 0

    first, second = events(spool)
    assert began <= int(str(first.pop("ts"))) <= time.time()
    assert first == {
        "v": 1,
        "panel": "directory",
        "event": "domain.created",
        "name": "shop.example.test",
        "uid": os.getuid(),
    }
    panel = DirectoryPanel("/nonexistent", "")
    assert panel.parse_event(first) == [PanelEvent("domain.created", "shop.example.test")]
    assert panel.parse_event(second) == [PanelEvent("domain.deleted", "xn--bcher-kva.example")]
    assert [file.stat().st_mode & 0o777 for file in spool.iterdir()] == [0o600, 0o600]


@pytest.mark.parametrize("hook", ["domain-created", "domain-deleted"])
def test_a_hook_returns_within_50_milliseconds(hook: str, spool: Path) -> None:
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        assert call(hook, "shop.example.test", spool=spool) == 0
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.050
    assert len(events(spool)) == 20


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_refused_and_nothing_runs(name: str, spool: Path) -> None:
    for hook in ("domain-created", "domain-deleted"):
        if len(name) < 131_072:
            assert call(hook, name, spool=spool) == 0
        else:
            # The kernel refuses longer arguments itself; the hook is never started.
            with pytest.raises(OSError, match="Argument list too long"):
                call(hook, name, spool=spool)
    assert events(spool) == []
    assert {file.name for file in spool.iterdir()} <= {"refused"}
    assert [path.name for path in spool.parent.iterdir()] == ["events"]
    for line in (spool / "refused").read_text().splitlines() if (spool / "refused").exists() else []:
        assert line.split(" ", 1)[1].startswith(
            ("domain.created refused: a name of", "domain.deleted refused: a name of")
        )
        assert CANARY not in line


@pytest.mark.parametrize("name", [b"\xff\xfe.test", b"a\x01b", "é".encode("latin-1")])
def test_a_name_of_odd_bytes_is_refused(name: bytes, spool: Path) -> None:
    assert call("domain-created", name, spool=spool) == 0
    assert events(spool) == []


def test_no_name_at_all_is_refused(spool: Path) -> None:
    assert call("domain-created", spool=spool) == 0
    assert events(spool) == []


def test_the_log_of_refusals_is_bounded_and_never_follows_a_link(spool: Path, tmp_path: Path) -> None:
    (spool / "refused").write_bytes(b"x" * 65_537)
    assert call("domain-created", "x;id", spool=spool) == 0
    assert (spool / "refused").stat().st_size == 65_537

    (spool / "refused").unlink()
    (tmp_path / "target").write_bytes(b"")
    (spool / "refused").symlink_to(tmp_path / "target")
    assert call("domain-created", "x;id", spool=spool) == 0
    assert (tmp_path / "target").read_bytes() == b""


def test_500_calls_at_once_make_500_events(spool: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "SMARTBACKUP_SPOOL_DIR": str(spool)}
    running = [
        subprocess.Popen([str(HOOKS / "domain-created"), f"site{number}.example.test"], env=environment)
        for number in range(500)
    ]
    assert {process.wait(60) for process in running} == {0}
    assert sorted(str(event["name"]) for event in events(spool)) == sorted(
        f"site{number}.example.test" for number in range(500)
    )
    assert [file.name for file in spool.iterdir() if file.suffix != ".json"] == []


def test_delete_then_create_keeps_its_order(spool: Path) -> None:
    for hook in ("domain-deleted", "domain-created"):
        assert call(hook, "shop.example.test", spool=spool) == 0
    assert [event["event"] for event in events(spool)] == ["domain.deleted", "domain.created"]


def test_a_caller_that_waits_for_the_hooks_output_sees_its_end_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "hooks"
    folder.mkdir()
    shutil.copy(HOOKS / "domain-created", folder)
    (folder / "spool-event").write_text("#!/bin/sh\nsleep 3\n")
    (folder / "spool-event").chmod(0o755)
    reader, writer = os.pipe()
    command = f'exec "$0" shop.example.test 7>&{writer} {writer}>&-'
    process = subprocess.Popen(
        ["/bin/bash", "-c", command, str(folder / "domain-created")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[writer],
    )
    os.close(writer)
    began = time.monotonic()
    assert process.stdout is not None
    assert process.stdout.read() == b""
    assert os.read(reader, 1) == b""
    assert process.poll() is None
    assert time.monotonic() - began < 2
    assert process.wait(20) == 0
    os.close(reader)
    process.stdout.close()


def test_secrets_of_the_panel_never_reach_the_spool(spool: Path) -> None:
    environment = {"SMARTBACKUP_SPOOL_DIR": str(spool), "VIRTUALSERVER_PASS": CANARY, "PATH": "/usr/bin:/bin"}
    command = [str(HOOKS / "domain-created"), "shop.example.test", CANARY]
    subprocess.run(command, env=environment, input=CANARY.encode(), timeout=20, check=True)
    assert len(events(spool)) == 1
    assert CANARY not in "".join(file.read_text() + file.name for file in spool.iterdir())


def test_a_missing_spool_is_made_and_where_it_cannot_be_that_is_no_error(tmp_path: Path) -> None:
    assert call("domain-created", "shop.example.test", spool=tmp_path / "new") == 0
    assert len(list((tmp_path / "new").iterdir())) == 1
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_bytes(b"")
    assert call("domain-created", "shop.example.test", spool=tmp_path / "file") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]


@pytest.mark.parametrize("restore_signals", [False, True], ids=["write fails", "writer is killed"])
def test_a_full_spool_is_no_error_and_leaves_no_half_event(restore_signals: bool, spool: Path) -> None:
    def nothing_can_be_written() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    # Python ignores SIGXFSZ; restored, the write kills the writer, else it fails as on a full disk.
    options: dict[str, Any] = {"preexec_fn": nothing_can_be_written, "restore_signals": restore_signals}
    assert call("domain-created", "shop.example.test", spool=spool, **options) == 0
    assert events(spool) == []
    if not restore_signals:
        assert list(spool.iterdir()) == []


def test_another_user_can_neither_write_an_event_nor_make_the_panel_fail(open_folder: Path) -> None:
    spool = open_folder / "events"
    spool.mkdir(mode=0o700)
    hooks = open_folder / "hooks"
    shutil.copytree(HOOKS, hooks)
    mine = os.getuid() == ALICE.uid
    spool.chmod(0o500 if mine else 0o700)
    user: dict[str, Any] = {} if mine else {"user": ALICE.uid, "group": ALICE.gid, "extra_groups": []}
    assert call("domain-created", "shop.example.test", spool=spool, folder=hooks, **user) == 0
    assert list(spool.iterdir()) == []


def test_an_installed_hook_finds_its_spool_in_the_file_beside_it(tmp_path: Path, spool: Path) -> None:
    shutil.copytree(HOOKS, tmp_path / "installed")
    (tmp_path / "installed" / "spool").write_text(f"{spool}\n")
    (tmp_path / "panel").mkdir()
    (tmp_path / "panel" / "after-create").symlink_to(tmp_path / "installed" / "domain-created")
    for command in ([str(tmp_path / "panel" / "after-create")], ["/bin/sh", "domain-deleted"]):
        subprocess.run([*command, "shop.example.test"], cwd=tmp_path / "installed", env={}, timeout=20, check=True)
    assert [event["event"] for event in events(spool)] == ["domain.created", "domain.deleted"]


def test_the_hook_of_a_checkout_reaches_the_quickstarts_spool(tmp_path: Path) -> None:
    shutil.copytree(HOOKS, tmp_path / "checkout" / "hooks")
    spool = tmp_path / "checkout" / ".state" / "events"
    spool.mkdir(parents=True)
    subprocess.run(["hooks/domain-created", "a.test"], cwd=tmp_path / "checkout", env={}, timeout=20, check=True)
    assert [event["name"] for event in events(spool)] == ["a.test"]


def test_a_state_folder_elsewhere_moves_the_spool(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    environment = {"SMARTBACKUP_STATE_DIR": str(tmp_path)}
    assert load_settings(environment=environment).spool_dir == str(tmp_path / "events")
    subprocess.run([str(HOOKS / "domain-created"), "a.test"], env=environment, timeout=20, check=True)
    assert len(events(tmp_path / "events")) == 1


def test_the_hooks_last_resort_is_the_default_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartbackup_panel.settings.DEFAULT_CONFIG", "/nonexistent/config.toml")
    default = load_settings(environment={}).spool_dir
    assert default == "/var/lib/smartbackup/events"
    assert f"spool={default}\n" in (HOOKS / "spool-event").read_text()

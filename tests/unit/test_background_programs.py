"""A background program is started once, and a pid file is never believed blindly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from installer.processes import Program

SLEEP = ["/bin/sleep", "60"]


def test_a_program_is_started_once_found_again_and_stopped(tmp_path: Path) -> None:
    program = Program("worker", tmp_path)
    assert program.find_pid() is None
    assert program.start(SLEEP, {}) is True
    pid = program.find_pid()
    assert pid is not None
    assert program.start(SLEEP, {}) is False
    assert Program("worker", tmp_path).find_pid() == pid
    assert program.stop() is True
    assert not Path(f"/proc/{pid}").exists()
    assert program.stop() is False
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log"]


def test_a_pid_that_another_process_has_now_is_neither_believed_nor_killed(tmp_path: Path) -> None:
    program = Program("worker", tmp_path)
    program.start(SLEEP, {})
    recorded = json.loads(program.pid_file.read_text())
    program.stop()
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # the kernel tells starts apart by its clock's ticks
    stranger = subprocess.Popen(SLEEP)
    program.pid_file.write_text(json.dumps({**recorded, "pid": stranger.pid}))
    assert program.find_pid() is None
    assert program.stop() is False
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_damaged_pid_file_counts_as_not_running(tmp_path: Path) -> None:
    for content in (
        "",
        "12",
        "[1]",
        '{"pid": "1"}',
        '{"pid": 1, "started": null}',
        '{"pid": 999999999, "started": null}',
    ):
        (tmp_path / "web.pid").write_text(content)
        assert Program("web", tmp_path).find_pid() is None, content


def test_a_program_that_was_killed_is_not_running(tmp_path: Path) -> None:
    program = Program("web", tmp_path)
    program.start(SLEEP, {})
    pid = program.find_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while program.find_pid() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert program.find_pid() is None
    assert program.start(SLEEP, {}) is True
    program.stop()


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    program = Program("web", tmp_path)
    program.start(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], {"PATH": "/bin"})
    while program.last_words() != "ready\n":
        time.sleep(0.01)
    assert program.stop(patience_seconds=0.3) is True
    assert program.find_pid() is None

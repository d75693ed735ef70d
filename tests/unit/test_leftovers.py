"""What `tests/run` promises: no process that a test started is left behind, however it detached itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def run_under_the_watch(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.leftovers", "/bin/sh", "-c", script]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=False)


def test_a_command_that_leaves_nothing_keeps_its_exit_code() -> None:
    assert run_under_the_watch("sleep 0.2 & exit 0").returncode == 0
    assert run_under_the_watch("exit 3").returncode == 3
    assert run_under_the_watch("kill -TERM $$").returncode == 143


@pytest.mark.parametrize("start", ["sleep 77 &", "setsid sleep 77 &", "(setsid env -i sh -c 'sleep 77 & sleep 77' &)"])
def test_a_process_left_behind_is_named_killed_and_fails_the_run(start: str, tmp_path: Path) -> None:
    run = run_under_the_watch(f"cd {tmp_path}\n{start}\nexit 0")
    assert run.returncode == 1
    assert "sleep 77" in run.stderr
    assert [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _works_in(pid, tmp_path)] == []


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False

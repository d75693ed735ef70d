"""The agent that waits for the next job: it is taken once, replaced, and goes with its worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORKER = """
import os, time
USUAL = os.getpriority(os.PRIO_PROCESS, 0)
from smartbackup_panel.engine import children

children.keep_agent_ready()
while children._spare._child is None:
    time.sleep(0.01)
spare = children._spare._child.process.pid
os.setpriority(os.PRIO_PROCESS, 0, 7)
gentle = children.take_agent()
print(gentle.process.pid != spare, os.getpriority(os.PRIO_PROCESS, gentle.process.pid))
gentle.discard()
os.setpriority(os.PRIO_PROCESS, 0, USUAL)
first = children.take_agent()
while children._spare._child is None:
    time.sleep(0.01)
second = children.take_agent()
print(first.process.pid == spare, second.process.pid != spare, os.getpriority(os.PRIO_PROCESS, spare) == USUAL)
first.discard()
while children._spare._child is None:
    time.sleep(0.01)
children._spare._child.process.kill()
children._spare._child.process.wait()
third = children.take_agent()
print(third.process.poll())
while children._spare._child is None:
    time.sleep(0.01)
print(second.process.pid, third.process.pid, children._spare._child.process.pid)
"""


def test_a_spare_is_taken_once_never_by_a_gentle_job_and_goes_with_its_worker() -> None:
    run = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=60, check=True)
    gentle, taken, third, pids = run.stdout.splitlines()
    assert gentle == "True 7"
    assert taken == "True True True"
    assert third == "None"
    deadline = time.monotonic() + 10
    left = pids.split()
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _runs(pid)]
        time.sleep(0.05)
    assert left == []


COMMAND = """
import time
from pathlib import Path
from smartbackup_panel.adapters.locks import try_lock
from smartbackup_panel.engine import children
from smartbackup_panel.services.early_agent import begin_early
from smartbackup_panel.settings import load_settings

settings = load_settings(None)
held = try_lock(settings.worker_lock) if {worker_runs} else None
begin_early(settings)
for _ in range(100):
    if children._spare._child is not None:
        break
    time.sleep(0.02)
spare = children._spare._child
taken = [children.take_agent() for _ in range(2)]
time.sleep(0.5)
print(spare is not None, spare is taken[0], children._spare._child is None, Path(settings.state_dir).exists())
for child in taken:
    child.discard()
"""


@pytest.mark.parametrize("worker_runs", [True, False])
def test_a_command_begins_one_agent_where_no_worker_runs(tmp_path: Path, worker_runs: bool) -> None:
    environment = {**os.environ, "SMARTBACKUP_STATE_DIR": str(tmp_path / "state")}
    run = subprocess.run(
        [sys.executable, "-c", COMMAND.format(worker_runs=worker_runs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    is_begun = str(not worker_runs)
    assert run.stdout.split() == [is_begun, is_begun, "True", str(worker_runs)]


def _runs(pid: str) -> bool:
    """Whether a process is there and is not merely waiting to be reaped."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")

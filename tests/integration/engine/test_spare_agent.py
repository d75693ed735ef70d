"""The agent that waits for the next job: it is taken once, replaced, and goes with its worker."""

from __future__ import annotations

import subprocess
import sys
import time

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


def _runs(pid: str) -> bool:
    """Whether a process is there and is not merely waiting to be reaped."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    return bool(status.strip()) and not status.startswith("Z")

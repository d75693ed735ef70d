"""Runs a command and fails when a process that it started, however deep, is still there afterwards.

    python -m tests.support.leftovers COMMAND [ARGUMENT...]

The runner becomes the reaper of its descendants: a daemon that detached itself is handed to it by the kernel, so that
none escapes by a session, an environment or a parent of its own. Leftovers are named, killed by their id, and make the exit code 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
# What was told to stop may need a moment for its last words.
_PATIENCE_SECONDS = 2.0


def main(command: list[str]) -> int:
    """Run `command`; return its exit code, 1 when it was 0 but something was left running."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # An interrupt lets pytest take down what its fixtures set up.
        signal.signal(number, lambda *_: child.send_signal(signal.SIGINT))
    exit_code = _wait(child)
    left = _leftovers()
    for pid, what in left:
        print(f"left running: {pid} {what}", file=sys.stderr)
    _end(pid for pid, _ in left)
    return exit_code or (1 if left else 0)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Return the exit code of the command, as a shell counts it; orphans that end meanwhile are reaped."""
    while True:
        try:
            pid, status = os.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the command as well, which ends by itself
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            child.returncode = code
            return code if code >= 0 else 128 - code


def _leftovers() -> list[tuple[int, str]]:
    """Return pid and command line of every descendant that is still there after a short patience."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        _reap()
        left = [(pid, _command_line(pid)) for pid in _descendants(os.getpid())]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _end(pids: Iterable[int]) -> None:
    """Kill these processes and whatever their deaths hand over to us, until there is nothing left."""
    waiting = list(pids)
    while waiting:
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        _reap()
        waiting = _descendants(os.getpid())


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _descendants(ancestor: int) -> list[int]:
    """Return the pids of all running descendants, parents before their children."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # pid (name, which may hold anything) state ppid ...
            children.setdefault(int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]), []).append(
                int(stat.parent.name)
            )
    found = list(children.get(ancestor, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except FileNotFoundError:
        return "(just ended)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

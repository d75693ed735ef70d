"""Programs that go on in the background: started once, found again by their pid file, stopped by their process id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """One background program. `folder` holds its pid file NAME.pid and its output NAME.log."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def find_pid(self) -> int | None:
        """Return the process id, None when it does not run.

        A pid file is believed only when a process of that id was started at the very moment that the file names:
        ids are used again, and a machine may have been started anew.
        """
        try:
            recorded = json.loads(self.pid_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        pid = recorded.get("pid") if isinstance(recorded, dict) else None
        if not isinstance(pid, int):
            return None
        started = _start_of(pid)
        return pid if started is not None and started == recorded.get("started") else None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Start it in a session of its own unless it runs already; return whether it was started."""
        if self.find_pid() is not None:
            return False
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        part = self.pid_file.with_suffix(".part")
        part.write_text(json.dumps({"pid": process.pid, "started": _start_of(process.pid)}), "utf-8")
        part.rename(self.pid_file)
        return True

    def stop(self, *, patience_seconds: float = _STOP_SECONDS) -> bool:
        """Ask it to end, insist when it does not; return whether it was running. The pid file is gone afterwards."""
        pid = self.find_pid()
        if pid is not None:
            _signal(pid, signal.SIGTERM)
            if not self._is_gone_within(patience_seconds):
                _signal(pid, signal.SIGKILL)
                self._is_gone_within(_STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_bytes()[-3000:].decode(errors="replace") if self.log.exists() else ""

    def _is_gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.find_pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


def _start_of(pid: int) -> str | None:
    """Return when a running process was started (boot and clock ticks since it), None when there is none or it is a zombie."""
    try:
        # pid (name, which may hold anything) state ppid … ; the start is field 22.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        _reap(pid)
        return None
    return f"{boot} {fields[19]}"


def _reap(pid: int) -> None:
    """Take note of the end of a process that we ourselves started; others belong to their own parents."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

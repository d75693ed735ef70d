"""Programs that run beside a test: started in a session of their own, watched, stopped by their process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT_SECONDS = 20.0


@dataclass
class Server:
    """A running program. Its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_bytes()[-4000:].decode(errors="replace")

    def stop(self) -> int:
        """Ask it to end (SIGTERM), insist after 20 seconds, end what it left in its session; return its exit code."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._end_session()
        return self.process.wait()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; what it had started is left to itself."""
        self.process.kill()
        self.process.wait()

    def _end_session(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def start_server(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    ready: Callable[[], bool] | None = None,
    timeout_seconds: float = 30.0,
    folder: Path | None = None,
    user: tuple[int, int] | None = None,
) -> Server:
    """Start a program and return it once `ready()` says so.

    `user` is the uid and gid that it becomes (only as root). RuntimeError with its last words when it ends or is late.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
        )
    server = Server(name, process, log)
    try:
        wait_for(
            lambda: not server.is_running or ready is None or ready(),
            f"{name} to answer",
            timeout_seconds=timeout_seconds,
        )
    except TimeoutError as late:
        server.stop()
        raise RuntimeError(f"{name} did not come up in time: {server.last_words()}") from late
    if not server.is_running:
        raise RuntimeError(f"{name} exited {process.returncode}: {server.last_words()}")
    return server


def wait_for(
    condition: Callable[[], bool], what: str, *, timeout_seconds: float = 30.0, every_seconds: float = 0.05
) -> None:
    """Return as soon as `condition()` is true; TimeoutError that names `what` otherwise."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:.0f} seconds for {what}")
        time.sleep(every_seconds)


def answers_http(url: str) -> bool:
    """Return whether a web server gives any answer at `url`, an error page included."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False


def free_port() -> int:
    """Return a port on 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

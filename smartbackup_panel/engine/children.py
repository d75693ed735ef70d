"""Children of the worker: started by exec, spoken to over one socket, and one of them kept ready before it is needed.

Starting Python and importing what an agent needs takes longer than an increment without changes. A spare has done that
and waits for its greeting; it knows nothing yet, serves one job like any other, and ends when the worker does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import NamedTuple

AGENT_MODULE = "smartbackup_panel.engine.agent_main"
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # The C library gives the memory of each frame back to the kernel, and faults it in again page by page, unless told so.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_TOP_PAD_": str(4 << 20),
}
_SO_SNDBUFFORCE = 32
_AHEAD_BYTES = 4 << 20
"""How much a child may have sent and not be read yet: it works on while the worker writes a few frames."""


class Child(NamedTuple):
    """A child process, the socket to it, and the unlinked file that holds what it said on its error output."""

    process: subprocess.Popen[bytes]
    end: socket.socket
    last_words_fd: int

    def discard(self) -> None:
        """End a child that was never used."""
        self.process.kill()
        self.process.wait()
        self.end.close()
        os.close(self.last_words_fd)


def start_child(module: str, last_words_fd: int | None = None) -> Child:
    """Start a module as a child with a fixed environment; without `last_words_fd` it gets a file of its own."""
    words_fd = os.memfd_create("agent-stderr", os.MFD_CLOEXEC) if last_words_fd is None else last_words_fd
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(PermissionError):
        theirs.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _AHEAD_BYTES)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-m", module, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words_fd,
            pass_fds=[theirs.fileno()],
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    return Child(process, mine, words_fd)


class _Spare:
    """The agent that waits for the next job. Its thread lives as long as the process: the kernel ends a child with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_replaced = False
        self._is_wanted = threading.Event()
        self._child: Child | None = None
        self._thread: threading.Thread | None = None

    def begin(self, *, is_replaced: bool) -> None:
        """Have a spare; one that is taken `is_replaced` from now on, or the last one."""
        with self._lock:
            self._is_replaced = is_replaced
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="spare agent", daemon=True)
                self._thread.start()
        self._is_wanted.set()

    def take(self) -> Child | None:
        """Return the spare, or None; the next one, if there is to be one, is started meanwhile.

        A thread that gives way to others gets none: only a child that it starts itself has all of its priorities.
        """
        with self._lock:
            child = self._child
            if child is None or (child.process.poll() is None and not _has_our_priority(child)):
                return None
            self._child = None
        if self._is_replaced:
            self._is_wanted.set()
        if child.process.poll() is not None:
            child.discard()
            return None
        return child

    def _serve(self) -> None:
        while True:
            self._is_wanted.wait()
            self._is_wanted.clear()
            if self._child is None:
                child = start_child(AGENT_MODULE)
                with self._lock:
                    self._child = child


def _has_our_priority(child: Child) -> bool:
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    try:
        return os.getpriority(os.PRIO_PROCESS, child.process.pid) == ours
    except ProcessLookupError:
        return False


_spare = _Spare()


def keep_agent_ready() -> None:
    """Keep one agent ready in this process from now on, for whichever job comes next."""
    _spare.begin(is_replaced=True)


def begin_agent() -> None:
    """Begin one agent for the first job of this process; further jobs start their own."""
    _spare.begin(is_replaced=False)


def take_agent() -> Child:
    """Return an agent that waits for its greeting: the spare, or a new one."""
    return _spare.take() or start_child(AGENT_MODULE)

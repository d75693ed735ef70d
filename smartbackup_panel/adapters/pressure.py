"""The kernel's pressure figures (/proc/pressure) and the priority of threads."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from smartbackup_panel.core.surroundings import Pressure

GENTLE_NICE = 19
_WINDOW_SECONDS = 2.0
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13
_IOPRIO_NONE = 0
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


class KernelPressure:
    """Pressure by PSI; priorities by setpriority and ioprio_set, which on Linux act on one thread and what it starts."""

    def __init__(self, folder: str = "/proc/pressure", counters: str = "/proc/stat") -> None:
        self.folder = folder
        self._usage = ProcessorUsage(counters)
        self._session = SessionWeight()

    def read(self) -> Pressure:
        """Return the pressure now; zeros where the kernel has no PSI.

        CPU pressure counts no higher than what work of usual priority uses: our own gentle jobs wait for each other and
        for everybody, which the kernel calls pressure too, and would hold each other back on an idle server.
        """
        return Pressure(cpu=min(self._some("cpu"), self._usage.percent()), io=self._some("io"))

    @contextmanager
    def working(self, *, gently: bool) -> Iterator[None]:
        """Run a job on this thread; gently, it and its future children have nice 19 and the idle disk priority.

        Without the right to take that back (not root) the thread stays gentle.
        """
        with self._session.working(gently=gently):
            if not gently:
                yield
                return
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE_NICE)
            _set_disk_priority(_IOPRIO_IDLE)
            try:
                yield
            finally:
                with suppress(PermissionError):
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 0)
                    _set_disk_priority(_IOPRIO_NONE)

    def _some(self, name: str) -> float:
        try:
            with open(f"{self.folder}/{name}", encoding="ascii") as file:
                fields = dict(pair.split("=") for pair in file.readline().split()[1:])
            return float(fields["avg10"])
        except (OSError, KeyError, ValueError):
            return 0.0


class SessionWeight:
    """The weight of this process's session, which kernels with autogroups compare before they look at threads.

    It is the lowest while all jobs are gentle: else a worker that writes for four gentle jobs weighs as much as the whole web
    server. Only where this process leads its session, and is root, who can take it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = {True: 0, False: 0}
        self._niceness = 0

    @contextmanager
    def working(self, *, gently: bool) -> Iterator[None]:
        """Count a job."""
        self._count(gently, 1)
        try:
            yield
        finally:
            self._count(gently, -1)

    def _count(self, gently: bool, change: int) -> None:
        with self._lock:
            self._running[gently] += change
            niceness = GENTLE_NICE if self._running[True] and not self._running[False] else 0
            if niceness != self._niceness and os.geteuid() == 0 and os.getsid(0) == os.getpid():
                self._niceness = niceness
                weigh_session(os.getpid(), niceness)


def weigh_session(pid: int, niceness: int) -> None:
    """Weigh the session that a process leads, where the kernel has autogroups and lets this process."""
    with suppress(OSError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as session:
        session.write(str(niceness))


class ProcessorUsage:
    """How much of all processors work of usual priority used lately. Safe between threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._percent = 0.0
        self._read_at = time.monotonic()
        self._before = self._counters()

    def percent(self) -> float:
        """Return percent of the time since the reading before, which is `_WINDOW_SECONDS` old or older."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= _WINDOW_SECONDS:
                counters = self._counters()
                self._percent = _usual_percent([new - old for new, old in zip(counters, self._before, strict=False)])
                self._before, self._read_at = counters, now
            return self._percent

    def _counters(self) -> list[int]:
        try:
            with open(self._path, encoding="ascii") as file:
                return [int(field) for field in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return []


def _usual_percent(spent: list[int]) -> float:
    """Return the share of time that was not idle and not spent niced, from /proc/stat's first eight columns.

    The kernel does not say whose system time it was: it is divided as the time in programs was.
    """
    if len(spent) < 8 or sum(spent) <= 0:
        return 0.0
    user, nice, system, _idle, _waiting, irq, softirq, _steal = spent
    usual = user / (user + nice) if user + nice else 1.0
    return 100.0 * (user + system * usual + irq + softirq) / sum(spent)


def _set_disk_priority(value: int) -> None:
    """Set the calling thread's disk priority; schedulers without priorities ignore it, other processors have no number here."""
    number = _SYS_IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, value)

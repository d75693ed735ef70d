"""The kernel's pressure figures (/proc/pressure) and the priority of threads."""

from __future__ import annotations

import ctypes
import os
import platform
import threading

from smartbackup_panel.core.surroundings import Pressure

GENTLE_NICE = 15
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_BEST_EFFORT_LOWEST = (2 << 13) | 7
_IOPRIO_NONE = 0
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


class KernelPressure:
    """Pressure by PSI; priorities by setpriority and ioprio_set, which on Linux act on one thread and what it starts."""

    def __init__(self, folder: str = "/proc/pressure") -> None:
        self.folder = folder

    def read(self) -> Pressure:
        """Return the pressure now; zeros where the kernel has no PSI."""
        return Pressure(cpu=self._some("cpu"), io=self._some("io"))

    def yield_to_others(self) -> None:
        """Give this thread and its future children nice 15 and the lowest best-effort disk priority."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE_NICE)
        _set_disk_priority(_IOPRIO_BEST_EFFORT_LOWEST)

    def work_as_usual(self) -> None:
        """Take `yield_to_others` back; without the right to (not root) the thread stays gentle."""
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 0)
        except PermissionError:
            return
        _set_disk_priority(_IOPRIO_NONE)

    def _some(self, name: str) -> float:
        try:
            with open(f"{self.folder}/{name}", encoding="ascii") as file:
                fields = dict(pair.split("=") for pair in file.readline().split()[1:])
            return float(fields["avg10"])
        except (OSError, KeyError, ValueError):
            return 0.0


def _set_disk_priority(value: int) -> None:
    """Set the calling thread's disk priority; schedulers without priorities ignore it, other processors have no number here."""
    number = _SYS_IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, value)

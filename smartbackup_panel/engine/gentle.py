"""Low priority said in every way that the kernel listens to; a process that starts niced calls it before anything else."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from smartbackup_panel.engine import syscalls

_TRIES = 3
_SLICE_NS = 100_000
"""The shortest that the kernel takes: how long a visitor's request may wait for a processor that works for a backup."""
_AGAIN_AFTER_SECONDS = 0.11


def follow_niceness() -> None:
    """Make a niced process gentle in full, its disk priority too; one of usual priority stays as it is.

    An agent has a session of its own, and kernels with CONFIG_SCHED_AUTOGROUP weigh sessions against each other first:
    without a niceness of the session four agents at nice 19 take four times the share of the web server's one session.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness <= 0:
        return
    _nice_session(niceness)
    with suppress(OSError):
        syscalls.set_batch_slice(niceness, _SLICE_NS)
        syscalls.use_idle_disk_priority()


def _nice_session(niceness: int) -> None:
    """Weigh the whole session as its one process is; the kernel lets only root do so more than ten times a second."""
    for _ in range(_TRIES):
        try:
            with open("/proc/self/autogroup", "w", encoding="ascii") as group:
                group.write(str(niceness))
        except BlockingIOError:
            time.sleep(_AGAIN_AFTER_SECONDS)
        except OSError:
            return
        else:
            return

"""Locks between processes: files under flock, which the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import DomainBusy


def try_lock(path: str) -> int | None:
    """Return a descriptor that holds the lock until it is closed, or None when another process holds it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with on_failure(partial(os.close, fd)):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return fd


@contextmanager
def if_free(path: str) -> Iterator[bool]:
    """Hold the lock where no other process has it, and say whether it is held; nobody is waited for."""
    fd = try_lock(path)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def is_locked(path: str) -> bool:
    """Return whether another process holds the lock now; who may not look (the pages' account) is told that one does."""
    try:
        fd = try_lock(path)
    except PermissionError:
        return True
    if fd is None:
        return True
    os.close(fd)
    return False


@contextmanager
def held(path: str, timeout_seconds: float, while_waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of `path`; raises DomainBusy when another process keeps it for longer than `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while (fd := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise DomainBusy("another job of this domain is running")
        if while_waiting is not None:
            while_waiting()
        time.sleep(0.1)
    try:
        yield
    finally:
        os.close(fd)

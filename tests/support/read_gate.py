"""Something happens to a file exactly when another process is about to read it (fanotify, which needs root).

The kernel holds each read of the file until the gate has been asked: what it does then lies between two steps of the
reader, without any waiting by the clock.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CLASS_CONTENT, _CLOEXEC = 0x04, 0x01
_MARK_ADD, _AT_FDCWD = 0x01, -100
_ACCESS_PERM, _ALLOW = 0x20000, 1
_EVENT = struct.Struct("=IBBHqii")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def gate(path: Path, before_read: Callable[[int], None]) -> Iterator[None]:
    """Call `before_read(number)`, counted from 0, before each read of the file by other processes.

    It may write to the file and rename or remove it, and may not read it.
    """
    fd = _libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY | os.O_LARGEFILE)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "fanotify_init")
    mask = ctypes.c_uint64(_ACCESS_PERM)
    if _libc.fanotify_mark(fd, _MARK_ADD, mask, _AT_FDCWD, os.fsencode(path)) != 0:
        raise OSError(ctypes.get_errno(), "fanotify_mark")
    end, stop = os.pipe()
    thread = threading.Thread(target=_serve, args=(fd, end, before_read))
    thread.start()
    try:
        yield
    finally:
        os.close(stop)
        thread.join()
        os.close(end)
        os.close(fd)


def _serve(fd: int, end: int, before_read: Callable[[int], None]) -> None:
    number = 0
    while True:
        ready, _, _ = select.select([fd, end], [], [])
        if fd not in ready:
            return
        content = os.read(fd, _EVENT.size)
        file_fd = _EVENT.unpack(content)[5]
        try:
            with suppress(FileNotFoundError):
                before_read(number)
        finally:
            os.write(fd, struct.pack("=iI", file_fd, _ALLOW))
            os.close(file_fd)
        number += 1

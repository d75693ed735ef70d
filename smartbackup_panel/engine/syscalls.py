"""System calls that Python's os module lacks, by ctypes. Every function raises OSError with its errno."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from functools import lru_cache

_libc = ctypes.CDLL(None, use_errno=True)

SYS_OPENAT2 = 437
"""One number on every architecture (calls from 424 on are numbered alike)."""

_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

_SYNC_FILE_RANGE_WRITE = 2
_AT_EMPTY_PATH = 0x1000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def _failed(path: bytes | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


_openat2 = ctypes.CFUNCTYPE(
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
    use_errno=True,
)(("syscall", _libc))


@lru_cache(maxsize=32)
def _open_how(flags: int, mode: int, resolve: int) -> bytes:
    """Return struct open_how."""
    return struct.pack("<QQQ", flags | os.O_CLOEXEC, mode, resolve)


def openat2(dir_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """Return a descriptor opened by openat2(2) under the RESOLVE_* rules."""
    how = _open_how(flags, mode, resolve)
    fd: int = _openat2(SYS_OPENAT2, dir_fd, path, how, len(how))
    if fd < 0:
        raise _failed(path)
    return fd


def renameat2(old_dir_fd: int, old: bytes, new_dir_fd: int, new: bytes, flags: int) -> None:
    """Rename by renameat2(2) with RENAME_EXCHANGE or RENAME_NOREPLACE."""
    arguments = (ctypes.c_int(old_dir_fd), old, ctypes.c_int(new_dir_fd), new, ctypes.c_uint(flags))
    if _libc.renameat2(*arguments) != 0:
        raise _failed(old)


def begin_writeback(fd: int, start: int, length: int) -> None:
    """Ask for a range of a file to be written to disk, without waiting: a hint; what goes wrong is fsync(2)'s to raise."""
    _libc.sync_file_range(ctypes.c_int(fd), ctypes.c_int64(start), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


def syncfs(fd: int) -> None:
    """Flush the whole filesystem that `fd` lies on, and raise what its writeback met."""
    if _libc.syncfs(ctypes.c_int(fd)) != 0:
        raise _failed()


def chown_fd(fd: int, uid: int, gid: int) -> None:
    """Change the owner of what a descriptor has open, also one opened with O_PATH (a symlink itself)."""
    if _libc.fchownat(ctypes.c_int(fd), b"", ctypes.c_uint(uid), ctypes.c_uint(gid), ctypes.c_int(_AT_EMPTY_PATH)) != 0:
        raise _failed()


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _failed()


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def forbid_new_privileges() -> None:
    """No set-uid program or file capability takes effect in this process any more."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_tracing() -> None:
    """Keep other processes of the same user from reading this one's memory and descriptors."""
    _prctl(_PR_SET_DUMPABLE, 0)


def keep_capabilities_as_another_user() -> None:
    """Let capabilities outlive the coming setresuid(2); `keep_capabilities` has to choose from them after it."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def bound_capabilities(kept: frozenset[int]) -> None:
    """Take every capability but `kept` out of the bounding set, so that no program gains it again."""
    for number in range(64):
        if number not in kept:
            try:
                _prctl(_PR_CAPBSET_DROP, number)
            except OSError:
                break


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop every capability but `kept` (numbers of capabilities(7)) from this process, for good."""
    mask = sum(1 << number for number in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("<IIIIII", low, low, 0, high, high, 0)
    if _libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(sets)) != 0:
        raise _failed()


def set_batch_slice(niceness: int, slice_ns: int) -> None:
    """Make this thread, and those it starts, a batch job that others may interrupt after `slice_ns` (0.1 to 100 ms).

    Kernels before 6.12 take their own slice; on processors without a number here nothing changes.
    """
    number = _SYS_SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    attributes = struct.pack("<IIQiIQQQ", 48, os.SCHED_BATCH, 0, niceness, 0, slice_ns, 0, 0)
    if _libc.syscall(ctypes.c_long(number), ctypes.c_int(0), ctypes.c_char_p(attributes), ctypes.c_uint(0)) != 0:
        raise _failed()


def use_idle_disk_priority() -> None:
    """Let this thread, and those it starts, use the disk when nobody else does, where its scheduler knows priorities."""
    number = _SYS_IOPRIO_SET.get(platform.machine())
    if number is not None and _libc.syscall(ctypes.c_long(number), _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE) != 0:
        raise _failed()

"""Exchanging the live folder and the staged one: one rename, told apart by inode numbers before and after a crash."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from smartbackup_panel.core.errors import RestoreFailed, UnsafePath
from smartbackup_panel.core.tree import Staging, SwapState
from smartbackup_panel.engine import syscalls
from smartbackup_panel.engine.fsafe import closing, open_beneath

_JOB = re.compile(r"[0-9a-f]{8}")
_MAX_SHORT = 60
_HINT = "Nothing was changed. Restore into another folder, or have the administrator look at the domain's folder."


def staging_name(job_id: str, folder_name: str) -> str:
    """Return the name of a job's staging folder. Raises RestoreFailed for a job id without 8 hexadecimal digits."""
    digits = job_id.replace("-", "").lower()[:8]
    if not _JOB.fullmatch(digits):
        raise RestoreFailed(f"{job_id!r} does not begin with eight hexadecimal digits")
    return f".smartbackup-{digits}-{folder_name[:_MAX_SHORT]}"


def split_root(root: str) -> tuple[str, str]:
    """Return the parent folder and the name of a domain's folder. Raises UnsafePath for the root of everything."""
    parent, _, name = root.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise UnsafePath(f"{root!r} cannot be a domain's folder")
    return parent or "/", name


def find_live_inode(parent_fd: int, name: str) -> int | None:
    """Return the inode number of the domain's folder, None when it is missing.

    Raises UnsafePath when it is a link or no folder, RestoreFailed when it is a mount point.
    """
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafePath(f"{name} is a link or a file, not a folder", hint="A domain's folder has to be a real folder.")
    try:
        os.close(open_beneath(parent_fd, os.fsencode(name), os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise RestoreFailed(f"{name} is a mount point and cannot be exchanged", hint=_HINT) from error
        raise
    return found.st_ino


def make_folder(parent_fd: int, name: str) -> int:
    """Make the staging folder (0700) and return its inode number. Raises RestoreFailed."""
    with _failure_as_restore_failed(name):
        os.mkdir(name, 0o700, dir_fd=parent_fd)
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_ino


def find_state(parent_fd: int, staging: Staging) -> SwapState:
    """Return which tree has the domain's name."""
    live, other = _inode(parent_fd, staging.name), _inode(parent_fd, staging.staging_name)
    if live == staging.staged_inode:
        return SwapState.NEW
    if live == staging.live_inode and other == staging.staged_inode:
        return SwapState.OLD
    return SwapState.OLD if live is not None and live == staging.live_inode else SwapState.GONE


def exchange(parent_fd: int, staging: Staging, *, is_back: bool) -> None:
    """Make the staged tree (or, back, the old one) the live one; when it is already, nothing happens.

    Raises RestoreFailed when neither state is found, or the rename is refused.
    """
    state = find_state(parent_fd, staging)
    if state is (SwapState.OLD if is_back else SwapState.NEW):
        return
    if state is SwapState.GONE or not _has_counterpart(parent_fd, staging, state):
        raise RestoreFailed(
            f"{staging.name} or {staging.staging_name} is not what this restore left there",
            hint="Look into the folder that holds the domain; nothing was changed by this step.",
        )
    live, other = os.fsencode(staging.name), os.fsencode(staging.staging_name)
    with _failure_as_restore_failed(staging.name):
        if staging.live_inode is not None:
            syscalls.renameat2(parent_fd, live, parent_fd, other, syscalls.RENAME_EXCHANGE)
        elif is_back:
            syscalls.renameat2(parent_fd, live, parent_fd, other, syscalls.RENAME_NOREPLACE)
        else:
            syscalls.renameat2(parent_fd, other, parent_fd, live, syscalls.RENAME_NOREPLACE)
    _flush_names(parent_fd, staging.name if staging.live_inode is not None or not is_back else staging.staging_name)


def _flush_names(parent_fd: int, name: str) -> None:
    """Make a rename durable; where the parent cannot be listed (mode 0711), by way of the folder `name` in it."""
    try:
        os.fsync(parent_fd)
    except OSError as error:
        if error.errno != errno.EBADF:  # what fsync says of an O_PATH descriptor
            raise
        with closing(open_own(parent_fd, name)) as fd:
            syscalls.syncfs(fd)


def _has_counterpart(parent_fd: int, staging: Staging, state: SwapState) -> bool:
    """Whether the tree that is not live lies under the staging name, as it has to."""
    other = _inode(parent_fd, staging.staging_name)
    return other == (staging.staged_inode if state is SwapState.OLD else staging.live_inode)


def is_removable(parent_fd: int, staging: Staging) -> bool:
    """Whether something of this restore lies under the staging name. Raises RestoreFailed for something else.

    Of a staging folder that was only announced, nothing but an empty folder can be this restore's.
    """
    found = _inode(parent_fd, staging.staging_name)
    if found is None:
        return False
    if not staging.staged_inode:
        return _is_empty_folder(parent_fd, staging.staging_name)
    if found not in (staging.staged_inode, staging.live_inode):
        raise RestoreFailed(f"{staging.staging_name} is not what this restore left there")
    return True


def _is_empty_folder(parent_fd: int, name: str) -> bool:
    try:
        with closing(open_own(parent_fd, name)) as fd:
            return not os.listdir(fd)
    except (RestoreFailed, PermissionError):
        return False


def _inode(parent_fd: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


@contextmanager
def _failure_as_restore_failed(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        known = (errno.EXDEV, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.EEXIST)
        if error.errno in known:
            raise RestoreFailed(f"{name} cannot be exchanged: {error.strerror}", hint=_HINT) from error
        raise


def open_own(parent_fd: int, name: str) -> int:
    """Return a descriptor of a staging (or target) folder: a real folder, through no link. Raises RestoreFailed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent_fd)
    except OSError as error:
        raise RestoreFailed(f"{name} cannot be opened: {error.strerror}", hint=_HINT) from error


def open_staging(parent_fd: int, staging: Staging) -> int:
    """Return a descriptor of the folder that `prepare_staging` made, and of no other. Raises RestoreFailed."""
    fd = open_own(parent_fd, staging.staging_name)
    if os.fstat(fd).st_ino != staging.staged_inode:
        os.close(fd)
        raise RestoreFailed(f"{staging.staging_name} is not what this restore left there")
    return fd


def is_for_worker(parent_fd: int) -> bool:
    """Whether the worker itself may change names in this folder: root only where nobody else can, others always."""
    if os.geteuid() != 0:
        return True
    found = os.fstat(parent_fd)
    return found.st_uid == 0 and not found.st_mode & 0o022

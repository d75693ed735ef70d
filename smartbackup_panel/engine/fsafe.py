"""The only door to a tenant's tree: every access is relative to a directory descriptor and follows no link.

A tenant controls its tree and its timing. Checking a path and then opening it loses that race; opening below a
descriptor with openat2 and asking the descriptor afterwards does not.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import ExitStack, suppress

from smartbackup_panel.core.errors import MissingDocumentRoot, UnsafePath
from smartbackup_panel.engine import syscalls

MAX_DEPTH = 4_000
"""Folders below one another that are followed; each costs a descriptor while it is open."""

MAX_NAME_BYTES = 255
_NAME = rb"(?!\.\.?(?:/|\Z))[^/\0]{1,%d}" % MAX_NAME_BYTES
_REAL_NAMES = re.compile(_NAME + rb"(?:/" + _NAME + rb")*")
MAX_PATH_BYTES = 256 * 1024
_RESOLVE = (
    syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV
)
_RACE_ATTEMPTS = 64
_LINKS_FOLLOWED = 40
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _kernel_has_openat2() -> bool:
    try:
        os.close(syscalls.openat2(-100, b"/", os.O_PATH | os.O_DIRECTORY, 0, 0))
    except OSError:
        return False
    return True


_has_openat2 = _kernel_has_openat2()


def is_safe_path(path: bytes) -> bool:
    """Whether `path` is relative and made of real names only (b"" is the folder itself)."""
    if len(path) > MAX_PATH_BYTES or path.count(b"/") >= MAX_DEPTH:
        return False
    return path == b"" or _REAL_NAMES.fullmatch(path) is not None


def open_beneath(dir_fd: int, path: bytes, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Return a descriptor for `path` below `dir_fd`, through no link and onto no other filesystem.

    Raises OSError: ELOOP for a link anywhere, EXDEV for a mount point or a way out, and what open(2) says.
    """
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | (0 if flags & os.O_PATH else os.O_NONBLOCK)
    if path == b".":
        return os.open(path, flags, dir_fd=dir_fd)
    if not _has_openat2:
        return _open_by_components(dir_fd, path, flags, mode)
    for _ in range(_RACE_ATTEMPTS):
        try:
            return syscalls.openat2(dir_fd, path, flags, mode, _RESOLVE)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def _open_by_components(dir_fd: int, path: bytes, flags: int, mode: int) -> int:
    """Do what openat2 does on kernels (or in sandboxes) without it, one name at a time."""
    if not is_safe_path(path) or not path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    device = os.fstat(dir_fd).st_dev
    *folders, last = path.split(b"/")
    current = dir_fd
    with ExitStack() as opened:
        for name, how in [(folder, _DIRECTORY) for folder in folders] + [(last, flags)]:
            following = os.open(name, how, mode, dir_fd=current)
            opened.close()
            opened.callback(os.close, following)
            current = following
            if os.fstat(current).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        opened.pop_all()
    return current


def open_folder(path: str, *, may_be_link: bool = False, may_be_unreadable: bool = False) -> int:
    """Return a descriptor of the folder at an absolute path; with `may_be_unreadable` an O_PATH one where it cannot be listed.

    On the way only links of root are followed (an administrator's, as in /var/www -> /srv/www); the last name may be
    one only with `may_be_link`. Raises MissingDocumentRoot, UnsafePath, and OSError (EACCES).
    """
    if not path.startswith("/"):
        raise UnsafePath(f"{path!r} is not an absolute path")
    waiting = [name for name in os.fsencode(path).split(b"/") if name not in (b"", b".")]
    links = 0
    current = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while waiting:
            name, is_last = waiting.pop(0), not waiting
            following = _step(current, name, path)
            kind = os.fstat(following).st_mode
            if not stat.S_ISLNK(kind):
                os.close(current)
                current = following
                if not stat.S_ISDIR(kind):
                    raise MissingDocumentRoot(f"{path} is not a folder")
                continue
            target = _link_of_root(following, path, is_refused=is_last and not may_be_link)
            links += 1
            if links > _LINKS_FOLLOWED:
                raise UnsafePath(f"{path} leads through too many links")
            waiting = [part for part in target.split(b"/") if part not in (b"", b".")] + waiting
            if target.startswith(b"/"):
                os.close(current)
                current = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
        except PermissionError:
            if not may_be_unreadable:
                raise
            return os.dup(current)
    finally:
        os.close(current)


def _step(dir_fd: int, name: bytes, whole: str) -> int:
    try:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError as error:
        raise MissingDocumentRoot(f"{whole} does not exist") from error
    except NotADirectoryError as error:
        raise MissingDocumentRoot(f"{whole} is not a folder") from error


def _link_of_root(link_fd: int, whole: str, *, is_refused: bool) -> bytes:
    """Return the text of an administrator's link and close its descriptor."""
    try:
        if is_refused:
            raise UnsafePath(f"{whole} is a link", hint="A domain's folder has to be a real folder, not a link.")
        if os.fstat(link_fd).st_uid != 0:
            raise UnsafePath(f"{whole} leads through a link that does not belong to root")
        return os.readlink(b"", dir_fd=link_fd)
    finally:
        os.close(link_fd)


class DirectoryCursor:
    """Keeps the folders on the way to the last path open, so that paths in order cost one open a new folder.

    Descriptors that it hands out stay its own; they are good until the next call.
    """

    def __init__(self, root_fd: int, flags: int = os.O_PATH | os.O_DIRECTORY) -> None:
        self._root_fd = root_fd
        self._flags = flags
        self._names: list[bytes] = []
        self._fds: list[int] = []

    def __enter__(self) -> DirectoryCursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every folder but the root."""
        self._keep(0)

    def _keep(self, depth: int) -> None:
        while len(self._fds) > depth:
            os.close(self._fds.pop())
            self._names.pop()

    def folder(self, path: bytes) -> int:
        """Return the descriptor of the folder `path` (b"" is the root). Raises OSError as `open_beneath`."""
        names = path.split(b"/") if path else []
        common = 0
        for mine, wanted in zip(self._names, names, strict=False):
            if mine != wanted:
                break
            common += 1
        self._keep(common)
        for name in names[common:]:
            parent = self._fds[-1] if self._fds else self._root_fd
            self._fds.append(open_beneath(parent, name, self._flags))
            self._names.append(name)
        return self._fds[-1] if self._fds else self._root_fd

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """Return the descriptor of the folder that holds `path`, and the last name of `path`."""
        folder, _, name = path.rpartition(b"/")
        return self.folder(folder), name

    def open(self, path: bytes, flags: int = os.O_RDONLY) -> int:
        """Return a new descriptor of `path`, which the caller closes."""
        parent_fd, name = self.parent(path)
        return open_beneath(parent_fd, name, flags)


class closing:  # noqa: N801  # called like contextlib's; a class costs a third of a generator, for each file
    """Close a descriptor at the end."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def create_file(dir_fd: int, name: bytes) -> int:
    """Return a descriptor of a new file (0600) called `name`; never an existing one. Raises FileExistsError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=dir_fd)


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Remove `name` with all below it; what is gone already is fine. Follows no link, leaves mount points alone.

    Raises OSError (ENOTEMPTY, EACCES, EXDEV) when something cannot be removed.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        empty_folder(dir_fd, name)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=dir_fd)


def empty_folder(dir_fd: int, name: bytes) -> None:
    """Remove everything below the folder `name`, however deep (what is too deep is moved up first). Raises OSError."""
    stack = [_open_for_removal(dir_fd, name)]
    names: list[list[bytes]] = [_names(stack[0])]
    path: list[bytes] = [name]
    moved = 0
    try:
        while stack:
            if not names[-1]:
                os.close(stack.pop())
                names.pop()
                gone = path.pop()
                if stack:
                    os.rmdir(gone, dir_fd=stack[-1])
                continue
            child = names[-1].pop()
            if _unlinked(stack[-1], child):
                continue
            if len(stack) >= MAX_DEPTH:
                moved += 1
                names[0].append(b".smartbackup-deep-%d" % moved)
                os.rename(child, names[0][-1], src_dir_fd=stack[-1], dst_dir_fd=stack[0])
                continue
            stack.append(_open_for_removal(stack[-1], child))
            names.append(_names(stack[-1]))
            path.append(child)
    finally:
        for fd in stack:
            os.close(fd)


def _names(dir_fd: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(dir_fd)]


def _unlinked(dir_fd: int, name: bytes) -> bool:
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _open_for_removal(dir_fd: int, name: bytes) -> int:
    """Open a folder so that its entries can be removed, even when its mode forbids that to its owner."""
    try:
        fd = open_beneath(dir_fd, name, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        with closing(open_beneath(dir_fd, name, os.O_PATH | os.O_DIRECTORY)) as path_fd:
            os.chmod(f"/proc/self/fd/{path_fd}", 0o700)
        fd = open_beneath(dir_fd, name, os.O_RDONLY | os.O_DIRECTORY)
    if os.fstat(fd).st_mode & 0o300 != 0o300:
        try:
            os.fchmod(fd, 0o700)
        except PermissionError:
            os.close(fd)
            raise
    return fd

"""What a walk leaves out by rule, and how much that is."""

from __future__ import annotations

import os
import stat

from smartbackup_panel.core.tree import Excluded, ExcludedPath
from smartbackup_panel.engine.exclusions import IsExcluded
from smartbackup_panel.engine.fsafe import open_beneath

MAX_WEIGHED = 200_000
_MAX_PATHS = 200
_MAX_DEPTH = 256
LOCK_FILES = {
    b"vendor": (b"composer.lock",),
    b"node_modules": (b"package-lock.json", b"yarn.lock", b"pnpm-lock.yaml", b"npm-shrinkwrap.json"),
}


class LeftOut:
    """The rules of one walk, and the sums of what they left out. Folders are weighed, up to 200,000 paths in all."""

    def __init__(self, is_excluded: IsExcluded | None = None, *, rebuildable: bool = False) -> None:
        self._is_excluded = is_excluded
        self._rebuildable = rebuildable
        self._first: list[ExcludedPath] = []
        self._paths = self._files = self._bytes = 0
        self._budget = MAX_WEIGHED

    @property
    def spares_files(self) -> bool:
        """Whether no rule can leave a single file out."""
        return self._is_excluded is None

    def why(self, path: bytes, name: bytes, found: os.stat_result, dir_fd: int) -> str | None:
        """Return None for a path that stays; else why it is left out ("" by a pattern), after weighing it."""
        is_folder = stat.S_ISDIR(found.st_mode)
        reason = self._reason(path, name, is_folder, dir_fd)
        if reason is not None:
            files, size_bytes = self._weigh(dir_fd, name) if is_folder else (1, found.st_size)
            self._paths += 1
            self._files += files
            self._bytes += size_bytes
            if len(self._first) < _MAX_PATHS:
                self._first.append(ExcludedPath(path, files, size_bytes))
        return reason

    def restart(self) -> None:
        """Forget the sums: a walk begins."""
        self._first, self._paths, self._files, self._bytes, self._budget = [], 0, 0, 0, MAX_WEIGHED

    def result(self) -> Excluded:
        """Return the sums; they are lower bounds when folders had more paths than are weighed."""
        return Excluded(self._paths, self._files, self._bytes, tuple(self._first), self._budget > 0)

    def _reason(self, path: bytes, name: bytes, is_folder: bool, dir_fd: int) -> str | None:
        if self._is_excluded is not None and self._is_excluded(path, is_folder):
            return ""
        if self._rebuildable and is_folder:
            for lock in LOCK_FILES.get(name, ()):
                if _is_file(dir_fd, lock):
                    return f"made again from {lock.decode()}"
        return None

    def _weigh(self, dir_fd: int, name: bytes) -> tuple[int, int]:
        """Return the files below a folder and their bytes; what cannot be read or lies too deep is not counted."""
        files = size_bytes = 0
        stack = _listed(dir_fd, name)
        try:
            while stack and self._budget > 0:
                fd, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                    continue
                below = names.pop()
                self._budget -= 1
                found = _look(fd, below)
                if found is not None and stat.S_ISREG(found.st_mode):
                    files, size_bytes = files + 1, size_bytes + found.st_size
                elif found is not None and stat.S_ISDIR(found.st_mode) and len(stack) < _MAX_DEPTH:
                    stack += _listed(fd, below)
        finally:
            for fd, _ in stack:
                os.close(fd)
        return files, size_bytes


def _listed(dir_fd: int, name: bytes) -> list[tuple[int, list[bytes]]]:
    """Return an open folder with its names, in a list that is empty where it cannot be read."""
    try:
        fd = open_beneath(dir_fd, name, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return [(fd, [os.fsencode(below) for below in os.listdir(fd)])]
    except OSError:
        os.close(fd)
        return []


def _look(dir_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return None


def _is_file(dir_fd: int, name: bytes) -> bool:
    found = _look(dir_fd, name)
    return found is not None and stat.S_ISREG(found.st_mode)

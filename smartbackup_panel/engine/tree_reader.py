"""Reading a few small files of a tenant's tree, to see which application lives there."""

from __future__ import annotations

import os
import stat

from smartbackup_panel.engine.fsafe import DirectoryCursor, closing, is_safe_path


class TreeReader:
    """Answers None or nothing for whatever is absent, foreign, a link, or too large."""

    def __init__(self, root_fd: int, allowed_uids: frozenset[int]) -> None:
        self._cursor = DirectoryCursor(root_fd)
        self._allowed_uids = allowed_uids

    def __enter__(self) -> TreeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()

    def read(self, rel_path: bytes, limit_bytes: int) -> bytes | None:
        """Return the content of a regular file of at most `limit_bytes`, or None."""
        if not rel_path or not is_safe_path(rel_path):
            return None
        try:
            with closing(self._cursor.open(rel_path)) as fd:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_uid not in self._allowed_uids:
                    return None
                content = os.read(fd, limit_bytes + 1)
        except OSError:
            return None
        return content if len(content) <= limit_bytes else None

    def names(self, rel_path: bytes) -> list[bytes]:
        """Return the names in a folder, sorted; [] when there is no such folder."""
        if not is_safe_path(rel_path):
            return []
        try:
            folder_fd = self._cursor.folder(rel_path)
            with closing(os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder_fd)) as fd:
                return sorted(map(os.fsencode, os.listdir(fd)))
        except OSError:
            return []

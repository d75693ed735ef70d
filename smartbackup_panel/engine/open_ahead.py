"""Files are opened some way ahead, and the kernel reads them while those before are packed: disks like many requests at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from smartbackup_panel.engine.entries import STAT, IndexEntry
from smartbackup_panel.engine.fsafe import DirectoryCursor
from smartbackup_panel.engine.spool import Seen

_MOST_FILES = 64
_MOST_BYTES = 16 * 1024 * 1024
_BEGINNING_BYTES = 1 << 20
Pair = tuple[Seen | None, IndexEntry | None]


class OpenAhead:
    """Opens what `is_wanted` of the pairs that go through `follow`, a few pairs before they come out of it.

    What cannot be opened is not said here: whoever opens it anew hears the reason.
    """

    def __init__(self, root_fd: int, is_wanted: Callable[[Seen, IndexEntry | None], bool]) -> None:
        self._cursor = DirectoryCursor(root_fd)
        self._is_wanted = is_wanted
        self._open: dict[bytes, int] = {}

    def follow(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield the pairs; of the one that came last `take` has the file."""
        waiting: deque[tuple[Pair, int]] = deque()
        ahead_bytes = 0
        for pair in pairs:
            size_bytes = self._begin(*pair)
            waiting.append((pair, size_bytes))
            ahead_bytes += size_bytes
            while waiting and (not self._open or ahead_bytes > _MOST_BYTES or len(waiting) > _MOST_FILES):
                first, size_bytes = waiting.popleft()
                ahead_bytes -= size_bytes
                yield first
                if self._open:
                    self._drop(first)
        for first, _ in waiting:
            yield first
            self._drop(first)

    def _begin(self, seen: Seen | None, before: IndexEntry | None) -> int:
        """Open one file and have its beginning read; return how many bytes."""
        if seen is None or not self._is_wanted(seen, before):
            return 0
        size_bytes = min(int(STAT.unpack(seen.stat)[4]), _BEGINNING_BYTES)
        with suppress(OSError):
            fd = self._open[seen.path] = self._cursor.open(seen.path)
            os.posix_fadvise(fd, 0, size_bytes, os.POSIX_FADV_WILLNEED)
        return size_bytes

    def take(self, path: bytes) -> int | None:
        """Return the descriptor of a file that is open, which is the caller's now."""
        return self._open.pop(path, None)

    def _drop(self, pair: Pair) -> None:
        """Close a file that nobody took."""
        if pair[0] is not None and (fd := self.take(pair[0].path)) is not None:
            os.close(fd)

    def close(self) -> None:
        """Close all that is open."""
        self._cursor.close()
        for fd in self._open.values():
            os.close(fd)
        self._open = {}

"""Frames that follow one another are unpacked on threads before somebody asks for them."""

from __future__ import annotations

import os
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor

from smartbackup_panel.core.errors import ArchiveRefused
from smartbackup_panel.engine.archive_file import ArchiveFile

_FRAMES_AHEAD = 4
Place = tuple[int, int]
"""The number of an archive in its point's table, and of a frame in it."""


class ReadAhead:
    """Unpacks the frames after one that itself followed the one before; whoever jumps about waits for each.

    A frame that is damaged is said when it is asked for, never before.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(2, len(os.sched_getaffinity(0))))
        self._coming: dict[Place, Future[bytes]] = {}
        self._last: Place = (-1, -1)

    def close(self) -> None:
        """Stop the threads; what nobody asked for is dropped."""
        self._forget()
        self._pool.shutdown(wait=True)

    def take(self, file: ArchiveFile, archive: int, number: int) -> bytes:
        """Return the plain bytes of a frame of `file`, which has the number `archive`. Raises what reading it raises."""
        is_next, self._last = self._last == (archive, number - 1), (archive, number)
        if not is_next:
            self._forget()
            return file.read_frame(number)
        coming = self._coming.pop((archive, number), None)
        for following in range(number + 1, min(number + 1 + _FRAMES_AHEAD, file.footer.frame_count)):
            if (archive, following) not in self._coming and not self._ask(file, archive, following):
                break
        return file.read_frame(number) if coming is None else coming.result()

    def _ask(self, file: ArchiveFile, archive: int, number: int) -> bool:
        try:
            record = file.frame_record(number)
        except ArchiveRefused:
            return False
        self._coming[(archive, number)] = self._pool.submit(file.unpack, record)
        return True

    def _forget(self) -> None:
        for future in self._coming.values():
            future.cancel()
        self._coming = {}

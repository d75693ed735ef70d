"""Reads web servers' access logs: the log itself, its rotations (.1, .2 …) and compressed ones (.gz), each line once.

A log is known by its inode and its first line. Rotation by renaming keeps the inode; copying, truncating and compressing
keep the first line: whichever way a log was moved, reading goes on where it ended.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from smartbackup_panel.core.surroundings import LogPosition, LogReading
from smartbackup_panel.core.traffic import LONGEST_LINE, Hours

MOST_ROTATIONS = 400
MOST_BYTES_A_READING = 1024 * 1024 * 1024
CHUNK_LINES_BYTES = 1024 * 1024


class LogFiles:
    """Access logs on this server's disk. Links are not followed, and what is no plain file is passed over."""

    def read_new(self, path: str, positions: Sequence[LogPosition]) -> LogReading:
        """Return the requests since `positions`; a log that cannot be read now keeps its position for the next time."""
        hours = Hours()
        known = {(row.device, row.inode): row for row in positions}
        files = [(name, status) for name in _rotations(path) if (status := _plain_file(name)) is not None]
        moved = {row.first_line: row for row in positions}
        kept: list[LogPosition] = []
        for name, status in files:
            before = known.get((status.st_dev, status.st_ino))
            if before is not None and (before.size_bytes, before.modified_ns) == (status.st_size, status.st_mtime_ns):
                kept.append(before)
            elif (now := _read(name, status, before, moved, hours)) is not None:
                kept.append(now)
        return LogReading(hours, tuple(kept))


def _rotations(path: str) -> Iterator[str]:
    """Yield the log, then its rotations, newest first."""
    folder, name = os.path.split(path)
    try:
        present = os.listdir(folder)
    except OSError:
        return
    if name in present:
        yield path
    numbered = []
    for other in present:
        number = other.removeprefix(f"{name}.").removesuffix(".gz") if other.startswith(f"{name}.") else ""
        if number.isascii() and number.replace("-", "").isdigit():
            # dateext names (log-20260301 is not among these; log.20260301 is) are newest where the number is largest
            numbered.append((int(number.replace("-", "")) if len(number) < 8 else -int(number.replace("-", "")), other))
    yield from (os.path.join(folder, other) for _, other in sorted(numbered)[:MOST_ROTATIONS])


def _plain_file(path: str) -> os.stat_result | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _read(
    path: str, expected: os.stat_result, before: LogPosition | None, moved: dict[str, LogPosition], hours: Hours
) -> LogPosition | None:
    """Count what is new in one file and return how far it is read; None where it cannot be read or holds no whole line."""
    try:
        with _opened(path) as (file, status):
            if (status.st_dev, status.st_ino) != (expected.st_dev, expected.st_ino):
                return before
            first = file.readline(LONGEST_LINE)
            if not first.endswith(b"\n"):
                return None
            digest = hashlib.sha256(first).hexdigest()
            start = before.read_bytes if before is not None and before.first_line == digest else 0
            if not start and digest in moved:
                start = moved[digest].read_bytes
            end = _count(file, start, hours)
    except (OSError, EOFError, zlib.error):
        return before
    return LogPosition(status.st_dev, status.st_ino, digest, end, status.st_size, status.st_mtime_ns)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as raw:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no plain file")
        if path.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(unpacked), status
        else:
            yield raw, status


def _count(file: BinaryIO, start: int, hours: Hours) -> int:
    """Count the whole lines from `start` on and return where the last one ends; a line without its end waits."""
    end = start if _is_long_enough(file, start) else 0
    file.seek(end)
    while end - start < MOST_BYTES_A_READING:
        lines = file.readlines(CHUNK_LINES_BYTES)
        if not lines:
            return end
        for line in lines:
            if not line.endswith(b"\n"):
                return end
            hours.add(line)
            end += len(line)
    return end


def _is_long_enough(file: BinaryIO, start: int) -> bool:
    """Return whether the file still reaches `start`: one that was cut is another log under the old inode."""
    return file.seek(start) == start and (start == 0 or (file.seek(start - 1) == start - 1 and file.read(1) == b"\n"))

"""Reading everything back: every frame, every file's checksum, and the tar stream against the index, byte by byte."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor

from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import VerifySummary
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import MODE_AND_SIZE, IndexEntry, data_size
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE, padding, tar_headers

_FRAMES_AHEAD = 4
Advanced = Callable[[int, int], None]


def verify_point(point: ArchiveSet, *, whole_chain: bool, advanced: Advanced) -> VerifySummary:
    """Read back the point's own archive, or all that it needs. Raises ArchiveDamaged, ArchiveRefused."""
    started = time.monotonic()
    files = point.open_all() if whole_chain else [point.own]
    frame_count = file_count = read_bytes = 0
    for file in files:
        names = [row.name for row in file.read_archives()]
        numbers = range(len(names) - 1)
        with ArchiveSet.from_fds(
            names, [os.dup(point.file(number).fd) for number in numbers] + [os.dup(file.fd)]
        ) as own:
            file_count += _verify_own(own, advanced)
        frame_count += file.footer.frame_count
        read_bytes += file.size_bytes
    return VerifySummary(len(files), frame_count, file_count, read_bytes, time.monotonic() - started)


def _verify_own(point: ArchiveSet, advanced: Advanced) -> int:
    """Compare one archive's tar stream with its index; return how many files' content it holds."""
    point.own.check_tables()
    own_number = len(point.rows) - 1
    stream = TarStream(point.own)
    if not point.own.footer.has_list:
        point.refuse_without_list()
        stream.expect(END_OF_ARCHIVE, None)
        stream.expect_end()
        return 0
    entry_count = file_count = stored_files = original_bytes = skipped_count = 0
    for entry in point.index():
        if entry.reason:
            skipped_count += 1
            continue
        entry_count += 1
        mode, size = MODE_AND_SIZE.unpack_from(entry.stat)
        has_content = stat.S_ISREG(mode) and not entry.link
        if stat.S_ISREG(mode):
            file_count += 1
            original_bytes += size if has_content else 0
        if entry.member != own_number:
            continue
        stream.expect(tar_headers(entry), entry)
        if has_content:
            _verify_content(stream, entry)
            stored_files += 1
        if entry_count % 500 == 0:
            advanced(file_count, stream.read_bytes)
    stream.expect(END_OF_ARCHIVE, None)
    stream.expect_end()
    footer = point.own.footer
    told = (footer.entry_count, footer.file_count, footer.original_bytes, footer.skipped_count)
    if told != (entry_count, file_count, original_bytes, skipped_count):
        raise ArchiveDamaged(f"the index of {point.name} does not add up to its footer")
    return stored_files


def _verify_content(stream: TarStream, entry: IndexEntry) -> None:
    size = data_size(entry)
    if size and stream.place != (entry.frame, entry.offset):
        raise ArchiveDamaged(f"{quoted(entry.path)} is not where the index says")
    if stream.checksum(size) != entry.sha256:
        raise ArchiveDamaged(f"the content of {quoted(entry.path)} is not what was backed up")
    stream.expect(padding(size), entry)


class TarStream:
    """The plain bytes of an archive's frames, unpacked ahead on threads."""

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self._frames = _unpack_all(file)
        self._plain = b""
        self._offset = 0
        self._frame = -1
        self.read_bytes = 0

    @property
    def place(self) -> tuple[int, int]:
        """The frame and offset of the next byte."""
        self._fill()
        return self._frame, self._offset

    def _fill(self) -> bool:
        while self._offset >= len(self._plain):
            following = next(self._frames, None)
            if following is None:
                return False
            self._plain, self._offset = following, 0
            self._frame += 1
        return True

    def _take(self, length: int) -> Iterator[memoryview]:
        """Yield the next `length` bytes in pieces. Raises ArchiveDamaged at the end of the stream."""
        while length > 0:
            if not self._fill():
                raise ArchiveDamaged(f"the tar stream of {self._file.name} ends too early")
            piece = memoryview(self._plain)[self._offset : self._offset + length]
            self._offset += len(piece)
            self.read_bytes += len(piece)
            length -= len(piece)
            yield piece

    def _take_whole(self, length: int) -> memoryview | None:
        """Return the next `length` bytes where the frame at hand has them all: nearly always, and in one step."""
        end = self._offset + length
        if end > len(self._plain):
            return None
        piece = memoryview(self._plain)[self._offset : end]
        self._offset = end
        self.read_bytes += length
        return piece

    def checksum(self, length: int) -> bytes:
        """Take bytes and return their sha256. Raises ArchiveDamaged at the end of the stream."""
        whole = self._take_whole(length)
        if whole is not None:
            return hashlib.sha256(whole).digest()
        digest = hashlib.sha256()
        for piece in self._take(length):
            digest.update(piece)
        return digest.digest()

    def expect(self, wanted: bytes, entry: IndexEntry | None) -> None:
        """Take bytes that have to be `wanted`."""
        whole = self._take_whole(len(wanted))
        if (b"".join(self._take(len(wanted))) if whole is None else whole) != wanted:
            where = f"at {quoted(entry.path)}" if entry is not None else "at its end"
            raise ArchiveDamaged(f"the tar stream of {self._file.name} contradicts its index {where}")

    def expect_end(self) -> None:
        """Raise ArchiveDamaged unless the stream ends here."""
        if self._fill():
            raise ArchiveDamaged(f"the tar stream of {self._file.name} goes on after its end")


def _unpack_all(file: ArchiveFile) -> Iterator[bytes]:
    """Yield every frame's plain bytes in order, a few of them ahead; whoever compares them keeps a core of its own busy."""
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    running: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number in range(file.footer.frame_count):
                running.append(pool.submit(file.unpack, file.frame_record(number)))
                if len(running) > _FRAMES_AHEAD * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

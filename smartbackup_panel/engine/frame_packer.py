"""From a tar stream to frames: what is packed together, compressed on threads, handed on in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from typing import NamedTuple

from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.codecs import Part, get_codec, is_compressible
from smartbackup_panel.engine.layout import LARGE_FRAME_BYTES, PACK_BYTES
from smartbackup_panel.engine.tar_headers import padding

Emit = Callable[[bytes, int, bytes], None]
EmitCopy = Callable[[int, int], None]
_JUDGED_FROM_BYTES = 2 * 1024
"""Smaller files go into whatever frame is under way: judging them costs more than it saves."""


class _Copied(NamedTuple):
    """A frame of an earlier archive in the line of frames."""

    archive: int
    frame: int


class _Mark:
    """A place between two frames that is to be remembered."""


class FramePacker:
    """Collects plain bytes into frames. `emit` gets (packed, plain size, sha256 of packed) in order, on this thread.

    `emit_copy` gets (archive, frame) in the same order where an earlier archive's frame is taken over, and `emit_mark` is
    called where a mark was set.
    """

    def __init__(
        self,
        codec: Codec,
        level: int,
        threads: int,
        emit: Emit,
        emit_copy: EmitCopy | None = None,
        emit_mark: Callable[[], None] | None = None,
    ) -> None:
        self._codec = get_codec(codec)
        self._level = level
        self._emit = emit
        self._emit_copy = emit_copy
        self._emit_mark = emit_mark
        count = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(count)
        self._limit = 2 * count + 8
        self._running: deque[tuple[Future[tuple[bytes, bytes]], int] | _Copied | _Mark] = deque()
        self._waiting: list[bytes] = []
        self._incompressible: set[int] = set()
        self._waiting_bytes = 0
        self._is_stored = False
        self._next_frame = 0

    def close(self) -> None:
        """Stop the threads; what is not handed on yet is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def place(self) -> tuple[int, int]:
        """The frame and the offset inside it of the next byte."""
        return self._next_frame, self._waiting_bytes

    def add_plain(self, content: bytes) -> None:
        """Append bytes that compress: members without content, the end of the stream."""
        if self._is_stored:
            self.end_frame()
        self._append(content)
        if self._waiting_bytes >= PACK_BYTES:
            self.end_frame()

    def _append(self, content: bytes) -> None:
        self._waiting.append(content)
        self._waiting_bytes += len(content)

    def _append_content(self, content: bytes, *, is_stored: bool) -> None:
        if is_stored:
            self._incompressible.add(len(self._waiting))
        self._append(content)

    def add_small(self, header: bytes, content: bytes, filler: bytes) -> tuple[int, int]:
        """Append a whole member; return the place of its content."""
        is_stored = _is_to_be_stored(content)
        if is_stored != self._is_stored:
            self.end_frame()
            self._is_stored = is_stored
        self._append(header)
        place = self.place
        self._append_content(content, is_stored=is_stored)
        self._append(filler)
        if self._waiting_bytes >= PACK_BYTES:
            self.end_frame()
        return place

    def mark(self) -> None:
        """End the frame under way, and have this place remembered when all before it is handed on."""
        self.end_frame()
        self._running.append(_Mark())
        self._hand_on()

    def add_file(
        self, header: bytes, pieces: Iterable[bytes], size_bytes: int, *, is_alone: bool = False
    ) -> tuple[int, int]:
        """Append a file of `size_bytes` that comes in pieces of at most a frame; return the place of its content.

        A large one gets frames of its own, and so does one that `is_alone`.
        """
        if not is_alone and size_bytes <= PACK_BYTES:
            return self.add_small(header, b"".join(pieces), padding(size_bytes))
        place = self.begin_large(header)
        for piece in pieces:
            self.add_large(piece)
        self.end_large(padding(size_bytes))
        return place

    def begin_large(self, header: bytes) -> tuple[int, int]:
        """Begin a file in frames of its own, that `end_large` ends; return the place of its content."""
        self.end_frame()
        self._append(header)
        return self.place

    def add_large(self, content: bytes) -> None:
        """Append at most a frame's worth of a large file."""
        is_stored = _is_to_be_stored(content)
        self._is_stored = self._is_stored or is_stored
        self._append_content(content, is_stored=is_stored)
        if self._waiting_bytes >= LARGE_FRAME_BYTES:
            self.end_frame()

    def end_large(self, filler: bytes) -> None:
        """End a large file."""
        self._append(filler)
        self.end_frame()

    def copy(self, archive: int, frame: int, count: int) -> int:
        """Take over frames of an earlier archive as they are; return the number of the first here."""
        self.end_frame()
        first = self._next_frame
        self._running += [_Copied(archive, number) for number in range(frame, frame + count)]
        self._next_frame += count
        self._hand_on()
        return first

    def end_frame(self) -> None:
        """Hand what is waiting to the threads as one frame."""
        if self._waiting_bytes:
            if self._is_stored:
                raw = self._incompressible
                parts = [Part(content, number not in raw) for number, content in enumerate(self._waiting)]
                future = self._pool.submit(self._store, parts)
            else:
                future = self._pool.submit(self._pack, self._waiting)
            self._running.append((future, self._waiting_bytes))
            self._forget_waiting()
            self._next_frame += 1
        self._is_stored = False
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on copies and marks that are first in line, and packed frames when too many are under way."""
        while self._running and (len(self._running) > self._limit or isinstance(self._running[0], _Copied | _Mark)):
            self._emit_first()

    def drain(self) -> None:
        """End the frame under way and hand on all."""
        self.end_frame()
        while self._running:
            self._emit_first()

    def go_back(self, frame: int) -> None:
        """Number the next frame `frame`, after the frames from there on were drained and forgotten."""
        self._forget_waiting()
        self._is_stored = False
        self._next_frame = frame

    def _forget_waiting(self) -> None:
        self._waiting, self._waiting_bytes, self._incompressible = [], 0, set()

    def _emit_first(self) -> None:
        first = self._running.popleft()
        if isinstance(first, _Mark):
            assert self._emit_mark is not None, "who sets marks says who remembers them"
            self._emit_mark()
            return
        if isinstance(first, _Copied):
            assert self._emit_copy is not None, "who copies frames says where to"
            self._emit_copy(first.archive, first.frame)
            return
        future, plain_bytes = first
        packed, sha256 = future.result()
        self._emit(packed, plain_bytes, sha256)

    def _pack(self, contents: list[bytes]) -> tuple[bytes, bytes]:
        packed = self._codec.pack(b"".join(contents), self._level)
        return packed, hashlib.sha256(packed).digest()

    def _store(self, parts: list[Part]) -> tuple[bytes, bytes]:
        packed = self._codec.store(parts)
        return packed, hashlib.sha256(packed).digest()


def _is_to_be_stored(content: bytes) -> bool:
    return len(content) >= _JUDGED_FROM_BYTES and not is_compressible(content)

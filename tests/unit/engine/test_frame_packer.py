"""What is packed together, what is stored as it is, and that everything is handed on in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine import frame_packer
from smartbackup_panel.engine.codecs import FrameCodec, Part, get_codec
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.layout import LARGE_FRAME_BYTES

HEADER = b"header".ljust(512, b"\0")
MIB = 1 << 20


class Watched:
    """A codec that remembers how much it compressed and how much it kept as it was."""

    def __init__(self, codec: FrameCodec) -> None:
        self._codec = codec
        self.piece_head_bytes, self.piece_tail_bytes = codec.piece_head_bytes, codec.piece_tail_bytes
        self.unpack, self.piece = codec.unpack, codec.piece
        self.compressed_bytes = self.stored_bytes = 0

    def pack(self, plain: bytes, level: int) -> bytes:
        self.compressed_bytes += len(plain)
        return self._codec.pack(plain, level)

    def store(self, parts: Sequence[Part]) -> bytes:
        for part in parts:
            if part.compresses:
                self.compressed_bytes += len(part.content)
            else:
                self.stored_bytes += len(part.content)
        return self._codec.store(parts)


class Taken(list[object]):
    """What a packer handed on: the plain bytes of frames, and words."""

    def __init__(self, codec: FrameCodec) -> None:
        super().__init__()
        self._codec = codec

    def frame(self, packed: bytes, plain_bytes: int, _sha256: bytes) -> None:
        self.append(self._codec.unpack(packed, plain_bytes))


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(get_codec(Codec.GZIP))
    monkeypatch.setattr(frame_packer, "get_codec", lambda _: watched)
    return watched


@pytest.fixture
def taken(codec: Watched) -> Taken:
    return Taken(codec)


@pytest.fixture
def packer(taken: Taken) -> Iterator[FramePacker]:
    packer = FramePacker(Codec.GZIP, 6, 2, taken.frame, lambda *copied: taken.append(copied), said(taken, "mark"))
    yield packer
    packer.close()


def said(taken: Taken, word: str) -> Callable[[], None]:
    return lambda: taken.append(word)


@pytest.mark.parametrize("size", [MIB // 2 + 1, MIB + 1, MIB + 3_000, 5 * MIB // 2])
def test_nothing_of_a_large_file_that_does_not_compress_is_compressed(
    size: int, packer: FramePacker, codec: Watched, taken: Taken
) -> None:
    content = os.urandom(size)
    padding = bytes(-size % 512)
    packer.begin_large(HEADER)
    for start in range(0, size, MIB):
        packer.add_large(content[start : start + MIB])
    packer.end_large(padding)
    packer.drain()
    assert b"".join(frame for frame in taken if isinstance(frame, bytes)) == HEADER + content + padding
    too_small_to_judge = size % MIB if size % MIB < 2_048 else 0
    assert codec.stored_bytes == size - too_small_to_judge
    assert codec.compressed_bytes == len(HEADER) + len(padding) + too_small_to_judge


def test_what_compresses_of_a_large_file_is_compressed(packer: FramePacker, codec: Watched, taken: Taken) -> None:
    packer.begin_large(HEADER)
    pieces = [b"text " * 60_000, os.urandom(400_000), b"more " * 80_000]
    for piece in pieces:
        packer.add_large(piece)
    packer.end_large(b"")
    packer.drain()
    assert taken == [b"".join([HEADER, *pieces])]
    assert (codec.stored_bytes, codec.compressed_bytes) == (400_000, 512 + 700_000)


def test_frames_copies_and_marks_are_handed_on_in_order(packer: FramePacker, taken: Taken) -> None:
    for number in range(40):
        packer.add_small(HEADER, bytes([number]) * 10, b"")
        packer.mark()
        if number % 3 == 0:
            packer.copy(0, number, 2)
        packer.begin_large(HEADER)
        packer.add_large(bytes([number]) * LARGE_FRAME_BYTES)
        packer.end_large(b"")
    packer.drain()
    expected: list[object] = []
    for number in range(40):
        expected += [HEADER + bytes([number]) * 10, "mark"]
        expected += [(0, number), (0, number + 1)] if number % 3 == 0 else []
        expected.append(HEADER + bytes([number]) * LARGE_FRAME_BYTES)
    assert taken == expected


def test_a_mark_does_not_wait_for_what_is_under_way(packer: FramePacker, taken: Taken) -> None:
    """Many large files are packed at once."""
    for _ in range(4):
        packer.mark()
        packer.begin_large(HEADER)
        packer.add_large(os.urandom(LARGE_FRAME_BYTES))
        packer.end_large(b"")
    assert taken == ["mark"]
    packer.drain()
    assert [type(what).__name__ for what in taken] == ["str", "bytes"] * 4

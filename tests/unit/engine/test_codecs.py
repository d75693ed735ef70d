"""Frames pack and unpack exactly, and never inflate past what was recorded."""

from __future__ import annotations

import gzip
import os

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.codecs import Part, get_codec, inflate, is_compressible, squeeze

CONTENTS = [b"a", b"text " * 1_000, os.urandom(70_000), bytes(300_000)]


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_a_frame_comes_back_and_only_with_its_size(codec: Codec, content: bytes) -> None:
    frames = get_codec(codec)
    for packed in (frames.pack(content, 1), frames.pack(content, 6), frames.store([Part(content, compresses=False)])):
        assert frames.unpack(packed, len(content)) == content
        for wrong in (len(content) - 1, len(content) + 1):
            with pytest.raises(ArchiveDamaged):
                frames.unpack(packed, wrong)
        with pytest.raises(ArchiveDamaged):
            frames.unpack(packed + b"x", len(content))
        with pytest.raises(ArchiveDamaged):
            frames.unpack(packed[:-1], len(content))


@pytest.mark.parametrize("level", range(1, 10))
def test_every_gzip_level_is_a_gzip_member(level: int) -> None:
    content = b"the quick brown fox " * 5_000
    packed = get_codec(Codec.GZIP).pack(content, level)
    assert gzip.decompress(packed) == content
    assert len(packed) < len(content) / 20


@pytest.mark.parametrize("codec", Codec)
def test_what_does_not_compress_is_stored(codec: Codec) -> None:
    content = os.urandom(1 << 20)
    assert len(get_codec(codec).pack(content, 6)) < len(content) * 1.001


@pytest.mark.parametrize("codec", Codec)
def test_headers_between_stored_content_are_compressed(codec: Codec) -> None:
    header, photo = b"header " * 200, os.urandom(100_000)
    parts = [Part(header, True), Part(photo, False), Part(header, True), Part(header, True), Part(b"", False)]
    packed = get_codec(codec).store(parts)
    plain = header + photo + header + header
    assert get_codec(codec).unpack(packed, len(plain)) == plain
    assert len(packed) < len(photo) + 500
    if codec is Codec.GZIP:
        assert gzip.decompress(packed) == plain


def test_content_is_judged_by_samples() -> None:
    assert is_compressible(b"short")
    assert is_compressible(b"line of text\n" * 10_000)
    assert not is_compressible(os.urandom(100_000))
    assert is_compressible(b"header" * 10 + os.urandom(40_000) + bytes(60_000))


def test_index_bytes_are_invisible_to_gzip() -> None:
    frames = get_codec(Codec.GZIP)
    assert (
        gzip.decompress(frames.store([Part(b"visible", compresses=False)]) + frames.piece(b"hidden " * 2_000))
        == b"visible"
    )


def test_a_bomb_in_the_index_does_not_go_off() -> None:
    bomb = squeeze(bytes(64 << 20))
    with pytest.raises(ArchiveDamaged):
        inflate(bomb, 1_000)

"""Dumps in frames: plain for zcat, readable by the table, checked to the last byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.databases import DumpPiece
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused, DumpFailed, UnknownPath
from smartbackup_panel.core.tree import Codec, DumpSummary
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.dumps import read_dump, read_sections, verify_dump, write_dump

KEY = b"a key that only the worker holds"
NAME = "database_20261101_030000.sql.gz"
POSTS = [f"INSERT INTO wp_posts VALUES ({number}, 'text');\n".encode() for number in range(60_000)]
PIECES = [
    DumpPiece(None, b"-- a dump\nSET NAMES utf8mb4;\n"),
    DumpPiece("wp_options", b"CREATE TABLE wp_options (x int);\n"),
    DumpPiece("wp_posts", b"CREATE TABLE wp_posts (x int);\n"),
    *(DumpPiece("wp_posts", post) for post in POSTS),
    DumpPiece("wp_empty", b""),
    DumpPiece("wp_users", b"INSERT INTO wp_users VALUES (1);\n"),
    DumpPiece(None, b"-- Dump completed\n"),
]


@pytest.fixture
def folder_fd(tmp_path: Path) -> Iterator[int]:
    """Give a descriptor of an empty store."""
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def dump(folder_fd: int) -> DumpSummary:
    sink = ArchiveSink.create(folder_fd, NAME, codec=Codec.GZIP, key=KEY)
    summary = write_dump(PIECES, sink)
    verify_dump(sink.open_for_reading(), NAME, KEY)
    sink.publish()
    return summary


def opened(folder_fd: int) -> int:
    return os.open(NAME, os.O_RDONLY, dir_fd=folder_fd)


def test_zcat_gives_the_plain_text(folder_fd: int, tmp_path: Path) -> None:
    summary = dump(folder_fd)
    plain = subprocess.run(["/usr/bin/zcat", tmp_path / NAME], capture_output=True, check=True).stdout
    assert plain == b"".join(piece.chunk for piece in PIECES)
    assert summary.plain_bytes == len(plain)
    assert summary.dump_bytes == (tmp_path / NAME).stat().st_size < len(plain) / 5


def test_one_table_comes_out_alone(folder_fd: int) -> None:
    summary = dump(folder_fd)
    assert [section.name for section in summary.sections] == ["", "wp_options", "wp_posts", "wp_empty", "wp_users", ""]
    file = ArchiveFile(opened(folder_fd), NAME, KEY)
    assert read_sections(file) == list(summary.sections)
    file.close()
    text = b"".join(read_dump(opened(folder_fd), NAME, KEY, ["wp_posts"]))
    assert text == b"CREATE TABLE wp_posts (x int);\n" + b"".join(POSTS)
    assert b"".join(read_dump(opened(folder_fd), NAME, KEY, ["wp_empty"])) == b""
    with pytest.raises(UnknownPath, match="no_such"):
        list(read_dump(opened(folder_fd), NAME, KEY, ["wp_users", "no_such"]))


def test_every_flipped_bit_of_a_dump_is_found(folder_fd: int, tmp_path: Path) -> None:
    dump(folder_fd)
    verify_dump(opened(folder_fd), NAME, KEY)
    sound = (tmp_path / NAME).read_bytes()
    for at in range(0, len(sound), len(sound) // 97):
        damaged = bytearray(sound)
        damaged[at] ^= 4
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises((ArchiveDamaged, ArchiveRefused)):
            verify_dump(opened(folder_fd), NAME, KEY)


def test_a_dump_that_fails_in_the_middle_leaves_nothing(folder_fd: int, tmp_path: Path) -> None:
    def failing() -> Iterator[DumpPiece]:
        yield from PIECES[:500]
        raise DumpFailed("the server went away")

    sink = ArchiveSink.create(folder_fd, NAME, codec=Codec.GZIP, key=KEY)
    with pytest.raises(DumpFailed):
        write_dump(failing(), sink)
    sink.discard()
    assert os.listdir(tmp_path) == []


def test_an_empty_dump_is_refused(folder_fd: int) -> None:
    sink = ArchiveSink.create(folder_fd, NAME, codec=Codec.GZIP, key=KEY)
    with pytest.raises(ArchiveRefused, match="empty"):
        write_dump([], sink)
    sink.discard()


def test_a_dump_is_no_restore_point(folder_fd: int) -> None:
    dump(folder_fd)
    file = ArchiveFile(opened(folder_fd), NAME, KEY)
    with pytest.raises(ArchiveRefused, match="not a restore point"):
        _ = file.facts
    file.close()

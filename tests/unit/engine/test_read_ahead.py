"""Frames that are unpacked before they are asked for are the same, in any order, and so is what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.layout import FrameRecord
from smartbackup_panel.engine.read_ahead import ReadAhead
from tests.unit.engine.forge import KEY, NAME, folder, forge

FRAMES = [f"frame {number} ".encode() * 5_000 for number in range(12)]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[ArchiveFile]:
    """Give an archive of twelve frames."""
    folder_fd = forge(tmp_path, [folder()], FRAMES)
    file = ArchiveFile.open(folder_fd, NAME, KEY)
    yield file
    file.close()
    os.close(folder_fd)


@pytest.fixture
def ahead() -> Iterator[ReadAhead]:
    reader = ReadAhead()
    yield reader
    reader.close()


@pytest.mark.parametrize("order", [range(12), [3, 4, 5, 1, 2, 3, 11, 0, 1], [7, 7, 8, 8, 9]])
def test_every_order_gives_the_frames_themselves(archive: ArchiveFile, ahead: ReadAhead, order: list[int]) -> None:
    assert [ahead.take(archive, 0, number) for number in order] == [FRAMES[number] for number in order]


def test_what_follows_is_unpacked_before_it_is_asked_for_and_a_jump_unpacks_nothing_else(
    archive: ArchiveFile, ahead: ReadAhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack, unpacked = archive.unpack, []

    def note(record: FrameRecord) -> bytes:
        unpacked.append(record.offset)
        return unpack(record)

    monkeypatch.setattr(archive, "unpack", note)
    offsets = [archive.frame_record(number).offset for number in range(12)]
    for number in (9, 0, 5):
        ahead.take(archive, 0, number)
    assert unpacked == [offsets[9], offsets[0], offsets[5]]
    ahead.take(archive, 0, 6)
    ahead.close()
    assert set(unpacked[3:]) >= {offsets[6]}
    assert set(unpacked[3:]) <= {offsets[number] for number in range(6, 11)}


def test_a_damaged_frame_is_said_when_it_is_asked_for(tmp_path: Path, archive: ArchiveFile, ahead: ReadAhead) -> None:
    bad = archive.frame_record(4)
    with open(tmp_path / NAME, "r+b") as file:
        file.seek(bad.offset + 20)
        file.write(b"damage")
    assert [ahead.take(archive, 0, number) for number in range(4)] == FRAMES[:4]
    with pytest.raises(ArchiveDamaged):
        ahead.take(archive, 0, 4)
    assert ahead.take(archive, 0, 5) == FRAMES[5]
    with pytest.raises(ArchiveRefused):
        ahead.take(archive, 0, 12)

"""One strict reader: what no archive of this product may hold is refused, also when its signature is right."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused
from smartbackup_panel.core.tree import RestoreOptions
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import IndexEntry
from smartbackup_panel.engine.layout import MAX_FRAME_BYTES, ArchiveRow
from smartbackup_panel.engine.ownership import Ownership
from smartbackup_panel.engine.restore_choice import choose
from smartbackup_panel.engine.restore_writer import Finisher, RestoreWriter
from smartbackup_panel.engine.tar_headers import padding, tar_headers
from smartbackup_panel.engine.verify import verify_point
from tests.support.hostile_indexed import BAD_ARCHIVE_ROWS, BAD_ENTRIES, BAD_FORMATS, BAD_PATHS, BAD_TREES
from tests.unit.engine.forge import file, folder, forge, open_forged, pack

CONTENT = b"content"


def restore(point: ArchiveSet, target: Path) -> None:
    """Restore in this process, as an agent would."""
    target.mkdir()
    fd = os.open(target, os.O_RDONLY)
    try:
        ownership = Ownership(may_chown=False, uids=frozenset(), gids=frozenset(), web_gids=frozenset())
        writer = RestoreWriter(point, fd, None, Finisher(ownership), lambda _files, _size: None)
        writer.write(choose(point.index(), (), RestoreOptions()))
    finally:
        os.close(fd)


def below(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


def test_a_forged_archive_with_good_entries_restores(tmp_path: Path) -> None:
    with open_forged(tmp_path, [folder(), file(b"a.txt", CONTENT)]) as point:
        restore(point, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: repr(path[:20]))
def test_an_unsafe_path_is_refused(tmp_path: Path, path: bytes) -> None:
    with open_forged(tmp_path, [folder(), file(path, CONTENT)]) as point, pytest.raises(ArchiveRefused):
        restore(point, tmp_path / "out")
    assert below(tmp_path / "out") == []


@pytest.mark.parametrize("entry", BAD_ENTRIES, ids=str)
def test_an_impossible_entry_is_refused(tmp_path: Path, entry: IndexEntry) -> None:
    with open_forged(tmp_path, [folder(), entry]) as point, pytest.raises(ArchiveRefused):
        restore(point, tmp_path / "out")
    assert below(tmp_path / "out") == []


@pytest.mark.parametrize("entries", BAD_TREES.values(), ids=BAD_TREES)
@pytest.mark.parametrize("blocks", [1, 2])
def test_entries_that_contradict_one_another_are_refused(
    tmp_path: Path, entries: list[IndexEntry], blocks: int
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(ArchiveRefused), open_forged(tmp_path, entries, blocks=blocks) as point:
        restore(point, tmp_path / "out")
    assert below(outside) == []


def test_a_frame_that_inflates_past_its_size_is_refused(tmp_path: Path) -> None:
    bomb = bytes(MAX_FRAME_BYTES * 16)
    with (
        open_forged(tmp_path, [folder(), file(b"a", CONTENT)], frames=[bomb], plain_sizes=[7]) as point,
        pytest.raises((ArchiveDamaged, ArchiveRefused)),
    ):
        restore(point, tmp_path / "out")


def test_a_file_longer_than_all_frames_is_refused(tmp_path: Path) -> None:
    entry = IndexEntry(b"a", pack(stat.S_IFREG | 0o644, 1 << 40), bytes(32))
    with open_forged(tmp_path, [folder(), entry]) as point, pytest.raises(ArchiveRefused, match="no frame"):
        restore(point, tmp_path / "out")
    assert (tmp_path / "out" / "a").stat().st_size == len(CONTENT)


def test_a_tar_stream_that_contradicts_the_index_is_found(tmp_path: Path) -> None:
    sound = tar_headers(folder()) + tar_headers(file(b"a", CONTENT)) + CONTENT + padding(len(CONTENT)) + bytes(1024)
    other = sound.replace(b"0000644", b"0004755", 1)
    entries = [folder(), file(b"a", CONTENT, offset=1024)]
    for number, stream in enumerate((sound, other, sound[:-512], sound + bytes(512))):
        place = tmp_path / str(number)
        place.mkdir()
        with open_forged(place, entries, [stream], totals=(2, 1, 7, 0)) as point:
            if stream is sound:
                assert verify_point(point, whole_chain=False, advanced=ignore).file_count == 1
                continue
            with pytest.raises(ArchiveDamaged, match="tar stream"):
                verify_point(point, whole_chain=False, advanced=ignore)


def test_a_place_or_sum_that_is_wrong_is_found(tmp_path: Path) -> None:
    stream = tar_headers(folder()) + tar_headers(file(b"a", CONTENT)) + CONTENT + padding(7) + bytes(1024)
    for number, (offset, totals) in enumerate([(1023, (2, 1, 7, 0)), (1024, (3, 1, 7, 0)), (1024, (2, 1, 8, 0))]):
        place = tmp_path / str(number)
        place.mkdir()
        entries = [folder(), file(b"a", CONTENT, offset=offset)]
        with open_forged(place, entries, [stream], totals=totals) as point, pytest.raises(ArchiveDamaged):
            verify_point(point, whole_chain=False, advanced=ignore)


def ignore(_files: int, _size_bytes: int) -> None:
    """Progress is not what these tests are about."""


def test_a_wrong_content_is_not_delivered(tmp_path: Path) -> None:
    with open_forged(tmp_path, [folder(), file(b"a", b"ConTent")]) as point, pytest.raises(ArchiveDamaged):
        restore(point, tmp_path / "out")


@pytest.mark.parametrize("entries", BAD_FORMATS)
def test_an_index_in_another_format_is_refused(tmp_path: Path, entries: list[object]) -> None:
    with open_forged(tmp_path, entries) as point, pytest.raises(ArchiveRefused, match="format"):
        list(point.index())


@pytest.mark.parametrize("row", BAD_ARCHIVE_ROWS)
def test_an_impossible_archive_table_is_refused(tmp_path: Path, row: ArchiveRow) -> None:
    with pytest.raises(ArchiveRefused):
        open_forged(tmp_path, [folder()], earlier=[row])


def test_more_archives_than_a_chain_may_have_are_refused(tmp_path: Path) -> None:
    rows = [ArchiveRow(f"a{number}", bytes(32), 1) for number in range(200)]
    with pytest.raises(ArchiveRefused, match="needs 201"):
        open_forged(tmp_path, [folder()], earlier=rows)


def test_an_archive_that_is_not_there_is_said(tmp_path: Path) -> None:
    earlier = [ArchiveRow("backup_20261031_030000.tar.gz", bytes(32), 1)]
    with open_forged(tmp_path, [folder()], earlier=earlier) as point, pytest.raises(ArchiveMissing):
        point.open_all()


def test_a_plain_gzip_file_is_no_archive(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "plain.tar.gz").write_bytes(gzip.compress(bytes(10_240)))
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ArchiveDamaged):
        ArchiveSet.open(fd, "plain.tar.gz", None)
    os.close(fd)


def test_extra_values_in_an_entry_are_refused(tmp_path: Path) -> None:
    fields = [*msgspec.to_builtins(folder(), builtin_types=(bytes,)), "more"]
    with open_forged(tmp_path, [fields]) as point, pytest.raises(ArchiveRefused):
        list(point.index())


def test_a_forger_needs_the_key(tmp_path: Path) -> None:
    fd = forge(tmp_path, [folder()])
    with pytest.raises(ArchiveRefused, match="signature"):
        ArchiveSet.open(fd, "backup_20261101_030000.tar.gz", b"guessed")
    os.close(fd)

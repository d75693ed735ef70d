"""What is left of a damaged point can be downloaded: every sound file, no damaged byte, and the lost ones are named."""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, UnknownPath
from smartbackup_panel.core.tree import ExportFormat, ExportSummary, PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import write
from tests.support.figures import Figure

FLIPS = 300 if os.environ.get("SMARTBACKUP_LONG") == "1" else 25
DAMAGE = (ArchiveDamaged, ArchiveRefused, ArchiveMissing)


def export(store: Store, number: int, *paths: bytes) -> tuple[ExportSummary, dict[str, bytes]]:
    """Download paths of a point as a zip; return what was said of it and its files."""
    out = os.memfd_create("out")
    try:
        with store.open(number) as point, store.agent() as agent:
            summary = agent.export(point, paths or (b"",), ExportFormat.ZIP, out, 1 << 30, may_lose=True)
        with os.fdopen(os.dup(out), "rb") as file, zipfile.ZipFile(file) as archive:
            return summary, {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    finally:
        os.close(out)


@pytest.fixture
def contents(store: Store, site: Path) -> dict[str, bytes]:
    """Give a chain of three points, each of which adds files; the newest one's files with their content."""
    made: dict[str, bytes] = {}
    for number in range(3):
        for name in range(120):
            made[f"day{number}/{name:03}.txt"] = f"day {number}, file {name} ".encode() * (name + 1)
        made[f"photo{number}.jpg"] = os.urandom(600_000)
        for path, content in made.items():
            if f"day{number}" in path or f"photo{number}" in path:
                write(site / path, content)
        store.back_up(PointKind.INCREMENTAL if number else PointKind.FULL, earlier=number - 1 if number else None)
    return made


def test_one_flipped_bit_costs_the_files_in_its_frame_alone(store: Store, contents: dict[str, bytes]) -> None:
    with store.open(1) as point:
        entry = point.find_index_entry(b"photo1.jpg")
        assert entry is not None
        at = point.own.frame_record(entry.frame).offset + 300_000
    flip(store.path(1), at)
    summary, found = export(store, 2)
    assert summary.lost.names == (b"photo1.jpg",)
    assert found == {path: content for path, content in contents.items() if path != "photo1.jpg"}


def test_whatever_bit_is_flipped_nothing_damaged_is_delivered(
    store: Store, contents: dict[str, bytes], figure: Figure
) -> None:
    dice, delivered = random.Random(20261123), 0
    for _ in range(FLIPS):
        number = dice.randrange(3)
        sound = store.path(number).read_bytes()
        flip(store.path(number), dice.randrange(len(sound)))
        try:
            summary, found = export(store, 2)
        except DAMAGE:
            found = {}
        else:
            told = summary.lost.count + summary.unlisted_count
            assert len(contents) - len(found) <= told
        assert all(contents[path] == content for path, content in found.items())
        delivered += len(found)
        store.path(number).write_bytes(sound)
    assert delivered > FLIPS * len(contents) // 2
    figure("files delivered of points with one flipped bit, all exact", delivered, "files")


def test_a_missing_link_of_the_chain_costs_what_lay_in_it(store: Store, contents: dict[str, bytes]) -> None:
    store.path(1).unlink()
    summary, found = export(store, 2)
    assert summary.lost.count == 121
    assert found == {path: content for path, content in contents.items() if "1" not in path.partition("/")[0]}


def test_a_damaged_part_of_the_list_costs_the_paths_in_it(store: Store, site: Path) -> None:
    for number in range(1_000):
        write(site / f"{number:04}.txt", b"%d" % number)
    store.back_up()
    with store.open() as point:
        rows = point.own.directory
        assert len(rows) > 3
        row = rows[1]
        codec = point.own.codec
        piece, rest = divmod(row.offset + 10, 16_000)
        whole = 16_000 + codec.piece_head_bytes + codec.piece_tail_bytes
        at = point.own.footer.area_start + piece * whole + codec.piece_head_bytes + rest
    flip(store.path(), at)
    summary, found = export(store, 0)
    assert summary.unlisted_count >= row.entry_count
    assert len(found) == 1_000 - summary.unlisted_count
    assert all(content == b"%d" % int(name[:4]) for name, content in found.items())
    with pytest.raises(ArchiveDamaged, match="nothing of what was asked for"):
        export(store, 0, row.first_path)


def test_a_hard_link_is_as_sound_as_its_content(store: Store, site: Path) -> None:
    first = write(site / "a.jpg", os.urandom(600_000))
    os.link(first, site / "b.jpg")
    write(site / "c.txt", b"sound")
    store.back_up()
    flip(store.path(), 300_000)
    summary, found = export(store, 0)
    assert summary.lost.names == (b"a.jpg", b"b.jpg")
    assert found == {"c.txt": b"sound"}


def test_a_path_that_never_was_is_unknown(store: Store, site: Path) -> None:
    write(site / "a.txt", b"a")
    store.back_up()
    with pytest.raises(UnknownPath):
        export(store, 0, b"b.txt")


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)

"""Hard links made, broken and moved between the points of a chain: nothing is stored twice, everything comes back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import EntryType, PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, write

SIZES = pytest.mark.parametrize("size", [40_000, 3_000_000], ids=["small", "large"])


@SIZES
def test_a_new_name_that_sorts_first_refers_to_the_stored_bytes(
    store: Store, site: Path, open_folder: Path, size: int
) -> None:
    photo = write(site / "photo.jpg", os.urandom(size))
    store.back_up()
    os.link(photo, site / "first.jpg")
    before = look(site)
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert (summary.stored_bytes, summary.changes.added.names) == (0, (b"first.jpg",))
    assert summary.archive_bytes < 3_000
    store.verify(1)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before
    with store.open() as point:
        kinds = [(entry.path, entry.type, entry.link) for entry in point.entries()][1:]
    assert kinds == [
        (b"first.jpg", EntryType.FILE, b""),
        (b"photo.jpg", EntryType.HARDLINK, b"first.jpg"),
    ]


def test_two_new_names_of_a_file_whose_old_one_is_gone_refer_to_it(store: Store, site: Path, open_folder: Path) -> None:
    photo = write(site / "b.jpg", os.urandom(40_000))
    store.back_up()
    os.link(photo, site / "a.jpg")
    os.link(photo, site / "c.jpg")
    photo.unlink()
    before = look(site)
    assert store.back_up(PointKind.INCREMENTAL, earlier=0).stored_bytes == 0
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before


def test_a_new_name_in_place_of_another_file_refers_to_the_stored_bytes(
    store: Store, site: Path, open_folder: Path
) -> None:
    write(site / "a.jpg", b"something else")
    photo = write(site / "b.jpg", os.urandom(40_000))
    store.back_up()
    (site / "a.jpg").unlink()
    os.link(photo, site / "a.jpg")
    before = look(site)
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert (summary.stored_bytes, summary.changes.added.count) == (0, 0)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before


def test_content_that_changed_behind_the_same_size_and_time_is_stored(
    store: Store, site: Path, open_folder: Path
) -> None:
    """Size, time and inode are the same as of the earlier point's file; its bytes are not."""
    photo = write(site / "b.jpg", b"1" * 40_000)
    store.back_up()
    write(photo, b"2" * 40_000)
    os.link(photo, site / "a.jpg")
    before = look(site)
    assert store.back_up(PointKind.INCREMENTAL, earlier=0).stored_bytes == 40_000
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before


def test_new_names_stay_true_along_a_chain(store: Store, site: Path, open_folder: Path) -> None:
    photo = write(site / "m.jpg", os.urandom(40_000))
    moments = [look(site)]
    store.back_up()
    for number, name in enumerate(("k.jpg", "h.jpg", "z.jpg", "a.jpg")):
        os.link(photo, site / name)
        moments.append(look(site))
        assert store.back_up(PointKind.INCREMENTAL, earlier=number).stored_bytes == 0
    (site / "a.jpg").unlink()
    photo.unlink()
    moments.append(look(site))
    assert store.back_up(PointKind.DIFFERENTIAL, earlier=0).stored_bytes == 0
    for number, moment in enumerate(moments):
        store.verify(number)
        store.restore_into(open_folder / f"out{number}", number)
        assert look(open_folder / f"out{number}") == moment


def test_an_increment_with_a_new_first_name_is_readable_by_tar(store: Store, site: Path, open_folder: Path) -> None:
    photo = write(site / "photo.jpg", os.urandom(40_000))
    store.back_up()
    os.link(photo, site / "first.jpg")
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    out = open_folder / "out"
    out.mkdir()
    for number in range(2):
        subprocess.run(["/usr/bin/tar", "-xzf", store.path(number), "-C", out], check=True)
    assert (out / "photo.jpg").read_bytes() == photo.read_bytes()

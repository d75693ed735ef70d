"""Whatever a document root can hold comes back exactly, from every kind of point."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import Codec, EntryType, PointKind
from smartbackup_panel.engine.archive_reader import read_file
from tests.integration.engine.store import Store
from tests.integration.engine.trees import OLD_NS, look, make_rich_tree, write


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_a_rich_tree_comes_back_exactly(store: Store, site: Path, open_folder: Path, codec: Codec) -> None:
    make_rich_tree(site)
    before = look(site)
    summary = store.back_up(codec=codec)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before
    assert summary.skipped.count == 0
    assert summary.unstable.count == 0


def test_a_hole_of_a_terabyte_costs_nothing(store: Store, site: Path, open_folder: Path) -> None:
    with (site / "hole.img").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"in the middle")
    summary = store.back_up()
    assert summary.archive_bytes < 5_000
    assert summary.original_bytes == 1 << 40
    store.restore_into(open_folder / "out")
    restored = open_folder / "out" / "hole.img"
    assert restored.stat().st_size == 1 << 40
    assert restored.stat().st_blocks * 512 < 100_000
    with restored.open("rb") as file:
        file.seek(1 << 39)
        assert file.read(13) == b"in the middle"


def test_every_point_of_a_chain_restores_to_its_own_moment(store: Store, site: Path, open_folder: Path) -> None:
    make_rich_tree(site)
    moments = [look(site)]
    store.back_up()
    (site / "empty.txt").unlink()
    write(site / "added.txt", b"new")
    write(site / "index.php", b"changed in place, both links")
    moments.append(look(site))
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    shutil.rmtree(site / "names")
    write(site / "names", b"a file where a folder was")
    (site / "theme").unlink()
    write(site / "theme" / "style.css", b"a folder where a link was")
    (site / "photo.jpg").unlink()
    (site / "photo.jpg").symlink_to("large.bin")
    moments.append(look(site))
    store.back_up(PointKind.INCREMENTAL, earlier=1)
    os.rename(site / "large.bin", site / "renamed.bin")
    (site / "uploads" / "large-again.bin").unlink()
    moments.append(look(site))
    store.back_up(PointKind.DIFFERENTIAL, earlier=0)
    (site / "added.txt").chmod(0o600)
    moments.append(look(site))
    store.back_up(PointKind.INCREMENTAL, earlier=3)
    for number, moment in enumerate(moments):
        store.verify(number)
        store.restore_into(open_folder / f"out{number}", number)
        assert look(open_folder / f"out{number}") == moment, f"point {number}"


def test_a_deleted_file_stays_deleted_after_restore(store: Store, site: Path, open_folder: Path) -> None:
    write(site / "keep.txt", b"keep")
    write(site / "plugin" / "evil.php", b"delete me")
    store.back_up()
    shutil.rmtree(site / "plugin")
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.changes.removed.names == (b"plugin/evil.php",)
    store.restore_into(open_folder / "out")
    assert sorted(look(open_folder / "out")) == [b"", b"keep.txt"]


def test_an_increment_without_changes_stores_no_content(store: Store, site: Path) -> None:
    make_rich_tree(site)
    store.back_up()
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.stored_bytes == 0
    assert (summary.changes.added.count, summary.changes.changed.count, summary.changes.removed.count) == (0, 0, 0)
    full = store.path(0).stat().st_size
    assert summary.archive_bytes < full / 20


def test_files_belong_to_their_owners_again_where_root_restores(open_folder: Path, site: Path) -> None:
    from smartbackup_panel.core.tree import Tenant

    store = Store(open_folder / "owned", site, Tenant(0, 0, web_uids=(33,)))
    write(site / "by-root.txt", b"root's")
    os.chown(write(site / "by-web.txt", b"the web user's"), 33, 33)
    before = look(site)
    store.back_up()
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before
    store.close()


def test_one_file_comes_out_of_a_long_chain(store: Store, site: Path) -> None:
    write(site / "old.txt", b"from the first point")
    store.back_up()
    for number in range(12):
        write(site / f"new{number}.txt", f"point {number}".encode())
        store.back_up(PointKind.INCREMENTAL, earlier=number)
    with store.open() as point:
        assert len(point.rows) == 13
        assert [_content(point, name) for name in (b"old.txt", b"new0.txt", b"new11.txt")] == [
            b"from the first point",
            b"point 0",
            b"point 11",
        ]


def _content(point: object, path: bytes) -> bytes:
    from smartbackup_panel.engine.archive_reader import ArchiveSet

    assert isinstance(point, ArchiveSet)
    fd = os.memfd_create("out")
    size = read_file(point, path, fd)
    content = os.pread(fd, size + 1, 0)
    os.close(fd)
    return content


def test_a_folder_of_a_point_is_listed_by_name(store: Store, site: Path) -> None:
    for number in range(1_500):
        write(site / "many" / f"sub{number:04}" / "file.txt", b"x")
    write(site / "many.txt", b"sorts between the folder and what is in it")
    write(site / "zebra", b"last")
    store.back_up()
    with store.open() as point:
        assert [entry.path for entry in point.children(b"")] == [b"many", b"many.txt", b"zebra"]
        assert [entry.path for entry in point.children(b"many")] == [
            b"many/sub%04d" % number for number in range(1_500)
        ]
        page = point.children(b"many", after=b"sub0999", limit=2)
        assert [entry.path for entry in page] == [b"many/sub1000", b"many/sub1001"]
        found = point.find(b"many/sub0007/file.txt")
        assert found is not None
        assert (found.type, found.size, found.mode, found.mtime_ns) == (EntryType.FILE, 1, 0o644, OLD_NS)
        assert point.find(b"many/sub") is None

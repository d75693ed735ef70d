"""Points at which nothing had changed: next to nothing is stored, and they are points like any other."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveMissing, ArchiveRefused
from smartbackup_panel.core.tree import PointKind, SkipReason
from smartbackup_panel.engine.archive_sink import Totals
from smartbackup_panel.engine.layout import ArchiveRow, ContentKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, make_rich_tree, write

SETTLED_SECONDS = 2.2


@pytest.fixture
def quiet_site(site: Path) -> Path:
    """Give a site with everything in it, whose files are older than any scan."""
    make_rich_tree(site)
    (site / ".smartbackup-own").mkdir()
    time.sleep(SETTLED_SECONDS)
    return site


def test_an_unchanged_point_stores_next_to_nothing_and_restores_exactly(
    store: Store, quiet_site: Path, open_folder: Path
) -> None:
    store.back_up()
    before = look(quiet_site)
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.is_unchanged
    assert summary.archive_bytes < 1_500
    assert (summary.changes.added.count, summary.changes.changed.count, summary.changes.removed.count) == (0, 0, 0)
    assert [row.reason for row in summary.skipped.first] == [SkipReason.OWN_FOLDER]
    store.restore_into(open_folder / "out")
    del before[b".smartbackup-own"]
    assert look(open_folder / "out") == before


def test_every_kind_of_point_builds_on_an_unchanged_one(store: Store, quiet_site: Path, open_folder: Path) -> None:
    store.back_up()
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert store.back_up(PointKind.INCREMENTAL, earlier=1).is_unchanged
    write(quiet_site / "index.php", b"<?php // new")
    changed = store.back_up(PointKind.INCREMENTAL, earlier=2)
    assert not changed.is_unchanged
    assert changed.changes.changed.names == (b"index.php", b"uploads/index-again.php")
    store.back_up(PointKind.DIFFERENTIAL, earlier=0)
    before = look(quiet_site)
    del before[b".smartbackup-own"]
    for number in (3, 4):
        store.verify(number)
        store.restore_into(open_folder / f"out-{number}", number)
        assert look(open_folder / f"out-{number}") == before


def test_a_point_whose_files_were_young_shares_the_list_after_reading_them_again(store: Store, site: Path) -> None:
    write(site / "page.php", b"just written", mtime_ns=time.time_ns())
    store.back_up()
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.is_unchanged
    assert summary.archive_bytes < 1_500


@pytest.mark.parametrize("change", ["mode", "time", "new folder", "removed", "new link"])
def test_the_smallest_change_is_one(store: Store, site: Path, change: str) -> None:
    page = write(site / "page.php", b"page")
    (site / "empty").mkdir()
    time.sleep(SETTLED_SECONDS)
    store.back_up()
    if change == "mode":
        page.chmod(0o600)
    elif change == "time":
        os.utime(page, ns=(1, 1))
    elif change == "new folder":
        (site / "another").mkdir()
    elif change == "removed":
        (site / "empty").rmdir()
    else:
        (site / "link").symlink_to("page.php")
    assert not store.back_up(PointKind.INCREMENTAL, earlier=0).is_unchanged


def test_a_shared_list_is_read_only_from_the_archive_it_was_made_from(store: Store, quiet_site: Path) -> None:
    store.back_up()
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    store.path(0).unlink()
    with store.open() as point, pytest.raises(ArchiveMissing):
        point.find(b"index.php")


def test_an_archive_that_contradicts_the_list_it_shares_is_refused(store: Store, quiet_site: Path) -> None:
    full = store.back_up()
    with store.open() as point:
        row = ArchiveRow(point.name, full.root_digest, point.own.footer.frame_count)
    sink = store.sink(PointKind.INCREMENTAL)
    sink.add_frame(*_frame_of_the_end(store))
    totals = Totals(ContentKind.INCREMENTAL, bytes(16), 0, 0, full.entry_count + 1, full.file_count, 0, 0, 0)
    sink.finish(totals, [row])
    sink.publish()
    store.names.append(sink.name)
    with store.open() as point, pytest.raises(ArchiveRefused, match="contradicts"):
        point.find(b"index.php")


def test_a_full_archive_without_a_list_is_refused(store: Store, quiet_site: Path) -> None:
    store.back_up()
    sink = store.sink(PointKind.FULL)
    sink.add_frame(*_frame_of_the_end(store))
    sink.finish(Totals(ContentKind.FULL, bytes(16), 0, 0, 5, 3, 0, 0, 0), [])
    sink.publish()
    store.names.append(sink.name)
    with pytest.raises(ArchiveRefused, match="no list"):
        store.open()


def _frame_of_the_end(store: Store) -> tuple[bytes, int, bytes]:
    """Return the last frame of the first archive: the end of a tar stream and nothing else."""
    with store.open(0) as point:
        record = point.own.frame_record(point.own.footer.frame_count - 1)
        return point.own.read_packed(record), record.plain_bytes, record.sha256

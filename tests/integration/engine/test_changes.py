"""Changes are found by comparing everything, not by times alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from smartbackup_panel.core.tree import PointKind, ScanOptions, SkipReason
from tests.integration.engine.store import Store
from tests.integration.engine.trees import OLD_NS, look, write


def test_an_edit_that_keeps_size_and_time_is_captured(store: Store, site: Path, open_folder: Path) -> None:
    page = write(site / "page.php", b"harmless")
    time.sleep(2.1)
    store.back_up()
    write(page, b"harmful!")
    assert page.stat().st_mtime_ns == OLD_NS
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.changes.changed.names == (b"page.php",)
    store.restore_into(open_folder / "out")
    assert (open_folder / "out" / "page.php").read_bytes() == b"harmful!"


def test_a_file_as_young_as_the_earlier_scan_is_read_again(store: Store, site: Path) -> None:
    page = write(site / "page.php", b"first", mtime_ns=time.time_ns())
    store.back_up()
    with store.open() as point:
        entry = point.find_index_entry(b"page.php")
        assert entry is not None
    before = os.stat(page)
    page.write_bytes(b"other")
    os.utime(page, ns=(before.st_mtime_ns, before.st_mtime_ns))
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.changes.changed.names == (b"page.php",)


def test_a_restored_old_file_is_new(store: Store, site: Path) -> None:
    write(site / "a.txt", b"a")
    store.back_up()
    write(site / "from-a-zip.txt", b"older than the last point", mtime_ns=1_000_000_000_000_000_000)
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.changes.added.names == (b"from-a-zip.txt",)


def test_a_change_of_mode_alone_stores_no_content_again(store: Store, site: Path, open_folder: Path) -> None:
    page = write(site / "page.php", os.urandom(100_000))
    large = write(site / "large.bin", os.urandom(2_000_000))
    store.back_up()
    page.chmod(0o600)
    large.chmod(0o600)
    before = look(site)
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert summary.changes.changed.names == (b"large.bin", b"page.php")
    assert summary.stored_bytes == 0
    assert summary.archive_bytes < 3_000
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == before


def test_reading_again_finds_a_change_that_no_fact_shows(store: Store, site: Path) -> None:
    write(site / "page.php", b"as it was")
    time.sleep(2.1)
    store.back_up()
    summary = store.back_up(PointKind.INCREMENTAL, earlier=0, read_again=True)
    assert summary.changes.changed.count == 0
    assert summary.stored_bytes == 0


def test_a_scan_counts_and_tells_what_changed_today(store: Store, site: Path) -> None:
    write(site / "old.txt", b"12345")
    write(site / "today" / "new.txt", b"123", mtime_ns=time.time_ns())
    (site / "link").symlink_to("old.txt")
    store.back_up()
    assert store.scanned is not None
    assert (store.scanned.file_count, store.scanned.directory_count, store.scanned.link_count) == (2, 2, 1)
    assert store.scanned.size_bytes == 8
    assert store.scanned.changed_last_24_hours == 1


def test_exclusions_leave_out_and_list(store: Store, site: Path) -> None:
    write(site / "cache" / "x.bin", b"cache")
    write(site / "src" / "cache" / "kept.php", b"not anchored here")
    write(site / "debug.log", b"log")
    write(site / "sub" / "other.log", b"log")
    write(site / "other-domain" / "index.php", b"another domain's")
    write(site / ".smartbackup-databases" / "dump.sql.gz", b"ours")
    options = ScanOptions(exclude=("/cache/*", "*.log"), nested_roots=(b"other-domain",))
    summary = store.back_up(scan=options)
    assert {row.path: row.reason for row in summary.skipped.first} == {
        b"cache/x.bin": SkipReason.EXCLUDED,
        b"debug.log": SkipReason.EXCLUDED,
        b"sub/other.log": SkipReason.EXCLUDED,
        b"other-domain": SkipReason.NESTED_ROOT,
        b".smartbackup-databases": SkipReason.OWN_FOLDER,
    }
    assert summary.skipped.loss_count == 0
    with store.open() as point:
        assert [entry.path for entry in point.entries() if entry.reason is None] == [
            b"",
            b"cache",
            b"src",
            b"src/cache",
            b"src/cache/kept.php",
            b"sub",
        ]


DISTURB = """
import os, sys
growing, flickering = sys.argv[1:]
with open(growing, "ab", buffering=0) as log:
    print(flush=True)
    while True:
        log.write(b"another line\\n")
        os.truncate(flickering, 1_000)
        os.truncate(flickering, 12_000_000)
"""


def test_files_that_change_while_they_are_read_leave_a_whole_archive(
    store: Store, site: Path, open_folder: Path
) -> None:
    still = write(site / "still.bin", os.urandom(300_000)).read_bytes()
    growing, flickering = write(site / "grow.log", b"x" * 12_000_000), write(site / "flicker.bin", b"y" * 12_000_000)
    disturber = subprocess.Popen([sys.executable, "-c", DISTURB, growing, flickering], stdout=subprocess.PIPE)
    try:
        assert disturber.stdout is not None
        disturber.stdout.readline()
        summary, number = store.back_up(), 0
        while not summary.unstable.count and number < 10:  # on a busy machine the disturber waits for its turn
            summary, number = store.back_up(), number + 1
    finally:
        disturber.kill()
        disturber.communicate()
    assert set(summary.unstable.names) <= {b"grow.log", b"flicker.bin"}
    assert summary.unstable.count >= 1
    store.restore_into(open_folder / "out")
    assert (open_folder / "out" / "still.bin").read_bytes() == still
    again = store.back_up(PointKind.INCREMENTAL, earlier=number)
    assert set(summary.unstable.names) <= set(again.changes.changed.names)

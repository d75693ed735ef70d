"""Files that grow, shrink, change, are replaced or vanish exactly while they are read (SECURITY rule 21, case T07)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import PointKind, ScanOptions, SkipReason, WriteOptions
from tests.integration.engine.store import START, Store
from tests.integration.engine.trees import OLD_NS, look, write
from tests.support.read_gate import gate

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="holding another process's reads needs root")
SIZES = pytest.mark.parametrize("size", [40_000, 3_000_000], ids=["small", "large"])
Disturb = Callable[[Path, int], None]


def grow(path: Path, _number: int) -> None:
    with path.open("ab") as file:
        file.write(b"+" * 1_000)


def shrink(path: Path, _number: int) -> None:
    os.truncate(path, path.stat().st_size - 1_000)


def shrink_to_little(path: Path, number: int) -> None:
    os.truncate(path, 100 - number)


def rewrite(path: Path, number: int) -> None:
    """Change what is in it; its size stays and its time moves."""
    with path.open("r+b") as file:
        file.write(b"%d" % (number % 10) * 1_000)
    os.utime(path, ns=(OLD_NS, OLD_NS + number + 1))


DISTURBANCES = [grow, shrink, shrink_to_little, rewrite]
HOW = pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda disturb: str(disturb.__name__))


@pytest.fixture
def moving(site: Path, size: int) -> Path:
    """Give the file that is disturbed, between two that hold still."""
    write(site / "before.txt", b"still")
    write(site / "zebra.bin", b"still " * 200_000)
    return write(site / "moving.bin", os.urandom(size))


def by_tar(store: Store, out: Path) -> dict[str, bytes]:
    """Unpack the point with GNU tar, which finds nothing wrong, and return its files."""
    out.mkdir()
    subprocess.run(["/usr/bin/tar", "-xzf", store.path(), "-C", out], check=True)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@needs_root
@SIZES
@HOW
def test_a_file_that_changes_once_is_read_again(
    store: Store, site: Path, open_folder: Path, moving: Path, disturb: Disturb
) -> None:
    def once(number: int) -> None:
        if number == 0:
            disturb(moving, number)

    with gate(moving, once):
        summary = store.back_up()
    assert (summary.unstable.count, summary.skipped.count) == (0, 0)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)
    assert by_tar(store, open_folder / "tar")["moving.bin"] == moving.read_bytes()


@needs_root
@SIZES
@HOW
def test_a_file_that_never_holds_still_is_flagged_and_the_archive_is_valid(
    store: Store, site: Path, open_folder: Path, moving: Path, disturb: Disturb
) -> None:
    reads: list[int] = []

    def always(number: int) -> None:
        reads.append(number)
        disturb(moving, number)

    with gate(moving, always):
        summary = store.back_up()
    assert summary.unstable.names == (b"moving.bin",)
    assert len(reads) >= 4
    store.verify()
    with store.open() as point:
        entry = point.find(b"moving.bin")
    assert entry is not None and entry.unstable
    found = by_tar(store, open_folder / "tar")
    assert len(found["moving.bin"]) == entry.size
    assert (found["before.txt"], found["zebra.bin"]) == (b"still", b"still " * 200_000)
    again = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert again.unstable.count == 0
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)


@needs_root
@pytest.mark.parametrize("size", [3_000_000])
def test_what_is_missing_of_a_file_that_shrank_is_zeros(
    store: Store, open_folder: Path, moving: Path, size: int
) -> None:
    """Its header has the size that it had; each reading finds one byte less."""
    moving.write_bytes(b"x" * size)
    with gate(moving, lambda number: shrink_to_little(moving, number)):
        assert store.back_up().unstable.names == (b"moving.bin",)
    with store.open() as point:
        entry = point.find(b"moving.bin")
    assert entry is not None and 80 < entry.size < 100
    assert by_tar(store, open_folder / "tar")["moving.bin"] == b"x" * (entry.size - 1) + b"\0"


@needs_root
@SIZES
def test_a_file_that_is_replaced_while_it_is_read_is_the_old_one_or_the_new_one(
    store: Store, site: Path, open_folder: Path, moving: Path
) -> None:
    old = moving.read_bytes()
    new = write(site / "zz-new.bin", b"new " * 100_000).read_bytes()

    def replace(number: int) -> None:
        if number == 0:
            os.rename(site / "zz-new.bin", moving)

    with gate(moving, replace):
        summary = store.back_up()
    found = by_tar(store, open_folder / "tar")
    assert found["moving.bin"] in (old, new)
    assert (found["zz-new.bin"], summary.skipped.count) == (new, 0), "it was open already when it got its new name"
    assert store.back_up(PointKind.INCREMENTAL, earlier=0).changes.changed.names == (b"moving.bin",)


@needs_root
@SIZES
def test_a_file_that_is_removed_while_it_is_read_is_stored_whole(store: Store, open_folder: Path, moving: Path) -> None:
    content = moving.read_bytes()
    with gate(moving, lambda number: moving.unlink()):
        store.back_up()
    assert by_tar(store, open_folder / "tar")["moving.bin"] == content
    store.restore_into(open_folder / "out")
    assert (open_folder / "out" / "moving.bin").read_bytes() == content


@pytest.mark.parametrize("size", [40_000])
def test_what_vanishes_or_becomes_something_else_before_it_is_read_is_listed(
    store: Store, site: Path, open_folder: Path, moving: Path
) -> None:
    write(site / "folder" / "below.txt", b"goes with its folder")
    write(site / "to-folder", b"becomes a folder")
    write(site / "to-link", b"becomes a link")
    sink = store.sink(PointKind.FULL)
    with store.agent() as agent:
        agent.scan(ScanOptions())
        moving.unlink()
        (site / "folder" / "below.txt").unlink()
        (site / "folder").rmdir()
        (site / "to-folder").unlink()
        (site / "to-folder").mkdir()
        (site / "to-link").unlink()
        (site / "to-link").symlink_to("/etc/passwd")
        summary = agent.write(sink, WriteOptions(PointKind.FULL, bytes(16), START))
        store.verify_unpublished(agent, sink)
    sink.publish()
    store.names.append(sink.name)
    assert [(row.path, row.reason) for row in summary.skipped.first] == [
        (path, SkipReason.VANISHED)
        for path in (b"folder", b"folder/below.txt", b"moving.bin", b"to-folder", b"to-link")
    ]
    assert summary.skipped.loss_count == 0
    assert sorted(by_tar(store, open_folder / "tar")) == ["before.txt", "zebra.bin"]
    again = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert again.changes.added.names == (b"to-link",)


STORM = """
import os, sys
os.chdir(sys.argv[1])
made = 0
while True:
    for number in range(200):
        open(f"storm-{number}", "w").write("x" * number)
    os.rename("storm-7", "storm-8")
    for number in [*range(7), *range(8, 200)]:
        os.unlink(f"storm-{number}")
    made += 200
    if made == 200:
        print(flush=True)
"""


def test_a_storm_of_files_that_come_and_go_harms_nothing_else(store: Store, site: Path, open_folder: Path) -> None:
    """Case T07: thousands of files are made and removed a second, in the same folder, while points are made."""
    for number in range(100):
        write(site / f"still-{number:02}.txt", f"still {number} ".encode() * 1_000)
    still = {path.name: path.read_bytes() for path in site.iterdir()}
    storm = subprocess.Popen([sys.executable, "-c", STORM, site], stdout=subprocess.PIPE)
    try:
        assert storm.stdout is not None
        storm.stdout.readline()
        store.back_up()
        for number in range(2):
            store.back_up(PointKind.INCREMENTAL, earlier=number)
    finally:
        storm.kill()
        storm.communicate()
    for number in range(3):
        store.verify(number)
        store.restore_into(open_folder / f"out{number}", number)
        found = {path.name: path.read_bytes() for path in (open_folder / f"out{number}").iterdir()}
        assert {name: content for name, content in found.items() if not name.startswith("storm")} == still
    assert by_tar(store, open_folder / "tar").keys() <= {*still, *(f"storm-{number}" for number in range(200))}

"""Where the store's filesystem can share blocks, a synthetic full point takes nearly no room of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
MAKE = {
    "xfs": ["/usr/sbin/mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["/usr/sbin/mkfs.btrfs", "-q"],
    "ext4": ["/usr/sbin/mkfs.ext4", "-q"],
}
MEGABYTE = 1_000_000


@pytest.fixture
def disk(open_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give a folder on a filesystem of the kind that the test's parameter says, in an image of 320 MiB."""
    image, folder = open_folder / "disk.img", open_folder / "disk"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run([*MAKE[request.param], image], check=True, capture_output=True)
    folder.mkdir()
    subprocess.run(["/usr/bin/mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["/usr/bin/umount", folder], check=True)


def used_bytes(folder: Path) -> int:
    """Return how much of a filesystem is used once everything is on it."""
    os.sync()
    room = os.statvfs(folder)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


@needs_root
@pytest.mark.parametrize(("disk", "shares"), [("xfs", True), ("btrfs", True), ("ext4", False)], indirect=["disk"])
def test_a_synthetic_point_of_an_unchanged_site_shares_its_blocks(
    disk: Path, site: Path, open_folder: Path, shares: bool
) -> None:
    store = Store(disk / "store", site)
    for number in range(12):
        write(site / f"photo-{number:02}.jpg", os.urandom(2 * MEGABYTE))
        write(site / f"text-{number:02}.txt", f"{number} words ".encode() * 20_000)
    time.sleep(2.2)
    store.back_up()
    before = used_bytes(disk)
    store.back_up(earlier=0, is_synthetic=True)
    grown = used_bytes(disk) - before
    assert store.path(1).stat().st_size > 24 * MEGABYTE
    assert (grown < 4 * MEGABYTE) is shares, grown
    store.path(0).unlink()
    store.verify(1)
    store.restore_into(open_folder / "out", 1)
    assert look(open_folder / "out") == look(site)
    store.close()


@needs_root
@pytest.mark.parametrize("disk", ["xfs", "btrfs"], indirect=True)
def test_what_lies_before_a_change_is_shared_and_what_follows_is_copied(
    disk: Path, site: Path, open_folder: Path
) -> None:
    """Behind a frame of another size the blocks of the two archives do not lie alike, and no filesystem can share them."""
    store = Store(disk / "store", site)
    for number in range(12):
        write(site / f"photo-{number:02}.jpg", os.urandom(2 * MEGABYTE))
    time.sleep(2.2)
    store.back_up()
    write(site / "photo-06.jpg", os.urandom(2 * MEGABYTE + 7))
    before = used_bytes(disk)
    store.back_up(earlier=0, is_synthetic=True)
    grown = used_bytes(disk) - before
    assert 10 * MEGABYTE < grown < 16 * MEGABYTE
    store.path(0).unlink()
    store.restore_into(open_folder / "out", 1)
    assert look(open_folder / "out") == look(site)
    store.close()

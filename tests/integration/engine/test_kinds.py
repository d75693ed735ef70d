"""What a document root can hold and rarely does: it comes back exactly."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from smartbackup_panel.core.tree import PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import OLD_NS, look, write
from tests.support.figures import Figure


def acl(*rows: tuple[int, int, int]) -> bytes:
    """Return a POSIX access list of (tag, rights, id) as the kernel stores it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def test_a_file_beyond_eight_gigabytes_keeps_its_data_at_both_ends(store: Store, site: Path, open_folder: Path) -> None:
    end = 9 * 1024**3
    with (site / "disk.img").open("wb") as file:
        file.write(b"the beginning")
        file.truncate(end)
        file.seek(end - 11)
        file.write(b"and the end")
    os.utime(site / "disk.img", ns=(OLD_NS, OLD_NS))
    summary = store.back_up()
    assert summary.original_bytes == end
    assert summary.archive_bytes < 100_000
    store.restore_into(open_folder / "out")
    restored = open_folder / "out" / "disk.img"
    assert (restored.stat().st_size, restored.stat().st_mtime_ns) == (end, OLD_NS)
    assert restored.stat().st_blocks * 512 < 1_000_000
    with restored.open("rb") as file:
        assert file.read(16) == b"the beginning\0\0\0"
        file.seek(end - 12)
        assert file.read() == b"\0and the end"


def test_hard_links_hold_together_across_points(store: Store, site: Path, open_folder: Path) -> None:
    photo = write(site / "b" / "photo.jpg", os.urandom(100_000))
    store.back_up()
    os.link(photo, site / "z-later.jpg")
    assert store.back_up(PointKind.INCREMENTAL, earlier=0).stored_bytes == 0
    os.link(photo, site / "a-earlier.jpg")
    store.back_up(PointKind.INCREMENTAL, earlier=1)
    (site / "a-earlier.jpg").unlink()
    store.back_up(PointKind.INCREMENTAL, earlier=2)
    store.back_up(earlier=3, is_synthetic=True)
    store.restore_into(open_folder / "third", 2)
    links = {os.stat(open_folder / "third" / name).st_ino for name in ("a-earlier.jpg", "b/photo.jpg", "z-later.jpg")}
    assert len(links) == 1
    for number in (3, 4):
        store.restore_into(open_folder / f"out-{number}", number)
        assert look(open_folder / f"out-{number}") == look(site)
        assert os.stat(open_folder / f"out-{number}" / "z-later.jpg").st_nlink == 2


def test_access_lists_come_back(store: Store, site: Path, open_folder: Path) -> None:
    uid = os.getuid()
    wanted = acl(
        (0x01, 6, 0xFFFFFFFF), (0x02, 4, uid), (0x04, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)
    )
    page, folder = write(site / "page.php", b"page"), site / "uploads"
    folder.mkdir()
    os.setxattr(page, "system.posix_acl_access", wanted)
    os.setxattr(folder, "system.posix_acl_default", wanted)
    store.back_up()
    store.restore_into(open_folder / "out")
    assert os.getxattr(open_folder / "out" / "page.php", "system.posix_acl_access") == wanted
    assert os.getxattr(open_folder / "out" / "uploads", "system.posix_acl_default") == wanted


def test_a_folder_of_many_files_comes_back(store: Store, site: Path, open_folder: Path, figure: Figure) -> None:
    count = 1_000_000 if os.environ.get("SMARTBACKUP_LONG") else 5_000
    (site / "many").mkdir()
    for number in range(count):
        with open(site / "many" / f"{number:07d}", "wb") as file:
            file.write(b"%d" % number)
    began = time.monotonic()
    summary = store.back_up()
    figure(f"{count:,} files in one folder: scanned, written and read back", time.monotonic() - began, "s")
    assert summary.file_count == count
    store.restore_into(open_folder / "out")
    names = os.listdir(open_folder / "out" / "many")
    assert len(names) == count
    for name in names[:: count // 100]:
        assert (open_folder / "out" / "many" / name).read_bytes() == b"%d" % int(name)

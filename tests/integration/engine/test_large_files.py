"""Files that pass the sizes of old tar headers, and images of which most is a hole (case T06).

SMARTBACKUP_LONG=1 makes the dense file larger than 8 GiB, where a size needs more than the header's octal digits.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

from smartbackup_panel.core.tree import Codec
from tests.integration.engine.store import Store
from tests.support.figures import Figure

IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
GIBIBYTE, MEBIBYTE = 1 << 30, 1 << 20
DENSE_BYTES = (8 * GIBIBYTE if IS_LONG else 8 * MEBIBYTE) + 5
ENDS_BYTES = (100 if IS_LONG else 2) * MEBIBYTE


def write_dense(path: Path, size: int) -> str:
    """Write a file without holes of which every mebibyte differs; return its sha256."""
    digest, left, number = hashlib.sha256(), size, 0
    with path.open("wb") as file:
        while left:
            piece = (b"%016d" % number * (MEBIBYTE // 16))[:left]
            file.write(piece)
            digest.update(piece)
            left, number = left - len(piece), number + 1
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_file_of_more_than_eight_gibibytes_comes_back(
    store: Store, site: Path, open_folder: Path, figure: Figure
) -> None:
    wanted = write_dense(site / "dump.sql", DENSE_BYTES)
    (site / "zz-after.txt").write_bytes(b"what follows it")
    began = time.monotonic()
    summary = store.back_up(codec=Codec.GZIP, level=1)
    figure("a dense file of 8 GiB: written and read back", time.monotonic() - began, "s")
    assert (summary.original_bytes, summary.stored_bytes) == (DENSE_BYTES + 15, DENSE_BYTES + 15)
    listed = subprocess.run(["/usr/bin/tar", "-tvzf", store.path()], check=True, capture_output=True, text=True).stdout
    assert f" {DENSE_BYTES} " in listed
    unpacked = ["/usr/bin/tar", "-xzf", str(store.path()), "-C", str(site.parent), "--to-command=/usr/bin/sha256sum"]
    assert wanted in subprocess.run(unpacked, check=True, capture_output=True, text=True).stdout
    (site / "dump.sql").unlink()
    store.restore_into(open_folder / "out")
    assert sha256_of(open_folder / "out" / "dump.sql") == wanted
    assert (open_folder / "out" / "zz-after.txt").read_bytes() == b"what follows it"


def test_an_image_with_data_at_both_ends_keeps_its_hole(
    store: Store, site: Path, open_folder: Path, figure: Figure
) -> None:
    size, first, last = 50 * GIBIBYTE, os.urandom(ENDS_BYTES), os.urandom(ENDS_BYTES)
    with (site / "disk.img").open("wb") as file:
        file.write(first)
        file.seek(size - len(last))
        file.write(last)
    began = time.monotonic()
    summary = store.back_up()
    seconds = time.monotonic() - began
    figure("an image of 50 GiB with data at its ends: written and read back", seconds, "s")
    assert seconds < 60
    assert summary.archive_bytes < 2 * ENDS_BYTES * 1.01
    store.restore_into(open_folder / "out")
    (open_folder / "tar").mkdir()
    subprocess.run(["/usr/bin/tar", "-xzf", store.path(), "-C", open_folder / "tar"], check=True)
    for folder in ("out", "tar"):
        path = open_folder / folder / "disk.img"
        found = path.stat()
        assert (found.st_size, found.st_blocks * 512 < 3 * ENDS_BYTES) == (size, True)
        with path.open("rb") as file:
            assert file.read(len(first)) == first
            file.seek(-len(last) - 1, os.SEEK_END)
            assert file.read() == b"\0" + last

"""An archive is a plain compressed tar: what people have installed reads it without a word."""

from __future__ import annotations

import gzip
import subprocess
import tarfile
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import Codec, PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, make_rich_tree, write

READERS = [
    ["/usr/bin/tar", "--list", "--gzip", "--file"],
    ["/usr/bin/bsdtar", "-t", "-f"],
    ["/usr/bin/busybox", "tar", "-t", "-z", "-f"],
    ["/usr/bin/busybox", "gzip", "-t"],
    ["/usr/bin/7z", "t"],
    ["/usr/bin/gzip", "--test"],
    ["/usr/bin/pigz", "--test"],
]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(arguments, capture_output=True, check=False, timeout=60)


def make_plain_tree(site: Path) -> None:
    """A tree for readers that know ustar alone, with an index of more than one invisible member."""
    write(site / "index.php", b"<?php echo 'hello';\n" * 50)
    write(site / "large.bin", bytes(range(256)) * 8_000)
    for number in range(700):
        write(
            site / "posts" / f"{number:04}.txt",
            f"post {number}".encode() * 20,
            mtime_ns=1_600_000_000_000_000_000 + number,
        )
    (site / "link").symlink_to("index.php")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: " ".join(reader)[9:])
def test_a_reader_takes_the_archive_without_a_word(store: Store, site: Path, reader: list[str]) -> None:
    make_plain_tree(site)
    store.back_up()
    with store.open() as point:
        assert point.own.footer.area_bytes > 32_000
    done = run(*reader, store.path())
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("reader", ["/usr/bin/zstd", "/usr/bin/tar", "/usr/bin/bsdtar"])
def test_a_reader_takes_the_zstd_archive_without_a_word(store: Store, site: Path, reader: str) -> None:
    make_plain_tree(site)
    store.back_up(codec=Codec.ZSTD)
    arguments = ["--test", "--quiet"] if reader.endswith("zstd") else ["-t", "-f"]
    done = run(reader, *arguments, store.path())
    assert (done.returncode, done.stderr) == (0, b"")


def test_gnu_tar_unpacks_a_full_point_to_the_same_tree(store: Store, site: Path, open_folder: Path) -> None:
    make_rich_tree(site, deep=False)
    before = look(site)
    store.back_up()
    target = open_folder / "unpacked"
    target.mkdir()
    done = run("/usr/bin/tar", "--xattrs", "--extract", "--gzip", "--file", store.path(), "--directory", target)
    assert done.returncode == 0, done.stderr
    assert look(target) == before


def test_bsdtar_unpacks_a_full_point_to_the_same_tree(store: Store, site: Path, open_folder: Path) -> None:
    make_plain_tree(site)
    before = look(site)
    store.back_up()
    target = open_folder / "unpacked"
    target.mkdir()
    done = run("/usr/bin/bsdtar", "-x", "-p", "-f", store.path(), "-C", target)
    assert (done.returncode, done.stderr) == (0, b"")
    unpacked = look(target)
    del unpacked[b""], before[b""]  # bsdtar leaves the folder itself as it is
    assert unpacked == before


def test_the_members_of_an_increment_are_what_changed(store: Store, site: Path) -> None:
    make_plain_tree(site)
    store.back_up()
    write(site / "posts" / "0001.txt", b"changed")
    write(site / "posts" / "new.txt", b"new")
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    with tarfile.open(store.path()) as tar:
        assert tar.getnames() == ["posts", "posts/0001.txt", "posts/new.txt"]


def test_python_reads_names_times_holes_and_attributes(store: Store, site: Path) -> None:
    make_rich_tree(site)
    store.back_up()
    with tarfile.open(store.path(), errorlevel=2) as tar:
        members = {member.name: member for member in tar}
    assert float(members["photo.jpg"].mtime) == 1_700_000_000.0
    assert members["photo.jpg"].pax_headers["mtime"] == "1700000000.000000001"
    assert members["before-1970.txt"].pax_headers["mtime"] == "-1.500000001"
    assert members["sparse.img"].issparse()
    assert members["sparse.img"].size == 50_000_000
    assert members["uploads/index-again.php"].linkname == "index.php"
    assert members["names/" + "n" * 255].size == 255
    assert members["names/" + "\udcff" * 255].size == 255


def test_the_plain_stream_is_a_clean_tar(store: Store, site: Path) -> None:
    make_plain_tree(site)
    store.back_up()
    with gzip.open(store.path()) as file:
        plain = file.read()
    assert plain.endswith(bytes(1024))
    assert len(plain) % 512 == 0
    assert b"SBKPIDX" not in plain

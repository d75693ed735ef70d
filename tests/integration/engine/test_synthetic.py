"""Synthetic full points: what is unchanged is taken over from the chain, frame by frame, and equals a full point."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.tree import Codec, PointKind
from smartbackup_panel.engine.archive_file import ArchiveFile
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, make_rich_tree, write

SETTLED_SECONDS = 2.2


def frames_of(file: ArchiveFile) -> set[bytes]:
    """Return the checksums of an archive's frames."""
    return {file.frame_record(number).sha256 for number in range(file.footer.frame_count)}


def make_code(site: Path, files: int = 400) -> None:
    """Write files of text, 40 a folder, some thirty to a frame."""
    chance = random.Random(7)
    for number in range(files):
        text = "".join(chance.choice(["if (a) {\n", "return b;\n", "}\n", "// c\n"]) for _ in range(2_500))
        write(site / f"plugin-{number // 40:02d}" / f"file-{number:03d}.php", text.encode())


def age() -> None:
    """Let what was just written become older than a scan needs it to be."""
    time.sleep(SETTLED_SECONDS)


@pytest.mark.parametrize("codec", list(Codec))
def test_an_unchanged_site_is_copied_frame_by_frame(store: Store, site: Path, open_folder: Path, codec: Codec) -> None:
    make_rich_tree(site)
    make_code(site)
    age()
    store.back_up(codec=codec)
    store.back_up(PointKind.INCREMENTAL, earlier=0, codec=codec)
    summary = store.back_up(earlier=1, codec=codec, is_synthetic=True)
    assert summary.parent_digest is None
    with store.open(0) as first, store.open(2) as synthetic:
        assert [row.name for row in synthetic.rows] == [store.names[2]]
        copied = frames_of(first.own) & frames_of(synthetic.own)
        # What is packed again: frames with hard links, whose places are told by their first path.
        assert len(copied) >= first.own.footer.frame_count - 6
    for number in range(2):
        store.path(number).unlink()
    store.verify(2)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)


def test_a_synthetic_point_straight_on_a_full_one(store: Store, site: Path, open_folder: Path) -> None:
    make_rich_tree(site)
    make_code(site)
    write(site / "photo.jpg", os.urandom(3_000_000))
    age()
    store.back_up()
    write(site / "plugin-02" / "file-085.php", b"<?php // changed\n" * 50)
    (site / "plugin-05" / "file-211.php").unlink()
    (site / "plugin-06" / "file-250.php").chmod(0o600)
    store.back_up(earlier=0, is_synthetic=True)
    with store.open(0) as first, store.open(1) as synthetic:
        assert 6 <= len(frames_of(first.own) & frames_of(synthetic.own)) < first.own.footer.frame_count
    store.path(0).unlink()
    store.verify(1)
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)


def test_changes_since_the_full_point_are_in_a_synthetic_one(store: Store, site: Path, open_folder: Path) -> None:
    make_code(site)
    write(site / "photo.jpg", os.urandom(3_000_000))
    write(site / "old.bin", os.urandom(1_500_000))
    age()
    store.back_up()
    write(site / "plugin-02" / "file-085.php", b"<?php // changed\n" * 50)
    write(site / "plugin-02" / "file-0855.php", b"<?php // new\n" * 50)
    write(site / "added.bin", os.urandom(2_000_000))
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    (site / "plugin-05" / "file-211.php").unlink()
    (site / "plugin-06" / "file-250.php").chmod(0o600)
    write(site / "old.bin", os.urandom(1_500_000))
    store.back_up(PointKind.INCREMENTAL, earlier=1)
    store.back_up(earlier=2, is_synthetic=True)
    with store.open(0) as first, store.open(3) as synthetic:
        assert 4 <= len(frames_of(first.own) & frames_of(synthetic.own)) < first.own.footer.frame_count
    for number in range(3):
        store.path(number).unlink()
    store.verify(3)
    store.restore_into(open_folder / "out", 3)
    assert look(open_folder / "out") == look(site)
    (open_folder / "by-tar").mkdir()
    subprocess.run(["tar", "-xzf", store.path(3), "-C", open_folder / "by-tar"], check=True)
    assert look(open_folder / "by-tar") == look(site)


def test_points_build_on_a_synthetic_one(store: Store, site: Path, open_folder: Path) -> None:
    make_code(site, 120)
    age()
    store.back_up()
    store.back_up(earlier=0, is_synthetic=True)
    write(site / "plugin-00" / "file-001.php", b"<?php // changed")
    store.back_up(PointKind.INCREMENTAL, earlier=1)
    store.back_up(earlier=2, is_synthetic=True)
    store.path(0).unlink()
    store.verify(2)
    store.restore_into(open_folder / "out", 3)
    assert look(open_folder / "out") == look(site)


def test_a_damaged_frame_is_never_copied(store: Store, site: Path) -> None:
    make_code(site, 120)
    age()
    store.back_up()
    with store.open() as point:
        offset = point.own.frame_record(1).offset + 50
    with store.path().open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ArchiveDamaged):
        store.back_up(earlier=0, is_synthetic=True)


def test_another_compression_is_packed_again(store: Store, site: Path, open_folder: Path) -> None:
    make_code(site, 120)
    age()
    store.back_up()
    store.back_up(earlier=0, codec=Codec.ZSTD, is_synthetic=True)
    store.path(0).unlink()
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)


@pytest.mark.parametrize("seed", range(40 if os.environ.get("SMARTBACKUP_LONG") else 3))
def test_random_histories_end_in_the_same_tree(store: Store, site: Path, open_folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(60):
        write(
            site / f"d{number % 7}" / f"f{number}",
            chance.randbytes(chance.choice([0, 10, 511, 512, 9_000, 400_000, 700_000])),
        )
    (site / "d1" / "empty").mkdir()
    age()
    store.back_up()
    for _ in range(2):
        for _ in range(chance.randrange(6)):
            change_something(site, chance)
        store.back_up(PointKind.INCREMENTAL, earlier=-1)
    for _ in range(chance.randrange(6)):
        change_something(site, chance)
    store.back_up(earlier=-1, is_synthetic=True)
    for number in range(3):
        store.path(number).unlink()
    store.restore_into(open_folder / "out")
    assert look(open_folder / "out") == look(site)


def change_something(site: Path, chance: random.Random) -> None:
    """Make one change of a kind that breaks frames apart."""
    folder = site / f"d{chance.randrange(7)}"
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    kind = chance.randrange(6)
    if kind == 0 and files:
        chance.choice(files).unlink()
    elif kind == 1:
        write(folder / f"new{chance.randrange(1_000)}", chance.randbytes(chance.choice([0, 700, 600_000])))
    elif kind == 2 and files:
        chance.choice(files).write_bytes(chance.randbytes(chance.choice([1, 80_000, 900_000])))
    elif kind == 3 and files:
        chance.choice(files).chmod(0o600)
    elif kind == 4:
        (folder / f"folder{chance.randrange(1_000)}").mkdir(exist_ok=True)
    elif files:
        os.link(chance.choice(files), folder / f"link{chance.randrange(1_000_000)}")

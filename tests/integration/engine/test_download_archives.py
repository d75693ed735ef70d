"""Downloads are archives that anybody's programs unpack, and pictures are not compressed in vain."""

from __future__ import annotations

import os
import random
import subprocess
import zipfile
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import NoSpace
from smartbackup_panel.core.tree import ExportFormat
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look, make_rich_tree, write

CONTENTS = {
    "index.php": b"<?php echo 'shop';\n",
    "empty.txt": b"",
    "small.jpg": random.Random(1).randbytes(5_000),
    "photo.jpg": random.Random(2).randbytes(700_000),
    "film.mp4": random.Random(3).randbytes(3_300_001),
    "access.log": b"127.0.0.1 - - GET /shop HTTP/1.1 200\n" * 90_000,
    "folder/dump.sql": b"INSERT INTO posts VALUES (1);\n" * 20_000,
}
PICTURES = {"small.jpg", "photo.jpg", "film.mp4"}


@pytest.fixture
def shop(store: Store, site: Path) -> Store:
    """Give a store with one point of `CONTENTS`."""
    for name, content in CONTENTS.items():
        write(site / name, content)
    store.back_up()
    return store


def download(store: Store, kind: ExportFormat, path: Path, limit_bytes: int = 1 << 30) -> Path:
    """Write the whole newest point as a download to `path`."""
    with open(path, "wb+") as out, store.open() as point, store.agent() as agent:
        agent.export(point, [b""], kind, out.fileno(), limit_bytes)
    return path


@pytest.mark.parametrize(
    "command", [["7z", "x", "-bd"], ["bsdtar", "-xf"], ["busybox", "unzip"], ["python3", "-m", "zipfile", "-e"]]
)
def test_a_zip_is_unpacked_by_everybody(command: list[str], shop: Store, tmp_path: Path) -> None:
    packed = download(shop, ExportFormat.ZIP, tmp_path / "shop.zip")
    into = tmp_path / "out"
    into.mkdir()
    subprocess.run(
        [*command, str(packed), *(["."] if "-e" in command else [])], cwd=into, check=True, capture_output=True
    )
    assert {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()} == CONTENTS


def test_a_zip_is_read_from_a_pipe_too(shop: Store, tmp_path: Path) -> None:
    """Every member says its size before its content, which who reads a stored one from a pipe has to know."""
    packed = download(shop, ExportFormat.ZIP, tmp_path / "shop.zip")
    into = tmp_path / "out"
    into.mkdir()
    subprocess.run(["bsdtar", "-xf", "-"], cwd=into, input=packed.read_bytes(), check=True)
    assert {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()} == CONTENTS


def test_pictures_are_stored_in_a_zip_and_the_rest_is_compressed(shop: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(download(shop, ExportFormat.ZIP, tmp_path / "shop.zip")) as archive:
        members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    stored = {name for name, member in members.items() if member.compress_type == zipfile.ZIP_STORED}
    assert stored == PICTURES
    assert all(members[name].compress_size < len(CONTENTS[name]) / 20 for name in ("access.log", "folder/dump.sql"))


def test_pictures_are_stored_in_a_tar_and_the_rest_is_compressed(shop: Store, tmp_path: Path) -> None:
    size = download(shop, ExportFormat.TAR_GZ, tmp_path / "shop.tar.gz").stat().st_size
    assert 0 < size - sum(len(CONTENTS[name]) for name in PICTURES) < 50_000


def test_a_tar_of_a_rich_tree_is_what_gnu_tar_unpacks(store: Store, site: Path, tmp_path: Path) -> None:
    make_rich_tree(site, deep=False)
    for name, content in CONTENTS.items():
        write(site / name, content)
    store.back_up()
    packed = download(store, ExportFormat.TAR_GZ, tmp_path / "shop.tar.gz")
    into = tmp_path / "out"
    into.mkdir()
    subprocess.run(["tar", "--xattrs", "-xpf", str(packed), "-C", str(into)], check=True, capture_output=True)
    assert look(into).keys() == look(site).keys()
    assert all((into / name).read_bytes() == content for name, content in CONTENTS.items())


@pytest.mark.parametrize("kind", [ExportFormat.ZIP, ExportFormat.TAR_GZ])
def test_a_download_never_passes_its_limit(kind: ExportFormat, shop: Store, tmp_path: Path) -> None:
    whole = download(shop, kind, tmp_path / "whole").stat().st_size
    assert download(shop, kind, tmp_path / "exactly", whole).stat().st_size == whole
    with pytest.raises(NoSpace, match="larger than the room"):
        download(shop, kind, tmp_path / "less", whole - 1)
    assert os.stat(tmp_path / "less").st_size < whole

"""The one door to a tenant's tree, through the kernel's own walls and through the fallback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import MissingDocumentRoot, UnsafePath
from smartbackup_panel.engine import fsafe


@pytest.fixture(params=[True, False], ids=["openat2", "by components"], autouse=True)
def with_openat2(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of this file with the kernel's call and without it."""
    monkeypatch.setattr(fsafe, "_has_openat2", request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a tree with a file and every kind of way out."""
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"inside")
    (tmp_path / "outside").write_bytes(b"outside")
    (folder / "link").symlink_to("sub/file")
    (folder / "link-out").symlink_to(tmp_path / "outside")
    (folder / "folder-link").symlink_to("sub")
    (folder / "folder-out").symlink_to(tmp_path)
    return folder


def read_beneath(root: Path, path: bytes) -> bytes:
    dir_fd = os.open(root, os.O_RDONLY)
    try:
        with fsafe.closing(fsafe.open_beneath(dir_fd, path)) as fd:
            return os.read(fd, 100)
    finally:
        os.close(dir_fd)


def test_a_file_below_is_opened(root: Path) -> None:
    assert read_beneath(root, b"sub/file") == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        b"link",
        b"link-out",
        b"folder-link/file",
        b"folder-out/outside",
        b"../outside",
        b"sub/../../outside",
        b"/etc/passwd",
    ],
)
def test_links_and_ways_out_are_not_opened(root: Path, path: bytes) -> None:
    with pytest.raises(OSError, match=r"symbolic links|cross-device|Not a directory") as caught:
        read_beneath(root, path)
    assert caught.value.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR)


def test_another_filesystem_is_not_entered() -> None:
    with pytest.raises(OSError, match="cross-device"):
        read_beneath(Path("/"), b"proc/version")


def test_a_pipe_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert read_beneath(root, b"pipe") == b""


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"sub/file", b"link", b"folder-out/outside", b"no/such", b"sub/file/below"):
        try:
            read_beneath(root, path)
        except OSError:
            continue
    dir_fd = os.open(root, os.O_RDONLY)
    with fsafe.DirectoryCursor(dir_fd) as cursor:
        cursor.folder(b"sub")
        with pytest.raises(NotADirectoryError):
            cursor.folder(b"folder-out/x")
    os.close(dir_fd)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", [b"", b"a", b"a/b", b"...", b"-rf", b"\xff\n", b"n" * 255])
def test_real_names_are_safe(path: bytes) -> None:
    assert fsafe.is_safe_path(path)


def test_a_link_as_the_last_name_is_refused(root: Path) -> None:
    with pytest.raises(UnsafePath, match="is a link"):
        fsafe.open_folder(str(root / "folder-link"))


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a link away needs root")
def test_only_an_administrators_link_is_followed_on_the_way(root: Path) -> None:
    way = root.parent / "way"
    way.symlink_to(root)
    os.close(fsafe.open_folder(str(way / "sub")))
    os.chown(way, 20001, 20001, follow_symlinks=False)
    with pytest.raises(UnsafePath, match="does not belong to root"):
        fsafe.open_folder(str(way / "sub"))


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UnsafePath):
        fsafe.open_folder(str(tmp_path / "a" / "below"))


@pytest.mark.parametrize("name", ["gone", "gone/below", "sub/file", "sub/file/below"])
def test_what_is_no_folder_is_said(root: Path, name: str) -> None:
    with pytest.raises(MissingDocumentRoot):
        fsafe.open_folder(str(root / name))


def test_a_tree_is_removed_and_nothing_beyond_its_links(root: Path) -> None:
    (root / "locked" / "deep").mkdir(parents=True)
    (root / "locked" / "deep" / "file").write_bytes(b"x")
    (root / "locked" / "deep").chmod(0)
    parent_fd = os.open(root.parent, os.O_RDONLY)
    fsafe.remove_tree(parent_fd, b"root")
    fsafe.remove_tree(parent_fd, b"root")
    os.close(parent_fd)
    assert os.listdir(root.parent) == ["outside"]
    assert (root.parent / "outside").read_bytes() == b"outside"


def test_a_tree_deeper_than_the_descriptors_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsafe, "MAX_DEPTH", 5)
    deep = tmp_path / "tree"
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"x")
    parent_fd = os.open(tmp_path, os.O_RDONLY)
    fsafe.remove_tree(parent_fd, b"tree")
    os.close(parent_fd)
    assert os.listdir(tmp_path) == []

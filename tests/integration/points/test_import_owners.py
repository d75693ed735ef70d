"""Files of the web user in archives of others: their points know whose they were, and a restore gives them back."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smartbackup_panel.core.model import JobState, Point, PointKind, PointState
from smartbackup_panel.core.tree import Entry, EntryType
from smartbackup_panel.services import store
from tests.integration.points.living import TENANT_UID, Living, own
from tests.integration.points.test_import import (
    FIRST,
    FIRST_UNIX,
    FULL,
    FULL_UNIX,
    SECOND,
    SECOND_UNIX,
    old,
    restored_tree,
    run_import,
    tar,
)
from tests.support.original import Original
from tests.support.sites import BOB, differences, tree_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")

_WEB = pwd.getpwnam("www-data")
WWW = (_WEB.pw_uid, _WEB.pw_gid)
TENANT = (TENANT_UID, TENANT_UID)
MIXED = (TENANT_UID, _WEB.pw_gid)
BIG = os.urandom(400_000)


@pytest.fixture
def uploads(living: Living) -> Path:
    """Make a site as PHP leaves it, older than the first backup, and return its folder of uploads."""
    folder = living.root / "wp-content/uploads"
    living.write("wp-content/uploads/photo.jpg", BIG)
    living.write("wp-content/uploads/secret.key", b"for the web user alone")
    living.write("wp-content/uploads/2026/11/a.jpg", b"jpeg")
    living.write("wp-content/uploads/2026/by-sftp.jpg", b"by the tenant")
    living.write("wp-config.php", b"<?php // the web server reads it")
    (folder / "secret.key").chmod(0o600)
    (living.root / "wp-config.php").chmod(0o640)
    (folder / "latest").symlink_to("2026/11/a.jpg")
    os.link(folder / "2026/11/a.jpg", folder / "again.jpg")
    for name in ("", "photo.jpg", "secret.key", "2026", "2026/11", "2026/11/a.jpg", "latest"):
        os.lchown(folder / name, *WWW)
    folder.chmod(0o2770)
    os.chown(living.root / "wp-config.php", *MIXED)
    for path in (*sorted(living.root.rglob("*"), reverse=True), living.root):
        old(path, FULL_UNIX - 1000)
    return folder


@pytest.fixture
def original(living: Living) -> Original:
    return Original.at(living.host.folder / "old", living.root.parent, "shop.example")


def written(path: Path, content: bytes, owner: tuple[int, int], at: int) -> Path:
    """Write a file as a new one, as an upload is, and return it."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    os.chown(path, *owner)
    old(path, at)
    return path


@contextmanager
def entries_of(living: Living, point: Point) -> Iterator[dict[str, Entry]]:
    """Give what a point says of each of its paths."""
    assert point.archive is not None
    installation = living.host.installation
    with (
        store.open_store(installation, living.domain) as folder_fd,
        store.open_point(installation, folder_fd, point.archive) as archives,
    ):
        yield {os.fsdecode(entry.path): entry for entry in archives.entries()}


def test_an_archives_uploads_come_back_to_the_web_user(living: Living, uploads: Path) -> None:
    then = tree_of(living.root, owners=True)
    job = run_import(living, tar(living.host.folder / "site.tar.gz", "-C", str(living.root), "."))
    assert job.state is JobState.DONE, job
    [point] = living.points()
    assert (point.state, point.warnings, point.skipped_count) == (PointState.GOOD, (), 0)
    out = restored_tree(living, point)
    assert not differences(then, tree_of(out, owners=True))
    found = {
        name: (out / "wp-content/uploads" / name).lstat() for name in ("secret.key", "latest", "again.jpg", "2026")
    }
    assert {(about.st_uid, about.st_gid) for about in found.values()} == {WWW}
    assert found["secret.key"].st_mode & 0o777 == 0o600
    assert (found["again.jpg"].st_nlink, (out / "wp-config.php").stat().st_gid) == (2, MIXED[1])
    assert uploads.is_dir()


def test_a_point_names_the_web_user_where_the_archive_did(living: Living, uploads: Path) -> None:
    run_import(living, tar(living.host.folder / "site.tar.gz", "-C", str(uploads.parent.parent), "."))
    [point] = living.points()
    with entries_of(living, point) as entries:
        named = {path: (entry.uid, entry.gid, entry.user, entry.group) for path, entry in entries.items()}
        assert entries["wp-content/uploads/again.jpg"].type is EntryType.HARDLINK
    web = (*WWW, "www-data", "www-data")
    assert {path for path, owner in named.items() if owner == web} == {
        "wp-content/uploads",
        "wp-content/uploads/2026",
        "wp-content/uploads/2026/11",
        "wp-content/uploads/2026/11/a.jpg",
        "wp-content/uploads/again.jpg",
        "wp-content/uploads/latest",
        "wp-content/uploads/photo.jpg",
        "wp-content/uploads/secret.key",
    }
    assert {owner[:2] for owner in named.values()} == {WWW, TENANT, MIXED}


@pytest.mark.parametrize(
    "is_laid_out", [False, True], ids=["its base unpacked just before", "its base out of the store"]
)
def test_an_increment_keeps_the_owners_of_its_base(
    living: Living, original: Original, uploads: Path, is_laid_out: bool
) -> None:
    base = original.full(FULL, FULL_UNIX)
    written(uploads / "secret.key", b"a new one", WWW, FULL_UNIX + 10).chmod(0o600)
    written(uploads / "2026/11/a.jpg", b"no link any more", TENANT, FULL_UNIX + 10)
    written(uploads / "2026/by-sftp.jpg", b"by PHP now", WWW, FULL_UNIX + 10)
    written(uploads / "2026/11/new.jpg", b"new", WWW, FULL_UNIX + 10)
    first = original.increment(FIRST, FIRST_UNIX, FULL_UNIX, base.name)
    written(living.root / "wp-config.php", b"<?php // changed", TENANT, FIRST_UNIX + 10)
    second = original.increment(SECOND, SECOND_UNIX, FIRST_UNIX, base.name)
    for group in [(base,), (first,), (second,)] if is_laid_out else [(base, first, second)]:
        assert run_import(living, *group).state is JobState.DONE
    newest, middle, oldest = living.points()
    assert (middle.kind, newest.kind) == (PointKind.INCREMENTAL, PointKind.INCREMENTAL)
    assert (middle.added, middle.changed, middle.deleted) == (1, 4, 0)  # again.jpg holds the content alone now
    assert (newest.added, newest.changed, newest.deleted) == (0, 1, 0)
    assert max(middle.archive_bytes, newest.archive_bytes) < len(BIG) // 4
    assert not any("web user" in said for point in (newest, middle, oldest) for said in point.warnings)
    live, back = tree_of(living.root, owners=True), tree_of(restored_tree(living, newest), owners=True)
    folders = {path for path, entry in live.items() if entry.kind == "folder"}
    assert not differences(*({path: tree[path] for path in tree.keys() - folders} for tree in (live, back)))
    assert {path: (live[path].owner, live[path].mode) for path in folders} == {
        path: (back[path].owner, back[path].mode) for path in folders
    }


def test_what_took_an_uploads_place_is_not_the_web_users(living: Living, original: Original, uploads: Path) -> None:
    base = original.full(FULL, FULL_UNIX)
    (uploads / "latest").unlink()
    written(uploads / "latest", b"a file of the tenant's", TENANT, FULL_UNIX + 10)
    for name in ("2026/11/a.jpg", "2026/by-sftp.jpg"):
        (uploads / name).unlink()
    (uploads / "2026/11").rmdir()
    (uploads / "2026").rmdir()
    written(uploads / "2026", b"a file where a folder was", TENANT, FULL_UNIX + 10)
    (uploads / "photo.jpg").unlink()
    (uploads / "photo.jpg").mkdir()
    own(uploads / "photo.jpg")
    for number in range(20):
        written(uploads / "photo.jpg" / f"{number}.jpg", b"small", TENANT, FULL_UNIX + 10)
    original.increment(FIRST, FIRST_UNIX, FULL_UNIX, base.name)
    run_import(living, original.folder)
    newest, _ = living.points()
    with entries_of(living, newest) as entries:
        of_web = {path for path, entry in entries.items() if entry.uid == WWW[0]}
        assert len([path for path in entries if path.startswith("wp-content/uploads/photo.jpg/")]) == 20
    assert of_web == {"wp-content/uploads", "wp-content/uploads/again.jpg", "wp-content/uploads/secret.key"}


def test_strangers_of_an_archive_get_nothing_by_a_restore(living: Living, uploads: Path) -> None:
    strange = {"root.php": (0, 0), "bobs.php": (BOB.uid, BOB.gid), "none.php": (4_000_000_000, 4_000_000_000)}
    half = {
        "web and bob.php": (WWW[0], BOB.gid),
        "web and root.php": (WWW[0], 0),
        "tenant and root.php": (TENANT_UID, 0),
    }
    for name, owner in (strange | half).items():
        written(uploads / name, b"<?php", owner, FULL_UNIX).chmod(0o6755)
    (uploads / "roots").mkdir()
    os.chown(uploads / "roots", 0, 0)
    (uploads / "bobs").symlink_to("roots")
    os.lchown(uploads / "bobs", BOB.uid, BOB.gid)
    run_import(living, tar(living.host.folder / "site.tar.gz", "--numeric-owner", "-C", str(living.root), "."))
    [point] = living.points()
    with entries_of(living, point) as entries:
        owners = {path.rpartition("/")[2]: (entry.uid, entry.gid) for path, entry in entries.items()}
    assert {name: owners[name] for name in (*strange, "roots", "bobs", "tenant and root.php")} == dict.fromkeys(
        (*strange, "roots", "bobs", "tenant and root.php"), TENANT
    )
    assert owners["web and bob.php"] == owners["web and root.php"] == (WWW[0], TENANT_UID)
    assert set(owners.values()) == {TENANT, WWW, MIXED, (WWW[0], TENANT_UID)}
    out = restored_tree(living, point) / "wp-content/uploads"
    assert {(out / name).stat().st_mode & 0o7777 for name in strange | half} == {0o755}
    assert {(out / name).lstat().st_uid for name in (*strange, "roots", "bobs")} == {TENANT_UID}

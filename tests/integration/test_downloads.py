"""Downloads are kept for ten minutes, for the one who asked, and never fill the disk."""

from __future__ import annotations

import io
import os
import random
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.errors import ArchiveDamaged, DownloadGone, UnknownJob, UnknownPath, UnsafePath
from smartbackup_panel.core.model import COMMAND_LINE, Actor, JobState, Role
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.services.downloads import Downloads, expire
from smartbackup_panel.settings import load_settings
from tests.support.installation import Installation, make_installation

SHOP = "shop.example.test"
PHOTO = random.Random(20261123).randbytes(700_000)


@dataclass(frozen=True)
class Stopped:
    """A clock that stands still."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Shop:
    """A site with one point, and somebody who may see it."""

    installation: Installation
    services: Services
    domain_id: str
    point_id: str
    actor: Actor

    def export(self, *paths: str, kind: ExportFormat = ExportFormat.FILE) -> str:
        job = self.services.requests.export(self.actor, self.domain_id, self.point_id, paths, kind)
        return self.services.runner().run(job.id).id

    def kept(self) -> list[str]:
        return [name.partition("-")[2] for name in os.listdir(self.installation.state_dir / "downloads")]

    def later(self, minutes: float) -> Downloads:
        now = self.services.installation.clock.now() + timedelta(minutes=minutes)
        return Downloads(replace(self.services.installation, clock=Stopped(now)))


@pytest.fixture
def shop() -> Iterator[Shop]:
    with make_installation() as installation:
        installation.add_site(SHOP, {"index.php": "<?php\n", "a/b.txt": "b\n", "broken.jpg": PHOTO})
        made = installation.smartbackup("backup", SHOP)
        found = installation.smartbackup("domains", "show", SHOP)
        services = open_services(load_settings(environment=installation.environment))
        alice = Actor("alice", Role.CUSTOMER, services.queries.domain_named(COMMAND_LINE, SHOP).owner)
        yield Shop(installation, services, found["id"], made["point"], alice)
        services.installation.state.close()


def damage(shop: Shop) -> None:
    """Flip a bit in the frames of broken.jpg, and let a verification find it."""
    (path,) = (shop.installation.backup_root / SHOP).glob("*.tar.gz")
    content = bytearray(path.read_bytes())
    content[300_000] ^= 1
    path.write_bytes(content)
    shop.installation.smartbackup("verify", SHOP, exit_code=ArchiveDamaged.exit_code)


def test_a_download_is_over_after_ten_minutes(shop: Shop) -> None:
    job = shop.export("index.php")
    assert not shop.later(10.5).is_there(shop.actor, job)
    with pytest.raises(DownloadGone, match="ten minutes"):
        shop.later(10.5).take(shop.actor, job)
    assert shop.later(9).is_there(shop.actor, job)
    taken = shop.later(9).take(shop.actor, job)
    assert (os.read(taken.fd, 100), taken.name) == (b"<?php\n", b"index.php")
    os.close(taken.fd)
    with pytest.raises(DownloadGone, match="already"):
        shop.later(9).take(shop.actor, job)
    assert expire(shop.services.installation) == 0
    assert expire(shop.later(10.5).installation) == 1
    assert shop.kept() == []


def test_a_download_belongs_to_its_actor(shop: Shop) -> None:
    job = shop.export("index.php")
    for other in (Actor("rosa", Role.ADMIN), Actor("bob", Role.CUSTOMER, "bob"), COMMAND_LINE):
        with pytest.raises(UnknownJob):
            shop.services.downloads.take(other, job)
    plan = shop.services.requests.plan(shop.actor, shop.domain_id, shop.point_id, True, False, False, ("index.php",))
    with pytest.raises(UnknownJob):
        shop.services.downloads.take(shop.actor, plan.id)


def test_a_domain_keeps_its_newest_three_downloads(shop: Shop) -> None:
    made = [shop.export("a", kind=ExportFormat.ZIP) for _ in range(5)]
    assert sorted(shop.kept()) == sorted(made[2:])


def test_a_download_that_fails_leaves_nothing(shop: Shop) -> None:
    job = shop.services.queries.job(shop.actor, shop.export("never.txt"))
    assert (job.state, job.error_code) == (JobState.FAILED, UnknownPath.code)
    damage(shop)
    for kind in (ExportFormat.FILE, ExportFormat.ZIP, ExportFormat.TAR_GZ):
        job = shop.services.queries.job(shop.actor, shop.export("broken.jpg", kind=kind))
        assert (job.state, job.error_code) == (JobState.FAILED, "archive.damaged")
    assert shop.kept() == []


@pytest.mark.parametrize("kind", [ExportFormat.ZIP, ExportFormat.TAR_GZ])
def test_what_is_sound_of_a_damaged_point_can_be_downloaded(shop: Shop, kind: ExportFormat) -> None:
    damage(shop)
    taken = shop.later(0).take(shop.actor, shop.export("index.php"))
    assert os.read(taken.fd, 100) == b"<?php\n"
    os.close(taken.fd)
    job = shop.services.queries.job(shop.actor, shop.export("", kind=kind))
    assert (job.state, job.result and job.result["lost"]) == (JobState.PARTIAL, ["broken.jpg"])
    taken = shop.later(0).take(shop.actor, job.id)
    with os.fdopen(taken.fd, "rb") as file:
        content = io.BytesIO(file.read())
    if kind is ExportFormat.ZIP:
        with zipfile.ZipFile(content) as archive:
            names = archive.namelist()
    else:
        with tarfile.open(fileobj=content) as tar:
            names = tar.getnames()
    assert sorted(name.strip("./") for name in names if name.strip("./")) == ["a", "a/b.txt", "index.php"]


def test_the_command_line_gives_what_is_sound_of_a_damaged_point(shop: Shop) -> None:
    damage(shop)
    point = ["--point", shop.point_id]
    assert shop.installation.run("cat", SHOP, *point, "a/b.txt").stdout == b"b\n"
    broken = shop.installation.run("cat", SHOP, *point, "broken.jpg")
    assert (broken.returncode == 0, broken.stdout) == (False, b"")
    output = shop.installation.folder / "out.zip"
    exported = shop.installation.smartbackup("export", SHOP, *point, "--format", "zip", "--output", str(output))
    assert (exported["lost_count"], exported["lost"]) == (1, ["broken.jpg"])
    with zipfile.ZipFile(output) as archive:
        assert archive.read("a/b.txt") == b"b\n"


def test_a_path_that_leads_out_is_refused_before_there_is_a_job(shop: Shop) -> None:
    for path in ("../evil", "/etc/passwd", "a//b", "a/../b", "nul\0byte"):
        with pytest.raises(UnsafePath):
            shop.export(path)
        with pytest.raises(UnsafePath):
            shop.services.requests.plan(shop.actor, shop.domain_id, shop.point_id, True, False, False, (path,))
        with pytest.raises(UnsafePath):
            shop.services.requests.text_diff(shop.actor, shop.domain_id, shop.point_id, shop.point_id, path)
        with pytest.raises(UnsafePath):
            shop.services.contents.folder(shop.actor, shop.domain_id, shop.point_id, os.fsencode(path))

"""Downloads are kept for ten minutes, for the one who asked, and never fill the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from smartbackup_panel.adapters.db import points
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.errors import DownloadGone, UnknownJob, UnknownPath, UnsafePath
from smartbackup_panel.core.model import COMMAND_LINE, Actor, JobState, Role
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.services.downloads import Downloads, expire
from smartbackup_panel.settings import load_settings
from tests.support.installation import Installation, make_installation

SHOP = "shop.example.test"


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
        installation.add_site(SHOP, {"index.php": "<?php\n", "a/b.txt": "b\n"})
        made = installation.smartbackup("backup", SHOP)
        found = installation.smartbackup("domains", "show", SHOP)
        services = open_services(load_settings(environment=installation.environment))
        alice = Actor("alice", Role.CUSTOMER, services.queries.domain_named(COMMAND_LINE, SHOP).owner)
        yield Shop(installation, services, found["id"], made["point"], alice)
        services.installation.state.close()


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
    with shop.services.installation.state.write() as tx:
        points.mark_damaged(tx, shop.point_id, "a flipped bit", datetime.now(UTC))
    job = shop.services.queries.job(shop.actor, shop.export("index.php"))
    assert (job.state, job.error_code) == (JobState.FAILED, "archive.damaged")
    assert shop.kept() == []


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

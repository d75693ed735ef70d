"""The state is lost and the store is there: points, choices and schedules come back, and to nobody else."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.integration.test_walk import make_site
from tests.support.installation import Installation
from tests.support.sites import BOB, differences


def test_a_lost_state_is_made_again_from_the_store(installation: Installation) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    domain = installation.smartbackup("domains", "show", "shop.example.test")
    then = site.tree()
    (installation.state_dir / "db" / "state.sqlite").unlink()
    rebuilt = installation.smartbackup("rebuild-catalog")
    assert rebuilt == {"points": [made["point"]], "choices": [], "refused": [], "listed": 1}
    assert installation.smartbackup("domains", "show", "shop.example.test")["id"] == domain["id"]
    (site.root / "index.php").unlink()
    installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
    assert not differences(then, site.tree())


def test_a_worker_that_finds_no_state_finds_the_points_again(installation: Installation) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    installation.smartbackup("pin", "shop.example.test", "--point", made["point"])
    domain = installation.smartbackup("domains", "show", "shop.example.test")
    (installation.state_dir / "db" / "state.sqlite").unlink()
    site.write("index.php", "<?php // later")
    installation.smartbackup("worker", "--once")
    assert installation.smartbackup("domains", "show", "shop.example.test")["id"] == domain["id"]
    later, first = installation.smartbackup("points", "shop.example.test")
    assert (first["point"], first["pinned"]) == (made["point"], True)
    assert later["created_at"] > first["created_at"]
    assert installation.smartbackup("schedule", "show", "shop.example.test")["schedule"]
    assert installation.smartbackup("rebuild-catalog")["points"] == []
    assert len(installation.smartbackup("verify", "shop.example.test")["points"]) == 2


def test_a_rebuilt_domain_is_backed_up_by_itself_again(installation: Installation) -> None:
    make_site(installation)
    installation.smartbackup("backup", "shop.example.test")
    (installation.state_dir / "db" / "state.sqlite").unlink()
    installation.smartbackup("rebuild-catalog")
    assert installation.smartbackup("worker", "--once")["jobs"] >= 1
    assert len(installation.smartbackup("points", "shop.example.test")) == 2
    assert installation.smartbackup("schedule", "show", "shop.example.test")["schedule"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_who_owns_the_name_after_the_state_was_lost_sees_nothing_of_the_owner_before(
    installation: Installation,
) -> None:
    site = make_site(installation)
    site.own()
    made = installation.smartbackup("backup", "shop.example.test")
    before = installation.folder / "store" / "shop.example.test" / made["archive"]
    (installation.state_dir / "db" / "state.sqlite").unlink()
    for path in (site.root, *site.root.rglob("*")):
        os.chown(path, BOB.uid, BOB.gid, follow_symlinks=False)
    installation.smartbackup("worker", "--once")
    own = installation.smartbackup("points", "shop.example.test")
    assert made["point"] not in {row["point"] for row in own}
    archives = set((installation.folder / "store").glob("shop*/backup_*.tar.gz"))
    assert before in archives and len(archives) == 2
    assert [path.parent.name.partition("~")[0] for path in archives - {before}] == ["shop.example.test"]
    assert before.parent not in {path.parent for path in archives - {before}}
    assert installation.smartbackup("rebuild-catalog")["points"] == [made["point"]]
    assert installation.smartbackup("points", "shop.example.test") == own


def test_archives_whose_key_is_lost_too_are_imported(installation: Installation) -> None:
    site = make_site(installation)
    full = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    then = site.tree()
    site.write("public_html/a.txt", "second\n")
    site.own()
    increment = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    later = site.tree()
    shutil.rmtree(installation.state_dir)
    refused = installation.run("rebuild-catalog", "--json")
    assert b"signing-key" in refused.stderr + refused.stdout
    imported = installation.smartbackup("import", "shop.example.test")
    assert [row["state"] for row in imported["sources"]] == ["imported"] * 2
    for point, tree in zip(imported["points"], (then, later), strict=True):
        (site.root / "index.php").write_text("hacked")
        installation.smartbackup("restore", "shop.example.test", "--point", point, "--yes")
        assert not differences(tree, site.tree())
    store = os.listdir(installation.folder / "store" / "shop.example.test")
    assert {full["archive"], increment["archive"]} < set(store)

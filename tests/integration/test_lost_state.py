"""The state is lost and the store is there: points, choices and schedules come back, and to nobody else."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from smartbackup_panel.services import sidecars
from tests.integration.test_walk import make_site
from tests.support.clock import a_host
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


def test_what_was_known_to_be_damaged_is_known_after_the_state_was_lost(installation: Installation) -> None:
    site = make_site(installation)
    full = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    site.write("public_html/a.txt", "second\n")
    site.own()
    increment = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    sound = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    archive = installation.folder / "store" / "shop.example.test" / full["archive"]
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 1
    archive.write_bytes(content)
    found = installation.smartbackup("verify", "shop.example.test", exit_code=1)
    assert sorted(found["damaged"]) == sorted([full["point"], increment["point"]])
    (installation.state_dir / "db" / "state.sqlite").unlink()
    installation.smartbackup("rebuild-catalog")
    states = {row["point"]: row["state"] for row in installation.smartbackup("points", "shop.example.test")}
    assert states == {full["point"]: "damaged", increment["point"]: "damaged", sound["point"]: "good"}
    refused = installation.smartbackup(
        "restore", "shop.example.test", "--point", increment["point"], "--yes", exit_code=1
    )
    assert "damaged" in refused["error"]["message"]


@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "link", "other"])
def test_a_meta_that_was_harmed_is_written_anew(installation: Installation, harm: str) -> None:
    make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    meta = installation.folder / "store" / "shop.example.test" / f"{made['archive']}.meta"
    content = meta.read_bytes()
    meta.unlink()
    if harm == "flip":
        meta.write_bytes(content.replace(b'"good"', b'"goof"'))
    elif harm == "cut":
        meta.write_bytes(content[: len(content) // 2])
    elif harm == "link":
        meta.symlink_to("/etc/hostname")
    elif harm == "other":
        other = installation.smartbackup("backup", "shop.example.test", "--type", "full")
        meta.write_bytes(meta.with_name(f"{other['archive']}.meta").read_bytes())
    assert installation.smartbackup("verify", "shop.example.test")["damaged"] == []
    assert not meta.is_symlink()
    assert json.loads(meta.read_bytes())["point"]["id"] == made["point"]
    (installation.state_dir / "db" / "state.sqlite").unlink()
    assert made["point"] in installation.smartbackup("rebuild-catalog")["points"]


def test_every_flipped_bit_and_every_cut_of_a_meta_is_found(tmp_path: Path) -> None:
    """Or the text means the same, as "1E-3" does. 500 bits and 50 lengths (case T30)."""
    chance = random.Random(30)
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        point = host.add_point(domain, warnings=("an umlaut: ä",))
        content = sidecars.meta_content(host.installation, domain, point, None)
        true = sidecars.read_meta(host.installation, content)
        assert true is not None
        for _ in range(500):
            harmed = bytearray(content)
            harmed[chance.randrange(len(harmed))] ^= 1 << chance.randrange(8)
            assert sidecars.read_meta(host.installation, bytes(harmed)) in (None, true)
        for length in chance.sample(range(len(content) - 1), 50):
            assert sidecars.read_meta(host.installation, content[:length]) is None

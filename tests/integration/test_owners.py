"""Whose files are whose: sites of root, files of the web user, and what belongs to strangers."""

from __future__ import annotations

import os
import pwd

import pytest

from tests.support.installation import Installation
from tests.support.sites import BOB, differences

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")

WWW_DATA = pwd.getpwnam("www-data").pw_uid


def test_a_site_of_root_comes_back_with_its_owners(installation: Installation) -> None:
    site = installation.add_site("root.example.test", {"index.php": "<?php\n", "uploads/a.jpg": "jpg"}, tenant=None)
    os.chown(site.root / "uploads", WWW_DATA, WWW_DATA)
    os.chown(site.root / "uploads/a.jpg", WWW_DATA, WWW_DATA)
    then = site.tree(owners=True)
    made = installation.smartbackup("backup", "root.example.test")
    assert made["state"] == "good"
    (site.root / "uploads/a.jpg").unlink()
    (site.root / "index.php").write_text("hacked")
    installation.smartbackup("restore", "root.example.test", "--point", made["point"], "--yes")
    assert not differences(then, site.tree(owners=True))


def test_a_web_users_upload_is_part_of_the_site(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", {"index.php": "<?php\n", "uploads/a.jpg": "jpg"})
    for path in (site.root / "uploads", site.root / "uploads/a.jpg"):
        os.chown(path, WWW_DATA, WWW_DATA)
    os.chown(site.root / "index.php", -1, WWW_DATA)
    then = site.tree(owners=True)
    made = installation.smartbackup("backup", "shop.example.test")
    assert (made["state"], made["file_count"]) == ("good", 2)
    (site.root / "uploads/a.jpg").unlink()
    done = installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
    assert done["warnings"] == []
    assert not differences(then, site.tree(owners=True))
    installation.smartbackup("undo", "shop.example.test")
    assert os.listdir(installation.domains_root) == ["shop.example.test"]
    assert not (site.root / "uploads/a.jpg").exists()


def test_a_strangers_file_is_listed_and_not_read(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", {"index.php": "<?php\n", "strange.txt": "bob's secret"})
    os.chown(site.root / "strange.txt", BOB.uid, BOB.gid)
    made = installation.smartbackup("backup", "shop.example.test", exit_code=3)
    assert [(row["path"], row["reason"]) for row in made["skipped"]] == [("strange.txt", "foreign_owner")]
    refused = installation.run("cat", "shop.example.test", "--point", made["point"], "strange.txt")
    assert (refused.returncode, b"bob's secret" in refused.stdout) == (2, False)

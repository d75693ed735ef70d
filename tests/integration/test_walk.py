"""The walk through the command line on real folders: backup, change, browse, restore, undo, verify."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.sites import ALICE, Site, differences, tree_of

FILES: dict[str, bytes | str] = {
    "index.php": "<?php echo 'shop';\n",
    "public_html/a.txt": "first\n",
    "public_html/deep/er/b.bin": bytes(range(256)) * 4096,
    "empty.txt": "",
}


def make_site(installation: Installation, domain: str = "shop.example.test") -> Site:
    site = installation.add_site(domain, FILES)
    (site.root / "link").symlink_to("index.php")
    (site.root / "emptied").mkdir(mode=0o750)
    os.link(site.root / "index.php", site.root / "same.php")
    site.own()
    return site


def test_a_full_point_has_what_the_contract_names(installation: Installation) -> None:
    make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    assert made["domain"] == "shop.example.test"
    assert made["type"] == "full"
    assert made["verified"] == "read back"
    assert made["file_count"] == 5
    assert made["original_bytes"] >= 1_048_576
    assert made["skipped"] == [] and made["warnings"] == [] and made["databases"] == []
    assert set(made["phases"]) == {"scan", "write", "databases", "verify"}
    store = installation.folder / "store" / "shop.example.test"
    archive = store / made["archive"]
    assert archive.stat().st_size == made["archive_bytes"]
    assert sorted(os.listdir(store)) == sorted([made["archive"], made["archive"] + ".meta"])
    [point] = installation.smartbackup("points", "shop.example.test")
    assert (point["point"], point["archive"], point["parent"]) == (made["point"], made["archive"], None)


def test_tar_alone_gives_the_tree_back(installation: Installation, tmp_path: Path) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    archive = installation.folder / "store" / "shop.example.test" / made["archive"]
    subprocess.run(["/usr/bin/tar", "xzf", archive, "-C", tmp_path], check=True, capture_output=True)
    assert not differences(site.tree(), tree_of(tmp_path))


def test_an_increment_holds_changes_and_forgets_deletions_and_every_point_comes_back(
    installation: Installation,
) -> None:
    site = make_site(installation)
    first = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    then = site.tree()
    site.write("public_html/new.txt", "second\n")
    site.write("public_html/a.txt", "changed\n")
    (site.root / "empty.txt").unlink()
    second = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    later = site.tree()
    assert (second["type"], second["changed"], second["deleted"]) == ("incremental", 2, 1)
    assert second["archive"].endswith("_incremental.tar.gz")
    listed = installation.smartbackup("points", "shop.example.test")
    assert [row["parent"] for row in listed] == [first["point"], None]

    for point, moment in ((first, then), (second, later)):
        installation.smartbackup("restore", "shop.example.test", "--point", point["point"], "--yes")
        assert not differences(moment, site.tree())
    found = installation.smartbackup("diff", "shop.example.test", first["point"], second["point"])
    assert found["added"] == ["public_html/new.txt"]
    assert found["changed"] == ["public_html/a.txt"]
    assert found["removed"] == ["empty.txt"]


def test_a_restore_can_be_undone(installation: Installation) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    for path in ("index.php", "same.php", "public_html/a.txt"):
        (site.root / path).unlink()
    site.write("hacked.php", "<?php evil();\n")
    wreck = site.tree()
    done = installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
    assert done["removed_files"] == 1
    assert done["undo_until"] is not None
    assert done["plan"]["added"] == 3
    assert not (site.root / "hacked.php").exists()
    installation.smartbackup("undo", "shop.example.test")
    assert not differences(wreck, site.tree())
    assert sorted(os.listdir(installation.domains_root)) == ["shop.example.test"]
    refused = installation.smartbackup("undo", "shop.example.test", exit_code=1)
    assert refused["error"]["code"] == "undo.nothing"


def test_merging_keeps_what_was_added_since(installation: Installation) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    site.write("orders.csv", "1;2;3\n")
    (site.root / "index.php").unlink()
    installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--merge", "--yes")
    assert (site.root / "orders.csv").read_text() == "1;2;3\n"
    assert (site.root / "index.php").read_text() == FILES["index.php"]


def test_chosen_paths_come_back_and_nothing_else_changes(installation: Installation) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    site.write("public_html/a.txt", "broken\n")
    site.write("public_html/deep/er/b.bin", "broken too\n")
    arguments = ("--point", made["point"], "--path", "public_html/a.txt", "--yes")
    installation.smartbackup("restore", "shop.example.test", *arguments)
    assert (site.root / "public_html/a.txt").read_text() == "first\n"
    assert (site.root / "public_html/deep/er/b.bin").read_text() == "broken too\n"


def test_another_folder_gets_the_same_tree_and_the_site_is_not_touched(
    installation: Installation, open_folder: Path
) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    then = site.tree()
    (site.root / "index.php").unlink()
    now = site.tree()
    target = open_folder / "copy"
    arguments = ("restore", "shop.example.test", "--point", made["point"], "--to", str(target))
    plan = installation.smartbackup(*arguments, "--plan")["plan"]
    assert (plan["added"], plan["removed"], plan["bytes"] >= made["original_bytes"]) == (6, 0, True)
    assert not target.exists()
    installation.smartbackup(*arguments, "--yes")
    assert not differences(then, tree_of(target))
    assert not differences(now, site.tree())
    assert (target / "index.php").stat().st_uid == ALICE.uid


def test_the_store_is_made_for_the_worker_alone(installation: Installation) -> None:
    make_site(installation)
    installation.smartbackup("backup", "shop.example.test")
    folders = [installation.backup_root, installation.backup_root / "shop.example.test"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_files_of_a_point_are_listed_and_read(installation: Installation) -> None:
    make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    listed = installation.smartbackup("browse", "shop.example.test", "--point", "latest", "public_html/deep/er")
    assert [(row["path"], row["size_bytes"]) for row in listed] == [("public_html/deep/er/b.bin", 1_048_576)]
    content = installation.run("cat", "shop.example.test", "--point", made["point"], "public_html/deep/er/b.bin")
    assert content.stdout == FILES["public_html/deep/er/b.bin"]
    completed = "./public_html/deep/er/"
    assert installation.smartbackup("browse", "shop.example.test", "--point", "latest", completed) == listed
    folder = installation.smartbackup("cat", "shop.example.test", "--point", "latest", completed, exit_code=2)
    assert folder["error"]["message"] == "'public_html/deep/er' is a directory in this point, not a file"
    refused = installation.smartbackup(
        "browse", "shop.example.test", "--point", "latest", "../other.example", exit_code=1
    )
    assert refused["error"]["code"] == "path.unsafe"


def test_the_analysis_has_what_the_contract_names(installation: Installation) -> None:
    make_site(installation)
    found = installation.smartbackup("analyze", "shop.example.test")
    assert found["file_changes"] == 5
    assert found["activity_level"] == "low"
    assert found["size_category"] == "small"
    assert found["strategy"] == "full"
    assert found["trend"] == "stable"
    assert found["average_daily_changes"] == 5.0
    assert found["traffic_requests"] == 0
    assert [line["type"] for line in found["schedule"]] == ["auto"]
    shown = installation.smartbackup("schedule", "show", "shop.example.test")
    assert len(shown["next_runs"]) == 5
    assert shown["schedule"] == found["schedule"]


def test_damage_is_found_named_and_never_restored(installation: Installation) -> None:
    site = make_site(installation)
    first = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    site.write("public_html/new.txt", "second\n")
    second = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    archive = installation.folder / "store" / "shop.example.test" / first["archive"]
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 0x10
    archive.write_bytes(content)
    before = site.tree()
    verified = installation.smartbackup("verify", "shop.example.test", exit_code=1)
    assert set(verified["damaged"]) == {first["point"], second["point"]}
    assert first["archive"] in verified["error"]["message"]
    for point in (first, second):
        refused = installation.smartbackup(
            "restore", "shop.example.test", "--point", point["point"], "--yes", exit_code=1
        )
        assert refused["error"]["code"] == "archive.damaged"
    assert not differences(before, site.tree())
    mended = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    assert mended["type"] == "full"


def test_a_damaged_point_that_nobody_noticed_is_refused_before_anything_is_written(
    installation: Installation, open_folder: Path
) -> None:
    site = make_site(installation)
    made = installation.smartbackup("backup", "shop.example.test")
    archive = installation.folder / "store" / "shop.example.test" / made["archive"]
    os.truncate(archive, archive.stat().st_size // 2)
    before = site.tree()
    for where in ((), ("--to", str(open_folder / "copy"))):
        refused = installation.smartbackup(
            "restore", "shop.example.test", "--point", made["point"], *where, "--yes", exit_code=1
        )
        assert refused["error"]["code"] == "archive.damaged"
    assert not differences(before, site.tree())
    assert not list(open_folder.glob("copy/*"))
    assert sorted(os.listdir(installation.domains_root)) == ["shop.example.test"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own the folder above")
@pytest.mark.parametrize(("group", "mode"), [(0, 0o711), (ALICE.gid, 0o730)], ids=["passable", "writable"])
@pytest.mark.parametrize("is_missing", [True, False], ids=["missing", "there"])
def test_a_site_comes_back_into_a_folder_that_its_owner_cannot_list(
    is_missing: bool, group: int, mode: int, installation: Installation
) -> None:
    site = make_site(installation)
    os.chown(installation.domains_root, 0, group)
    installation.domains_root.chmod(mode)
    then = site.tree()
    made = installation.smartbackup("backup", "shop.example.test")
    if is_missing:
        shutil.rmtree(site.root)
    else:
        site.write("index.php", "hacked")
        site.own()
    installation.smartbackup("restore", "shop.example.test", "--point", made["point"], "--yes")
    assert not differences(then, site.tree())
    installation.smartbackup("undo", "shop.example.test")
    assert site.root.exists() is not is_missing
    installation.domains_root.chmod(0o755)


def test_the_sidecars_of_the_original_design_are_written(installation: Installation) -> None:
    import json

    site = make_site(installation)
    first = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    site.write("public_html/new.txt", "second\n")
    second = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    store = installation.folder / "store"
    meta = json.loads((store / "shop.example.test" / (first["archive"] + ".meta")).read_text())
    wanted = (
        "type domain timestamp unix_timestamp date_created file_count backup_size backup_size_bytes compression_ratio"
        " original_size excluded_patterns database_included database_size backup_duration checksum created_by version"
    )
    assert set(wanted.split()) <= set(meta)
    content = (store / "shop.example.test" / first["archive"]).read_bytes()
    assert meta["checksum"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert meta["backup_size_bytes"] == len(content)
    increment = json.loads((store / "shop.example.test" / (second["archive"] + ".meta")).read_text())
    assert increment["base_backup"] == first["archive"]
    assert Path(increment["changed_files_list"]).read_text() == "public_html/new.txt\n"
    activity = json.loads((store / ".tracking" / "shop.example.test_activity.json").read_text())
    assert activity["activity_level"] == "low"
    totals = json.loads((store / ".tracking" / "shop.example.test_backup.json").read_text())
    assert (totals["total_backups"], totals["total_full"], totals["last_full_backup"]) == (2, 1, first["archive"])
    listed = json.loads((store / ".metadata" / "shop.example.test_backups.json").read_text())
    assert [row["archive"] for row in listed["backups"]] == [second["archive"], first["archive"]]

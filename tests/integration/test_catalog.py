"""The catalog and what is asked of it through the command line: histories, comparisons, names, downloads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.installation import Installation
from tests.support.sites import Site, differences, tree_of

SHOP = "shop.example.test"
FILES: dict[str, bytes | str] = {
    "index.php": "<?php echo 'shop';\n",
    "wp-content/uploads/Lämpe.JPG": b"\xff\xd8 a lamp",
    "wp-content/uploads/2026/logo.svg": "<svg/>\n",
    "wp-content/plugins/cart/logo.svg": "<svg>cart</svg>\n",
    "notes.txt": "one\ntwo\nthree\n",
}


def make_history(installation: Installation) -> tuple[Site, list[dict[str, Any]]]:
    """Make a site with four points: as it is; a text changed and a file gone; a file back; nothing changed."""
    site = installation.add_site(SHOP, FILES)
    (site.root / "latest").symlink_to("wp-content/uploads/2026")
    site.own()
    made = [installation.smartbackup("backup", SHOP, "--type", "full")]
    site.write("notes.txt", "one\n2\nthree\nfour\n")
    (site.root / "index.php").unlink()
    site.write("new/a\nb.txt", "new\n")
    made.append(installation.smartbackup("backup", SHOP, "--type", "incremental"))
    site.write("index.php", "<?php echo 'back';\n")
    made.append(installation.smartbackup("backup", SHOP, "--type", "incremental"))
    made.append(installation.smartbackup("backup", SHOP, "--type", "incremental"))
    return site, made


def catalog_of(installation: Installation) -> Path:
    [found] = (installation.state_dir / "catalog").glob("*.sqlite")
    return found


def test_what_the_catalog_says_of_four_points(installation: Installation) -> None:
    _, (one, two, three, four) = make_history(installation)

    versions = installation.smartbackup("history", SHOP, "index.php")
    assert [row["points"] for row in versions] == [[four["point"], three["point"]], [one["point"]]]
    assert [row["in_newest"] for row in versions] == [True, False]
    assert [row["size_bytes"] for row in versions] == [19, 19]
    [gone] = installation.smartbackup("history", SHOP, "wp-content/uploads/Lämpe.JPG")
    assert len(gone["points"]) == 4
    missing = installation.smartbackup("history", SHOP, "never.txt", exit_code=2)
    assert missing["error"]["code"] == "point.unknown_path"

    found = installation.smartbackup("diff", SHOP, one["point"], two["point"])
    assert (found["added"], found["changed"], found["removed"]) == (["new/a\nb.txt"], ["notes.txt"], ["index.php"])
    back = installation.smartbackup("diff", SHOP, two["point"], one["point"])
    assert back == found
    whole = installation.smartbackup("diff", SHOP, one["point"], four["point"])
    assert (whole["added"], whole["changed"], whole["removed"]) == (
        ["new/a\nb.txt"],
        ["index.php", "notes.txt"],
        [],
    )
    same = installation.smartbackup("diff", SHOP, three["point"], four["point"])
    assert (same["added"], same["changed"], same["removed"]) == ([], [], [])

    def names(text: str) -> list[str]:
        return [hit["path"] for hit in installation.smartbackup("search", SHOP, text)["hits"]]

    assert names("LOGO") == ["wp-content/plugins/cart/logo.svg", "wp-content/uploads/2026/logo.svg"]
    assert names("cart/logo") == ["wp-content/plugins/cart/logo.svg"]
    assert names("lämpe.jpg") == ["wp-content/uploads/Lämpe.JPG"]
    assert names("  ") == []
    assert names("%") == []


def test_the_catalog_is_made_again_from_the_archives_alone(installation: Installation) -> None:
    _, (one, _, _, four) = make_history(installation)
    before = installation.smartbackup("diff", SHOP, one["point"], four["point"])
    (installation.state_dir / "db/state.sqlite").unlink()
    shutil.rmtree(installation.state_dir / "catalog")
    rebuilt = installation.smartbackup("rebuild-catalog")
    assert rebuilt["listed"] == 4
    assert catalog_of(installation).stat().st_mode & 0o777 == 0o640
    assert installation.smartbackup("diff", SHOP, one["point"], four["point"]) == before


def test_a_damaged_catalog_is_made_again_by_itself(installation: Installation) -> None:
    site = installation.add_site(SHOP, {"a.txt": "a"})
    one = installation.smartbackup("backup", SHOP)["point"]
    site.write("b.txt", "b")
    two = installation.smartbackup("backup", SHOP)["point"]
    path = catalog_of(installation)

    def destroy(how: str) -> None:
        if how == "garbage":
            path.write_bytes(os.urandom(path.stat().st_size))
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "gone":
            path.unlink()
        else:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA user_version=99")

    for how in ("garbage", "empty", "gone", "another schema"):
        destroy(how)
        assert installation.smartbackup("diff", SHOP, one, two)["added"] == ["b.txt"], how


def test_a_point_that_cannot_be_read_is_left_out_and_the_others_are_listed(installation: Installation) -> None:
    _, (one, two, three, four) = make_history(installation)
    catalog_of(installation).unlink()
    archive = installation.backup_root / SHOP / two["archive"]
    content = bytearray(archive.read_bytes())
    content[-600] ^= 1
    archive.write_bytes(content)
    versions = installation.smartbackup("history", SHOP, "notes.txt")
    assert [row["points"] for row in versions] == [[four["point"], three["point"]], [one["point"]]]
    error = installation.smartbackup("diff", SHOP, one["point"], two["point"], exit_code=1)
    assert error["error"]["code"] == "catalog.behind"


def test_downloads_hold_exactly_what_was_chosen(installation: Installation, tmp_path: Path) -> None:
    site, (one, _, _, _) = make_history(installation)
    os.link(site.root / "notes.txt", site.root / "also.txt")
    (site.root / "strange").mkdir()
    with open(os.fsencode(site.root) + b"/strange/\xff\\x", "wb") as file:
        file.write(b"odd")
    site.own()
    moment = site.tree()
    point = installation.smartbackup("backup", SHOP)["point"]

    everything = tmp_path / "all.tar.gz"
    told = installation.smartbackup("export", SHOP, "--point", point, "--output", str(everything))
    assert (told["file_count"], told["skipped"]) == (9, 0)
    (tmp_path / "all").mkdir()
    subprocess.run(["/usr/bin/tar", "xzf", everything, "-C", tmp_path / "all"], check=True, capture_output=True)
    assert not differences(moment, tree_of(tmp_path / "all"))

    part = tmp_path / "part.tar.gz"
    chosen = ["--path", "notes.txt", "--path", "wp-content/uploads", "--path", "wp-content/uploads/2026"]
    installation.smartbackup("export", SHOP, "--point", point, *chosen, "--output", str(part))
    with tarfile.open(part) as tar:
        assert tar.getnames() == [
            "notes.txt",
            "wp-content/uploads",
            "wp-content/uploads/2026",
            "wp-content/uploads/2026/logo.svg",
            "wp-content/uploads/Lämpe.JPG",
        ]
        assert tar.getmember("notes.txt").isreg()

    packed = tmp_path / "all.zip"
    installation.smartbackup("export", SHOP, "--point", point, "--format", "zip", "--output", str(packed))
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert archive.read("notes.txt") == b"one\n2\nthree\nfour\n"
        assert archive.read("strange/\\xff_x") == b"odd"
        assert archive.read("latest") == b"wp-content/uploads/2026"
        assert "wp-content/uploads/Lämpe.JPG" in archive.namelist()
    subprocess.run(["/usr/bin/7z", "t", packed], check=True, capture_output=True)

    single = tmp_path / "index.php"
    arguments = ["--format", "file", "--path", "index.php", "--output", str(single)]
    installation.smartbackup("export", SHOP, "--point", one["point"], *arguments)
    assert single.read_bytes() == b"<?php echo 'shop';\n"
    again = installation.run("export", SHOP, "--point", one["point"], *arguments)
    assert again.returncode != 0 and single.read_bytes() == b"<?php echo 'shop';\n"
    missing = tmp_path / "missing.tar.gz"
    wrong = ["--path", "nowhere", "--output", str(missing)]
    error = installation.smartbackup("export", SHOP, "--point", point, *wrong, exit_code=2)
    assert error["error"]["code"] == "point.unknown_path"
    assert not missing.exists()

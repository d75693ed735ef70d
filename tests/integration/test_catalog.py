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

import pytest

from smartbackup_panel.adapters.db import catalog, catalog_file
from smartbackup_panel.bootstrap import open_services
from smartbackup_panel.core.model import COMMAND_LINE
from smartbackup_panel.services.catalog import catch_up
from smartbackup_panel.settings import load_settings
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


def test_differences_come_in_pages(installation: Installation) -> None:
    site = installation.add_site(SHOP, {f"{number:03}.txt": "old\n" for number in range(260)} | {"gone.txt": "gone\n"})
    one = installation.smartbackup("backup", SHOP)["point"]
    for number in range(250):
        site.write(f"{number:03}.txt", "new\n")
    for number in range(3):
        site.write(f"added/{number}.txt", "added\n")
    (site.root / "gone.txt").unlink()
    two = installation.smartbackup("backup", SHOP)["point"]
    services = open_services(load_settings(environment=installation.environment))
    domain = services.queries.domain_named(COMMAND_LINE, SHOP).id
    first = services.contents.compare(COMMAND_LINE, domain, two, one)
    assert (first.added.total, first.changed.total, first.removed.total) == (3, 250, 1)
    assert [row.path for row in first.changed.rows] == [b"%03d.txt" % number for number in range(200)]
    assert (first.changed.after, first.added.after) == (b"199.txt", None)
    then, later = first.changed.rows[0].then, first.changed.rows[0].later
    assert then is not None and later is not None and then.sha256 != later.sha256
    [gone] = first.removed.rows
    assert (gone.path, gone.then is None, gone.later) == (b"gone.txt", False, None)
    following = services.contents.compare(COMMAND_LINE, domain, one, two, {"changed": b"199.txt"})
    assert [row.path for row in following.changed.rows] == [b"%03d.txt" % number for number in range(200, 250)]
    assert (following.changed.total, following.changed.after) == (250, None)
    assert [row.path for row in following.added.rows] == [b"added/0.txt", b"added/1.txt", b"added/2.txt"]
    services.installation.state.close()


@pytest.mark.parametrize("few", [5_000, 1], ids=["by what was touched", "by going through all"])
def test_what_differs_is_the_same_however_it_is_looked_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """A file that came back as it was differs in nothing; a folder that became a file is new."""
    monkeypatch.setattr(catalog, "_FEW", few)
    site = installation.add_site(
        SHOP, {"same.txt": "1\n", "mode.txt": "2\n", "edited.txt": "3\n", "folder/in.txt": "4\n"}
    )
    made = [installation.smartbackup("backup", SHOP)["point"]]
    before = os.stat(site.root / "same.txt")
    site.write("same.txt", "other\n")
    made.append(installation.smartbackup("backup", SHOP)["point"])
    site.write("same.txt", "1\n")
    os.utime(site.root / "same.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    (site.root / "mode.txt").chmod(0o600)
    site.write("edited.txt", "5\n")
    shutil.rmtree(site.root / "folder")
    site.write("folder", "a file\n")
    made.append(installation.smartbackup("backup", SHOP)["point"])
    services = open_services(load_settings(environment=installation.environment))
    domain = services.queries.domain_named(COMMAND_LINE, SHOP).id
    told = services.contents.compare(COMMAND_LINE, domain, made[0], made[2])
    services.installation.state.close()
    names = [[row.path for row in listed.rows] for listed in (told.added, told.changed, told.removed)]
    assert names == [[b"folder"], [b"edited.txt", b"mode.txt"], [b"folder/in.txt"]]


NAMES = [
    "Readme.TXT",
    "straße.php",
    'a"b*c.txt',
    "x'y.txt",
    "100%_sure.txt",
    "ÄÖÜ.jpg",
    "ab",
    "wp-config.php",
    "config",
]


@pytest.mark.parametrize("has_triples", [True, False])
def test_names_are_found_with_and_without_an_index_of_triples(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, has_triples: bool
) -> None:
    if not has_triples:
        monkeypatch.setattr(catalog_file, "_TRIPLES", "CREATE VIRTUAL TABLE triple USING none_such(word)")
    installation.add_site(SHOP, dict.fromkeys(NAMES, "x"))
    installation.smartbackup("backup", SHOP)
    services = open_services(load_settings(environment=installation.environment))
    domain = services.queries.domain_named(COMMAND_LINE, SHOP)
    catch_up(services.installation, domain, anew=True)
    with catalog_file.open_for_reading(services.installation.catalog_file(domain.id)) as connection:
        assert catalog_file.has_triples(connection) is has_triples

    def found(text: str) -> list[str]:
        return [os.fsdecode(hit.entry.path) for hit in services.contents.search(COMMAND_LINE, domain.id, text).hits]

    assert found("README") == ["Readme.TXT"]
    assert found("STRASSE") == ["straße.php"]
    assert found('"B*C') == ['a"b*c.txt']
    assert found("'y.") == ["x'y.txt"]
    assert found("%_s") == ["100%_sure.txt"]
    assert found("äöü") == ["ÄÖÜ.jpg"]
    assert found("AB") == ["ab"]
    assert found("config") == ["config", "wp-config.php"]
    assert found("config.php.") == found("none") == found("a\0b") == []
    services.installation.state.close()


def test_names_that_no_point_has_any_more_are_forgotten(tmp_path: Path) -> None:
    facts = ("file", 0o644, 0, 0, "", "", 1, 1, bytes(32), b"", "", "", 0)
    with catalog_file.open_for_writing(str(tmp_path / "catalog.sqlite")) as connection:
        top = catalog_file.folder_number(connection, b"")
        for number, name in enumerate((b"first.txt", b"second.txt", b"first.txt", b"third.txt"), 1):
            assert catalog_file.add_point(connection, f"{number:032x}", f"2026-11-0{number}", []) == number
            before = catalog_file.open_versions(connection, b"", None)
            catalog_file.end_versions(connection, before, number - 1)
            catalog_file.add_versions(connection, [(top, name, name.decode(), facts)], number)
        catalog_file.forget_points(connection, [f"{number:032x}" for number in (2, 3)])
        assert connection.execute("SELECT word FROM word ORDER BY word").fetchall() == [("first.txt",), ("third.txt",)]
        assert [row.entry.path for row in catalog.search(connection, "first", 9)] == [b"first.txt"]
        assert catalog.search(connection, "second", 9) == []
        catalog_file.forget_points(connection, [f"{1:032x}"])
        assert connection.execute("SELECT word FROM word").fetchall() == [("third.txt",)]
        assert connection.execute("SELECT count(*) FROM triple WHERE triple MATCH 'fir'").fetchone() == (0,)


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

"""An undo that cannot be removed (a file that root made immutable, something mounted in it) holds nobody and nothing up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.test_walk import make_site
from tests.support.installation import Installation
from tests.support.sites import Site, differences

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

STUCK, OTHER = "stuck.example.test", "free.example.test"


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def restored(installation: Installation, domain: str) -> Site:
    """Make a site, a point, a change and a restore of the point: there is an undo."""
    site = make_site(installation, domain)
    made = installation.smartbackup("backup", domain)
    site.write("index.php", "hacked")
    site.own()
    installation.smartbackup("restore", domain, "--point", made["point"], "--yes")
    return site


def undos(installation: Installation) -> list[str]:
    return sorted(name.split("-", 2)[2] for name in os.listdir(installation.domains_root) if name.startswith("."))


def undo_folder(installation: Installation, domain: str) -> Path:
    [found] = installation.domains_root.glob(f".smartbackup-*-{domain}")
    return found


def test_other_domains_undos_end_and_it_is_tried_again(installation: Installation) -> None:
    restored(installation, STUCK)
    restored(installation, OTHER)
    with mounted(undo_folder(installation, STUCK) / "emptied"):
        make_undos_end(installation)
        installation.smartbackup("worker", "--once")
        assert undos(installation) == [STUCK]
        refused = installation.run("undo", STUCK)
        assert (refused.returncode, b"undone" in refused.stderr) == (1, True)
    installation.smartbackup("worker", "--once")
    assert undos(installation) == []


def test_the_next_restore_is_done_all_the_same(installation: Installation) -> None:
    site = restored(installation, STUCK)
    then = site.tree()
    site.write("index.php", "hacked again")
    site.own()
    with mounted(undo_folder(installation, STUCK) / "emptied"):
        done = installation.smartbackup("restore", STUCK, "--point", "latest", "--yes")
        assert done["restored_files"] > 0
        assert not differences(then, site.tree())
        assert undos(installation) == [STUCK] * 2
        installation.smartbackup("undo", STUCK)
        assert (site.root / "index.php").read_text() == "hacked again"
    installation.smartbackup("worker", "--once")
    assert undos(installation) == []


def test_an_undo_is_done_though_what_it_replaced_cannot_be_removed(installation: Installation) -> None:
    site = restored(installation, STUCK)
    inside = site.root / "emptied"
    with mounted_at_the_end(installation, inside):
        installation.smartbackup("undo", STUCK)
        assert (site.root / "index.php").read_text() == "hacked"
        assert undos(installation) == [STUCK]
    installation.smartbackup("worker", "--once")
    assert undos(installation) == []


def make_undos_end(installation: Installation) -> None:
    import sqlite3

    with sqlite3.connect(installation.state_dir / "db" / "state.sqlite") as state:
        state.execute("UPDATE restores SET undo_until = '2020-01-01T00:00:00.000000+00:00'")


@contextmanager
def mounted_at_the_end(installation: Installation, folder: Path) -> Iterator[None]:
    """Mount over a folder of the live site; after the exchange it lies in the tree that has to go."""
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        yield
    finally:
        for place in (folder, *installation.domains_root.glob(f".smartbackup-*/{folder.name}")):
            if os.path.ismount(place):
                subprocess.run(["umount", str(place)], check=True)

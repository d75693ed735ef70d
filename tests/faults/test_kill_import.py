"""An import that is killed at any step leaves whole points or nothing, and the next one finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.installation import SMARTBACKUP, Installation
from tests.support.original import Original

SHOP = "shop.example.test"
FULL_UNIX, INCREMENT_UNIX = 1769914800, 1770001200


def is_unpacking(store: Path) -> bool:
    return any(os.scandir(folder) for folder in (store / ".import").glob("*"))


def is_writing(store: Path) -> bool:
    return any(name.endswith(".part") for name in names_in(store))


def is_publishing(store: Path) -> bool:
    return any(name.endswith(".meta") for name in names_in(store))


def is_at_the_increment(store: Path) -> bool:
    return any("_incremental" in name for name in names_in(store))


def names_in(store: Path) -> list[str]:
    """Return what lies in the domain's folder of the store."""
    folder = store / SHOP
    return os.listdir(folder) if folder.is_dir() else []


@pytest.fixture
def old_backups(installation: Installation) -> Original:
    """Give a full backup of 12 MB that does not compress, and an increment of half of it."""
    files: dict[str, bytes | str] = {f"data/{number}.bin": os.urandom(1_000_000) for number in range(12)}
    site = installation.add_site(SHOP, files)
    for path in site.root.rglob("*"):
        os.utime(path, (FULL_UNIX - 100, FULL_UNIX - 100))
    made = Original.at(installation.folder / "old", installation.domains_root, SHOP)
    base = made.full("20260201_030000", FULL_UNIX)
    for number in range(6):
        site.write(f"data/{number}.bin", os.urandom(1_000_000))
    made.increment("20260202_030000", INCREMENT_UNIX, FULL_UNIX, base.name)
    return made


def test_a_killed_import_leaves_no_half_point(installation: Installation, old_backups: Original) -> None:
    installation.smartbackup("domains")
    steps: list[Callable[[Path], bool]] = [is_unpacking, is_writing, is_publishing, is_at_the_increment]
    store = installation.backup_root
    for number, step in enumerate(steps):
        # The same job is begun again three times at most; another folder makes it another job.
        place = old_backups.backups if number < 3 else old_backups.folder
        run = subprocess.Popen(
            [SMARTBACKUP, "import", SHOP, str(place), "--json"],
            env=installation.environment,
            stdout=subprocess.DEVNULL,
        )
        while run.poll() is None and not step(installation.backup_root):
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, f"{step.__name__} was never seen"
        assert [row["archive"] for row in installation.points(SHOP) if row["archive"] not in names_in(store)] == []
    done = installation.smartbackup("import", SHOP, str(old_backups.folder))
    assert {row["state"] for row in done["sources"]} <= {"imported", "known"}
    second, first = installation.points(SHOP)
    assert (first["type"], second["type"], second["parent"]) == ("full", "incremental", first["point"])
    expected = {name for row in (first, second) for name in (row["archive"], f"{row['archive']}.meta")}
    assert set(names_in(installation.backup_root)) == expected
    assert os.listdir(installation.backup_root / ".import") == []
    assert all(row["ok"] for row in installation.smartbackup("verify", SHOP)["points"])
    site = installation.domains_root / SHOP
    target = installation.folder / "out"
    installation.smartbackup("restore", SHOP, "--point", second["point"], "--to", str(target), "--yes")
    subprocess.run(["diff", "-r", str(site), str(target)], check=True)

"""What people use instead, with its defaults: tar with pigz or zstd, restic, borg, find."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tests.bench.measure import Contender, Sample, folder_bytes, run_pipeline


def tar_pigz(site: Path, archive: Path) -> Sample:
    """tar c | pigz -6 into a file."""
    return run_pipeline(["tar", "-c", "-C", str(site), "."], ["pigz", "-6"], output=archive)


def tar_zstd_sha256(site: Path, archive: Path) -> Sample:
    """tar c | zstd -3 -T0 into a file, then a sha256 of it: what a careful script does."""
    packed = run_pipeline(["tar", "-c", "-C", str(site), "."], ["zstd", "-3", "-T0", "-q", "-c"], output=archive)
    began = time.monotonic()
    with archive.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    summed = time.monotonic() - began
    return Sample(packed.seconds + summed, packed.cpu_seconds + summed, packed.peak_bytes, packed.size_bytes)


class Repository(ABC):
    """A repository of restic or borg that can be begun anew."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "HOME": str(folder.parent / f"home-{self.name}"),
            "RESTIC_REPOSITORY": str(folder),
            "RESTIC_PASSWORD": "benchmark",
            "BORG_REPO": str(folder),
            "BORG_PASSPHRASE": "benchmark",
        }

    def begin(self) -> None:
        """Make an empty repository, and no cache of an earlier one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.environment["HOME"], ignore_errors=True)
        os.mkdir(self.environment["HOME"])
        run_pipeline(self.init_command(), environment=self.environment)

    def back_up(self, site: Path, number: int) -> Sample:
        """Back the site up as it is now."""
        sample = run_pipeline(self.backup_command(number), environment=self.environment, folder=site)
        return Sample(sample.seconds, sample.cpu_seconds, sample.peak_bytes, folder_bytes(self.folder))

    def begin_and_back_up(self, site: Path, number: int) -> Sample:
        """Back the site up into an empty repository."""
        self.begin()
        return self.back_up(site, number)

    @abstractmethod
    def init_command(self) -> list[str]:
        """Return the command that makes an empty repository."""

    @abstractmethod
    def backup_command(self, number: int) -> list[str]:
        """Return the command that backs up the folder it runs in."""


class Restic(Repository):
    name = "restic"

    def init_command(self) -> list[str]:
        return ["restic", "init", "-q"]

    def backup_command(self, number: int) -> list[str]:
        return ["restic", "backup", "-q", "."]


class Borg(Repository):
    name = "borg"

    def init_command(self) -> list[str]:
        return ["borg", "init", "-e", "repokey"]

    def backup_command(self, number: int) -> list[str]:
        return ["borg", "create", f"::point-{number}-{time.monotonic_ns()}", "."]


def repositories(folder: Path) -> list[Repository]:
    """Return an unused repository of each program."""
    return [Restic(folder / "restic"), Borg(folder / "borg")]


def find_printf(site: Path) -> Contender:
    """find -printf: the least that looking at every path costs."""
    command = ["find", str(site), "-printf", "%p %y %s %T@ %C@ %i %m %u %g\\n"]
    return Contender("find -printf", lambda _: run_pipeline(command))

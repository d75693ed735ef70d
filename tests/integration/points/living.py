"""A domain that lives: days pass, files change, points are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from smartbackup_panel.adapters.db import jobs, points
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, Domain, Job, JobKind, JobState, Point
from tests.support.clock import Host

TENANT_UID = 20001


@dataclass
class Living:
    """The domain shop.example on a host; `root` is its folder."""

    host: Host
    domain: Domain
    root: Path
    days: int = 0

    @classmethod
    def on(cls, host: Host) -> Living:
        domain = host.add_domain("shop.example")
        root = Path(domain.root)
        root.mkdir()
        own(root)
        made = cls(host, domain, root)
        made.write("index.php", b"<?php echo 1;")
        made.write("data/big.bin", os.urandom(300_000))
        return made

    @property
    def store(self) -> Path:
        return Path(self.host.installation.store_folder(self.domain))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the tenant's."""
        path = self.root / name
        for folder in reversed([path.parent, *path.parent.parents]):
            if folder.is_relative_to(self.root) and not folder.exists():
                folder.mkdir()
                own(folder)
        path.write_bytes(content)
        own(path)

    def run(self, kind: JobKind, params: dict[str, object]) -> Job:
        """Run one job as the schedule asks for it; return it as it ended."""
        with self.host.installation.state.write() as tx:
            job, _ = jobs.submit(tx, kind, self.domain.id, SCHEDULER, params, f"test:{kind}", self.host.clock.now())
        return self.host.services.runner().run(job.id)

    def back_up(self, kind: str = "incremental") -> Point:
        """Change a file and make a point; it is there and sound."""
        self.days += 1
        self.write("today.txt", f"day {self.days}".encode())
        job = self.run(JobKind.BACKUP, {"type": kind})
        assert job.state is JobState.DONE, job
        return self.point(job.id)

    def live(self, count: int, full_every: int = 7) -> list[Point]:
        """Make a point a day, each `full_every`th a full one; return them, oldest first."""
        made = []
        for number in range(count):
            made.append(self.back_up("full" if number % full_every == 0 else "incremental"))
            self.host.clock.move(days=1)
        return made

    def points(self) -> list[Point]:
        """Return all points, newest first."""
        with self.host.installation.state.read() as tx:
            return points.list_points(tx, self.domain.id)

    def point(self, point_id: str) -> Point:
        return next(point for point in self.points() if point.id == point_id)

    def restored(self, point: Point) -> dict[str, bytes]:
        """Restore a point into a folder of its own and return its files."""
        target = self.host.folder / f"out-{point.id[:8]}-{self.days}-{len(os.listdir(self.host.folder))}"
        params = self.host.services.requests.restore_params(
            COMMAND_LINE, self.domain.id, point.id, files=True, databases=False, exact=True, paths=(), to=str(target)
        )
        job = self.run(JobKind.RESTORE, params)
        assert job.state is JobState.DONE, job
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, TENANT_UID, TENANT_UID)


def damage(path: Path, at: int = -1) -> None:
    """Flip one bit of a file, by default in its middle."""
    content = bytearray(path.read_bytes())
    content[at if at >= 0 else len(content) // 2] ^= 1
    path.write_bytes(content)

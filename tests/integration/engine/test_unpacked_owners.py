"""What an agent unpacked of the web user's stays the web user's in every point that is made of that folder."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import AgentPurpose, PointKind, VerifySummary
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.fsafe import closing
from tests.integration.engine.store import Store
from tests.integration.engine.tenants import ALICE, AS_ALICE, WEB, give
from tests.integration.engine.trees import write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
UPLOAD_BYTES = 5_000_000
SETTLED_SECONDS = 2.2
"""After so long equal facts prove equal content."""


class Unpacked(Store):
    """A store of points of a folder that nobody but its agents uses; `prepare` tells each of them about it."""

    prepare: Callable[[Agent], object]
    agents_read_bytes = 0
    """What the last agent read to scan and to write."""

    def agent(self, purpose: AgentPurpose = AgentPurpose.READ) -> Agent:
        agent = super().agent(purpose)
        self.prepare(agent)
        self.agents_read_bytes = -read_bytes(agent)
        return agent

    def verify_unpublished(self, agent: Agent, sink: ArchiveSink) -> VerifySummary:
        self.agents_read_bytes += read_bytes(agent)
        return super().verify_unpublished(agent, sink)


def read_bytes(agent: Agent) -> int:
    """Return how many bytes an agent has read since it began."""
    lines = Path(f"/proc/{agent.pid}/io").read_text().splitlines()
    return next(int(line.removeprefix("rchar: ")) for line in lines if line.startswith("rchar: "))


@pytest.fixture
def scratch(open_folder: Path) -> Iterator[int]:
    """Give a descriptor of alice's empty folder."""
    folder = open_folder / "scratch"
    folder.mkdir(mode=0o700)
    with closing(os.open(give(folder, ALICE), os.O_RDONLY)) as fd:
        yield fd


@pytest.fixture
def store(open_folder: Path, site: Path) -> Iterator[Unpacked]:
    made = Unpacked(open_folder / "alice", give(site, ALICE), AS_ALICE)
    yield made
    made.close()


@pytest.fixture
def archive(open_folder: Path, site: Path) -> Iterator[int]:
    """Give a descriptor of root's own tar of a site with four paths of the web user's and one of its group's."""
    give(write(site / "index.php", b"<?php\n"), ALICE)
    os.chown(write(site / "config.php", b"<?php\n"), ALICE, WEB)
    (site / "uploads").mkdir()
    give(write(site / "uploads/a.jpg", bytes(UPLOAD_BYTES)), WEB)
    os.link(site / "uploads/a.jpg", site / "uploads/b.jpg")
    (site / "uploads/latest").symlink_to("a.jpg")
    for name in ("uploads", "uploads/latest"):
        give(site / name, WEB)
    path = open_folder / "site.tar.gz"
    subprocess.run(["tar", "czf", str(path), "-C", str(site), "."], check=True)
    with closing(os.open(path, os.O_RDONLY)) as fd:
        yield fd


@contextmanager
def second_archive(store: Store, *arguments: str) -> Iterator[int]:
    """Give a descriptor of a tar of chosen files of the site."""
    path = store.folder / "second.tar.gz"
    subprocess.run(["tar", "czf", str(path), "-C", str(store.site), *arguments], check=True)
    with closing(os.open(path, os.O_RDONLY)) as fd:
        yield fd


def owners_of(store: Store) -> dict[str, int]:
    """Return the user of each path of the newest point, in path order."""
    with store.open() as point:
        return {os.fsdecode(entry.path): entry.uid for entry in point.entries()}


def test_the_next_agent_finds_no_upload_changed(store: Unpacked, scratch: int, archive: int) -> None:
    def unpack(agent: Agent) -> None:
        agent.use_folder(scratch)
        agent.unpack_tar(archive, "site.tar.gz", b"")
        time.sleep(SETTLED_SECONDS)

    store.prepare = unpack
    store.back_up()
    expected = {"": ALICE, "config.php": ALICE, "index.php": ALICE}
    expected |= dict.fromkeys(("uploads", "uploads/a.jpg", "uploads/b.jpg", "uploads/latest"), WEB)
    assert owners_of(store) == expected
    assert os.stat("uploads", dir_fd=scratch).st_uid == ALICE
    with store.open() as point:
        store.prepare = lambda agent: agent.use_folder(scratch, point)
        again = store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert store.scanned is not None
    assert (store.scanned.changes.added.count, store.scanned.changes.changed.count) == (0, 0)
    assert again.is_unchanged
    assert owners_of(store) == expected


def test_a_noted_file_with_two_names_is_not_read_again(store: Unpacked, scratch: int, archive: int) -> None:
    def unpack(agent: Agent) -> None:
        agent.use_folder(scratch)
        agent.unpack_tar(archive, "site.tar.gz", b"")
        time.sleep(SETTLED_SECONDS)

    store.prepare = unpack
    made = store.back_up()
    assert (made.skipped.count, made.file_count) == (0, 4)
    assert store.agents_read_bytes > UPLOAD_BYTES
    with store.open() as point, second_archive(store, "index.php") as second:

        def lay_over(agent: Agent) -> None:
            agent.use_folder(scratch, point)
            agent.unpack_tar(second, "second.tar.gz", b"", may_replace=True)

        store.prepare = lay_over
        again = store.back_up(PointKind.INCREMENTAL, earlier=0)
        assert (again.changes.changed.count, again.stored_bytes) == (0, 0)
    assert store.agents_read_bytes < UPLOAD_BYTES
    with store.open() as point:
        [linked] = [entry for entry in point.entries() if entry.path == b"uploads/b.jpg"]
    assert (linked.link, linked.uid) == (b"uploads/a.jpg", WEB)


def test_a_replaced_name_loses_the_owner_and_the_files_other_name_keeps_it(
    store: Unpacked, scratch: int, archive: int
) -> None:
    def unpack_twice(agent: Agent) -> None:
        agent.use_folder(scratch)
        agent.unpack_tar(archive, "site.tar.gz", b"")
        with second_archive(store, "--owner=20001", "--group=20001", "uploads/b.jpg") as second:
            agent.unpack_tar(second, "second.tar.gz", b"", may_replace=True)

    store.prepare = unpack_twice
    store.back_up()
    owners = owners_of(store)
    assert (owners["uploads"], owners["uploads/a.jpg"], owners["uploads/b.jpg"]) == (WEB, WEB, ALICE)

"""Full disks, killed processes and cancelled jobs leave the store and the site as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import AgentFailed, ArchiveRefused, Cancelled, NoSpace
from smartbackup_panel.core.tree import (
    AgentPurpose,
    PointKind,
    Progress,
    RestoreMode,
    RestoreOptions,
    ScanOptions,
    WriteOptions,
)
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_sink import ArchiveSink, discard_leftovers
from tests.integration.engine.store import KEY, START, Store
from tests.integration.engine.trees import look, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small_disk(open_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give a filesystem of 4 MiB, or of the size that a test's parameter says."""
    folder = open_folder / "small-disk"
    folder.mkdir()
    size = getattr(request, "param", "size=4m")
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["/usr/bin/umount", folder], check=True)


@needs_root
def test_a_full_store_is_said_and_leaves_nothing(small_disk: Path, site: Path) -> None:
    store = Store(small_disk / "store", site)
    write(site / "small.txt", b"fits")
    store.back_up()
    write(site / "huge.bin", os.urandom(8_000_000))
    with pytest.raises(NoSpace):
        store.back_up(PointKind.INCREMENTAL, earlier=0)
    assert os.listdir(store.folder) == store.names
    store.verify()
    store.close()


@needs_root
def test_a_restore_without_room_is_refused_with_the_bytes_it_needs(open_folder: Path, small_disk: Path) -> None:
    site = small_disk / "shop.example"
    site.mkdir()
    write(site / "video.bin", os.urandom(3_000_000))
    store = Store(open_folder / "store", site)
    store.back_up()
    write(site / "extra.txt", b"since then")
    before = look(site)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        with pytest.raises(NoSpace, match="3008192 bytes"):
            agent.stage(point, staging, RestoreOptions())
        agent.discard(staging)
    assert (look(site), os.listdir(small_disk)) == (before, ["shop.example"])
    store.close()


@needs_root
@pytest.mark.parametrize("small_disk", ["size=4m,nr_inodes=80"], indirect=True)
def test_a_disk_that_fills_up_while_staging_leaves_the_site_alone(open_folder: Path, small_disk: Path) -> None:
    """There is room for every byte, and inodes for 25 of the 50 files."""
    site = small_disk / "shop.example"
    site.mkdir()
    for number in range(50):
        write(site / f"{number}.txt", b"small")
    store = Store(open_folder / "store", site)
    store.back_up()
    before = look(site)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        with pytest.raises(NoSpace, match="No space left"):
            agent.stage(point, staging, RestoreOptions())
        assert len(os.listdir(small_disk / staging.staging_name)) > 10
        agent.discard(staging)
    assert (look(site), os.listdir(small_disk)) == (before, ["shop.example"])
    store.close()


def test_a_byte_limit_is_kept(store: Store, site: Path) -> None:
    write(site / "random.bin", os.urandom(3_000_000))
    sink = store.sink(PointKind.FULL, byte_limit=1_000_000)
    with store.agent() as agent, pytest.raises(NoSpace, match="1000000"):
        agent.scan(ScanOptions())
        agent.write(sink, WriteOptions(PointKind.FULL, bytes(16), START))
    assert store.path_of(sink).stat().st_size < 3_000_000
    sink.discard()
    assert os.listdir(store.folder) == []


def test_a_killed_agent_leaves_only_a_part_that_is_removed_later(store: Store, site: Path) -> None:
    write(site / "large.bin", os.urandom(60_000_000))
    sink = store.sink(PointKind.FULL)
    with store.agent() as agent:
        agent.scan(ScanOptions())
        killer = threading.Timer(0.05, os.kill, (agent.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(AgentFailed, match="exit code -9"):
            agent.write(sink, WriteOptions(PointKind.FULL, bytes(16), START))
    assert os.listdir(store.folder) == ["backup_20261101_030000.tar.gz.part"]
    assert discard_leftovers(store.fd) == ["backup_20261101_030000.tar.gz.part"]
    assert os.listdir(store.folder) == []


def test_a_cancelled_backup_kills_the_agent(store: Store, site: Path) -> None:
    write(site / "large.bin", os.urandom(30_000_000))

    def cancel(progress: Progress) -> None:
        if progress.step == "write":
            raise Cancelled("somebody asked for it")

    sink = store.sink(PointKind.FULL)
    with store.agent() as agent:
        agent.scan(ScanOptions())
        pid = agent.pid
        with pytest.raises(Cancelled):
            agent.write(sink, WriteOptions(PointKind.FULL, bytes(16), START), on_progress=cancel)
        assert not Path(f"/proc/{pid}").exists()
    sink.discard()
    assert os.listdir(store.folder) == []


def test_an_agent_that_takes_too_long_is_ended(site: Path) -> None:
    with Agent.start(str(site), None, time_limit_seconds=0.0) as agent, pytest.raises(AgentFailed, match="within 0 s"):
        agent.scan(ScanOptions())


def test_an_agent_that_stands_still_is_ended(site: Path) -> None:
    with Agent.start(str(site), None, stall_limit_seconds=5.0) as agent:
        agent.scan(ScanOptions())
        os.kill(agent.pid, signal.SIGSTOP)
        with pytest.raises(AgentFailed, match="said nothing"):
            agent.scan(ScanOptions())


def test_even_a_stopped_agent_ends_with_its_worker(site: Path, open_folder: Path) -> None:
    code = (
        "import sys\nfrom smartbackup_panel.engine.agent import Agent\nfrom smartbackup_panel.core.tree import ScanOptions\n"
        "agent = Agent.start(sys.argv[1], None)\nagent.scan(ScanOptions())\nprint(agent.pid, flush=True)\nsys.stdin.read()"
    )
    import sys

    worker = subprocess.Popen(
        [sys.executable, "-c", code, site], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    worker.kill()
    worker.wait()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.02)
    pytest.fail("the agent outlived its worker")


def test_an_archive_is_never_overwritten(store: Store, site: Path) -> None:
    write(site / "index.php", b"x")
    store.back_up()
    before = store.path().read_bytes()
    name = store.names.pop()
    with pytest.raises(ArchiveRefused, match="never overwritten"):
        store.back_up()
    store.names.append(name)
    assert store.path().read_bytes() == before


def test_an_archive_that_another_job_writes_stays_its_own(store: Store) -> None:
    sink = store.sink(PointKind.FULL)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileExistsError):
        ArchiveSink.create(os.open(store.folder, os.O_RDONLY), sink.name, codec=sink.codec, key=KEY)
    assert os.listdir(store.folder) == [f"{sink.name}.part"]
    assert len(os.listdir("/proc/self/fd")) == descriptors + 1
    sink.discard()


def test_a_name_taken_meanwhile_is_not_overwritten(store: Store, site: Path) -> None:
    write(site / "index.php", b"x")
    sink = store.sink(PointKind.FULL)
    with store.agent() as agent:
        agent.scan(ScanOptions())
        agent.write(sink, WriteOptions(PointKind.FULL, bytes(16), START))
    (store.folder / sink.name).write_bytes(b"somebody else's")
    with pytest.raises(ArchiveRefused, match="never overwritten"):
        sink.publish()
    sink.discard()
    assert os.listdir(store.folder) == [sink.name]
    assert (store.folder / sink.name).read_bytes() == b"somebody else's"


def test_merging_into_a_folder_where_a_folder_is_in_the_way_says_so(
    store: Store, site: Path, open_folder: Path
) -> None:
    from smartbackup_panel.core.errors import RestoreFailed

    write(site / "name", b"a file")
    store.back_up()
    write(open_folder / "out" / "name" / "below.txt", b"mine")
    with pytest.raises(RestoreFailed, match="folder is where"):
        store.restore_into(open_folder / "out", options=RestoreOptions(RestoreMode.MERGE))
    assert (open_folder / "out" / "name" / "below.txt").read_bytes() == b"mine"

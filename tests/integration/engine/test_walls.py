"""The agent is the tenant: it cannot read what the tenant cannot, and follows nothing out of the tree."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import MissingDocumentRoot, UnsafePath
from smartbackup_panel.core.tree import AgentPurpose, ScanOptions, SkipReason, Tenant
from smartbackup_panel.engine.agent import Agent
from tests.integration.engine.store import Store
from tests.integration.engine.tenants import ALICE, AS_ALICE, BOB, WEB, as_user, give
from tests.integration.engine.trees import look, write

CANARY = b"CANARY-that-belongs-to-somebody-else"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.fixture
def alice_store(open_folder: Path, site: Path) -> Iterator[Store]:
    """Give the store of a site that belongs to Alice."""
    give(site, ALICE)
    made = Store(open_folder / "alice-store", site, AS_ALICE)
    yield made
    made.close()


def stored_bytes(store: Store) -> bytes:
    with gzip.open(store.path()) as file:
        return file.read()


def reasons(store: Store, site: Path) -> dict[bytes, SkipReason]:
    return {row.path: row.reason for row in store.back_up().skipped.first}


@pytest.fixture
def worker_with_groups() -> Iterator[None]:
    """Give this process supplementary groups, as a worker may have."""
    before = os.getgroups()
    os.setgroups([4, 27])
    yield
    os.setgroups(before)


@pytest.mark.usefixtures("worker_with_groups")
def test_the_agent_is_nobody_but_the_tenant(alice_store: Store) -> None:
    with alice_store.agent() as agent:
        agent.scan(ScanOptions())
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines() if ":\t" in line
        )
    assert status["Uid"].split() == ["20001"] * 4
    assert status["Gid"].split() == ["20001"] * 4
    assert status["Groups"].split() == []
    assert (status["CapEff"], status["CapPrm"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def test_the_tenants_other_processes_cannot_look_into_the_agent(alice_store: Store) -> None:
    with alice_store.agent() as agent:
        agent.scan(ScanOptions())
        spy = as_user(ALICE, "os.listdir(f'/proc/{sys.argv[1]}/fd')", str(agent.pid))
        assert spy.wait() == 1
        spy = as_user(ALICE, "os.open(f'/proc/{sys.argv[1]}/mem', os.O_RDONLY)", str(agent.pid))
        assert spy.wait() == 1


def test_an_agent_that_stays_the_same_user_cannot_be_looked_into_either() -> None:
    code = """
import ctypes, os
from smartbackup_panel.core.tree import AgentPurpose
from smartbackup_panel.engine import jail
jail.enter(None, AgentPurpose.READ, os.getppid())
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
try:
    import xml.dom.minidom
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\nxml would be imported after the process became the tenant\n"


@pytest.mark.parametrize(
    ("purpose", "kept"), [(AgentPurpose.READ, "0000000000000004"), (AgentPurpose.RESTORE, "000000000000001f")]
)
def test_roots_own_agent_keeps_only_what_it_needs(open_folder: Path, purpose: AgentPurpose, kept: str) -> None:
    with Agent.start(str(open_folder), Tenant(0, 0), purpose=purpose) as agent:
        agent.scan(ScanOptions())
        status = Path(f"/proc/{agent.pid}/status").read_text()
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert f"{name}:\t{kept}\n" in status


def test_the_agent_inherits_no_descriptor_of_the_worker(alice_store: Store, open_folder: Path) -> None:
    fd = os.open(write(open_folder / "secret", CANARY), os.O_RDONLY)
    os.set_inheritable(fd, True)
    with alice_store.agent() as agent:
        agent.scan(ScanOptions())
        links = [os.readlink(f"/proc/{agent.pid}/fd/{name}") for name in os.listdir(f"/proc/{agent.pid}/fd")]
    os.close(fd)
    kinds = sorted(link.split(":")[0].split(" ")[0].rstrip("0123456789#-") for link in links)
    assert len([kind for kind in kinds if kind.startswith("socket")]) == 1
    assert not [link for link in links if "secret" in link or "store" in link]


def test_a_file_of_another_customer_is_not_read_but_listed(alice_store: Store, site: Path) -> None:
    give(write(site / "mine.txt", b"alice's"), ALICE)
    give(write(site / "bobs.txt", CANARY, mode=0o644), BOB)
    give(write(site / "private.txt", CANARY, mode=0o600), BOB)
    give(write(site / "uploads.txt", b"written by php", mode=0o644), WEB)
    give(write(site / "locked.txt", CANARY, mode=0o000), ALICE)
    assert reasons(alice_store, site) == {
        b"bobs.txt": SkipReason.FOREIGN_OWNER,
        b"private.txt": SkipReason.FOREIGN_OWNER,
        b"locked.txt": SkipReason.UNREADABLE,
    }
    assert CANARY not in stored_bytes(alice_store)
    assert b"written by php" in stored_bytes(alice_store)


def test_a_hard_link_to_somebody_elses_file_is_not_read(alice_store: Store, site: Path, open_folder: Path) -> None:
    os.link(give(write(open_folder / "wp-config.php", CANARY), BOB), site / "readme.html")
    os.link(give(write(open_folder / "web-of-bob.php", CANARY), WEB), site / "upload.php")
    os.link(give(write(site / "upload-1.php", b"both links lie here"), WEB), site / "upload-2.php")
    assert reasons(alice_store, site) == {
        b"readme.html": SkipReason.FOREIGN_OWNER,
        b"upload.php": SkipReason.FOREIGN_LINKS,
    }
    plain = stored_bytes(alice_store)
    assert CANARY not in plain
    assert plain.count(b"both links lie here") == 1


def test_a_link_planted_by_the_tenant_is_archived_as_a_link(alice_store: Store, site: Path, open_folder: Path) -> None:
    shadow = write(open_folder / "shadow", CANARY, mode=0o600)
    for name, target in {
        "innocent.txt": str(shadow),
        "etc": "/proc/self/root/etc",
        "environ": "/proc/1/environ",
        "loop": "loop",
        "dangling": "nowhere",
        "up": "../../../../..",
    }.items():
        (site / name).symlink_to(target)
    summary = alice_store.back_up()
    assert summary.skipped.count == 0
    assert (summary.entry_count, summary.file_count, summary.stored_bytes) == (7, 0, 0)
    assert CANARY not in stored_bytes(alice_store)


def test_special_files_are_skipped_and_listed(store: Store, site: Path) -> None:
    os.mkfifo(site / "fifo")
    os.mknod(site / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    os.mknod(site / "disk", 0o600 | 0o060000, os.makedev(7, 0))
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(site / "socket"))
    assert reasons(store, site) == {
        b"fifo": SkipReason.FIFO,
        b"zero": SkipReason.DEVICE,
        b"disk": SkipReason.DEVICE,
        b"socket": SkipReason.SOCKET,
    }
    server.close()


@pytest.fixture
def mounted(site: Path, open_folder: Path) -> Iterator[Path]:
    """Give a folder of the site onto which another folder of the same filesystem is mounted."""
    write(open_folder / "elsewhere" / "secret.txt", CANARY)
    folder = site / "mounted"
    folder.mkdir()
    subprocess.run(["/usr/bin/mount", "--bind", open_folder / "elsewhere", folder], check=True)
    yield folder
    subprocess.run(["/usr/bin/umount", folder], check=True)


def test_a_mount_point_is_not_crossed(store: Store, site: Path, mounted: Path) -> None:
    assert reasons(store, site) == {b"mounted": SkipReason.OTHER_FILESYSTEM}
    assert CANARY not in stored_bytes(store)


def test_set_user_id_does_not_come_back(alice_store: Store, site: Path, open_folder: Path) -> None:
    program = give(write(site / "run", b"#!/bin/sh\n"), ALICE)
    program.chmod(0o6755)
    give(write(site / "upload.php", b"<?php\n"), WEB).chmod(0o6755)
    alice_store.back_up()
    alice_store.restore_into(open_folder / "out")
    found = look(open_folder / "out")
    assert (found[b"run"]["mode"], found[b"run"]["owner"]) == ("0o100755", (ALICE, ALICE))
    assert (found[b"upload.php"]["mode"], found[b"upload.php"]["owner"]) == ("0o100755", (WEB, WEB))


def test_a_domain_folder_that_is_a_link_is_refused(open_folder: Path, site: Path) -> None:
    (open_folder / "linked.example").symlink_to(site)
    with Agent.start(str(open_folder / "linked.example"), AS_ALICE) as agent, pytest.raises(UnsafePath):
        agent.scan(ScanOptions())


def test_a_tenants_link_on_the_way_is_refused(open_folder: Path, site: Path) -> None:
    os.chown(open_folder, ALICE, ALICE)
    way = open_folder / "way"
    way.symlink_to(open_folder)
    give(way, ALICE)
    with Agent.start(str(way / site.name), AS_ALICE) as agent, pytest.raises(UnsafePath):
        agent.scan(ScanOptions())


@pytest.mark.parametrize("purpose", AgentPurpose)
def test_an_application_is_found_as_the_tenant_without_importing_anything_more(
    open_folder: Path, site: Path, purpose: AgentPurpose
) -> None:
    give(site, ALICE)
    config = b"<?php define('DB_NAME', 'shop'); define('DB_USER', 'shop'); define('DB_PASSWORD', 'x');"
    give(write(site / "wp-config.php", config, mode=0o640), ALICE)
    give(write(site / "wp-includes" / "version.php", b"<?php $wp_version = '6.1.9';"), ALICE)
    with Agent.start(str(site), AS_ALICE, purpose=purpose) as agent:
        found = agent.inspect()
    assert found["kind"] == "wordpress"


def test_a_missing_folder_is_said(open_folder: Path) -> None:
    with Agent.start(str(open_folder / "gone.example"), AS_ALICE) as agent, pytest.raises(MissingDocumentRoot):
        agent.scan(ScanOptions())

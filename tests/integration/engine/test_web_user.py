"""Files of the web user come back as its own, and its folders do not keep an undo from being removed (SECURITY rule 5)."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.tree import AgentPurpose, RestoreMode, RestoreOptions, Tenant
from smartbackup_panel.engine import steward
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.channel import Channel
from smartbackup_panel.engine.giver import Giver
from tests.integration.engine.store import Store
from tests.integration.engine.tenants import ALICE, AS_ALICE, BOB, WEB, give
from tests.integration.engine.trees import look, write
from tests.support.servers import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.fixture
def alice_store(open_folder: Path, site: Path) -> Iterator[Store]:
    give(site, ALICE)
    store = Store(open_folder / "alice", site, AS_ALICE)
    yield store
    store.close()


def make_uploads(site: Path) -> None:
    """Make a site as PHP leaves it: code of alice's, readable by the web group; uploads of the web user's."""
    os.chown(site, ALICE, WEB)
    site.chmod(0o750)
    os.chown(write(site / "index.php", b"<?php\n"), ALICE, WEB)
    give(write(site / "plain.txt", b"alice's"), ALICE)
    for folder in ("uploads", "uploads/2026", "uploads/2026/11"):
        (site / folder).mkdir()
        give(site / folder, WEB)
    give(write(site / "uploads/2026/11/a.jpg", b"jpeg"), WEB).chmod(0o664)
    give(write(site / "uploads/2026/11/alices.jpg", b"by SFTP"), ALICE)
    os.link(site / "uploads/2026/11/a.jpg", site / "uploads/2026/b.jpg")
    (site / "uploads/latest").symlink_to("2026/11/a.jpg")
    give(site / "uploads/latest", WEB)
    (site / "uploads/2026").chmod(0o555)
    os.utime(site / "uploads/2026", ns=(1_000_000_001, 1_000_000_001))


@pytest.mark.parametrize("mode", list(RestoreMode))
def test_every_owner_group_and_link_comes_back(alice_store: Store, site: Path, mode: RestoreMode) -> None:
    make_uploads(site)
    before = look(site)
    alice_store.back_up()
    (site / "index.php").unlink()
    alice_store.restore(options=RestoreOptions(mode=mode))
    assert look(site) == before
    assert (site / "uploads/2026/11/a.jpg").stat().st_ino == (site / "uploads/2026/b.jpg").stat().st_ino
    assert sorted(os.listdir(site.parent)) == sorted([alice_store.folder.name, site.name])


def test_more_uploads_than_one_batch(alice_store: Store, site: Path) -> None:
    for number in range(3 * steward.MAX_GIFTS + 1):
        give(write(site / f"{number}.jpg", b"jpeg"), WEB)
    alice_store.back_up()
    alice_store.restore()
    assert {path.stat().st_uid for path in site.iterdir()} == {WEB}


def test_the_undo_of_a_site_with_uploads_can_be_removed_by_a_parent_folder_of_the_tenants(
    alice_store: Store, site: Path
) -> None:
    give(site.parent, ALICE)
    make_uploads(site)
    before = look(site)
    alice_store.back_up()
    alice_store.restore()
    assert look(site) == before
    assert sorted(os.listdir(site.parent)) == sorted([alice_store.folder.name, site.name])


def test_a_strangers_folder_in_an_undo_is_not_taken(alice_store: Store, site: Path) -> None:
    alice_store.back_up()
    (site / "bobs").mkdir()
    give(write(site / "bobs" / "letter.txt", b"bob's"), BOB)
    give(site / "bobs", BOB)
    with pytest.raises(RestoreFailed, match="cannot be removed"):
        alice_store.restore()
    [undo] = [name for name in os.listdir(site.parent) if name.startswith(".smartbackup")]
    assert (site.parent / undo / "bobs/letter.txt").stat().st_uid == BOB


def test_without_a_web_user_there_is_no_steward(site: Path) -> None:
    assert not steward.is_needed(Tenant(ALICE, ALICE))
    assert not steward.is_needed(Tenant(0, 0, (), (WEB,)))
    assert not steward.is_needed(Tenant(WEB, WEB, (), (WEB,)))
    assert steward.is_needed(AS_ALICE)


@pytest.fixture
def giver() -> Iterator[Giver]:
    """Give the agent's side of a real steward that works for alice."""
    mine, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-m", steward.MODULE, str(theirs.fileno())]
    child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    with mine:
        channel = Channel(mine)
        steward.greet(channel, AS_ALICE)
        yield Giver(channel)
    assert child.wait(10) == 0


def handed(giver: Giver, path: Path, uid: int = WEB, gid: int = WEB) -> None:
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        giver.give(fd, uid, gid)
        giver.finish()
    finally:
        os.close(fd)


def test_a_steward_gives_nothing_but_the_tenants_own_to_nobody_but_the_web_user(
    giver: Giver, open_folder: Path
) -> None:
    own = give(write(open_folder / "own", b""), ALICE)
    for path, uid, gid in [
        (give(write(open_folder / "bobs", b""), BOB), WEB, WEB),
        (write(open_folder / "roots", b""), WEB, WEB),
        (own, 0, ALICE),
        (own, BOB, ALICE),
        (own, WEB, 0),
        (own, WEB, BOB),
    ]:
        owner = path.stat().st_uid
        with pytest.raises(RestoreFailed, match=r"belong to the domain's owner|nothing is given"):
            handed(giver, path, uid, gid)
        assert path.stat().st_uid == owner
    pipe = open_folder / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RestoreFailed, match="only files"):
        handed(giver, give(pipe, ALICE))
    own.chmod(0o6755)
    handed(giver, own)
    assert (own.stat().st_uid, stat.S_IMODE(own.stat().st_mode)) == (WEB, 0o755)


def test_a_steward_takes_folders_below_the_tenants_own_only(giver: Giver, open_folder: Path) -> None:
    bobs = open_folder / "bob"
    alices = open_folder / "alice"
    for top, uid in ((bobs, BOB), (alices, ALICE)):
        (top / "uploads").mkdir(parents=True)
        give(top, uid)
        give(top / "uploads", WEB)
    (alices / "to-bob").symlink_to(bobs)
    (alices / "strange").mkdir(mode=0o700)
    (alices / "strange/deeper").mkdir()
    give(alices / "strange", BOB)
    give(alices / "strange/deeper", WEB)
    give(write(alices / "a.jpg", b""), WEB)
    for top in (bobs, open_folder, bobs / "uploads"):
        with pytest.raises(RestoreFailed, match="belong to the domain's owner"):
            _take(giver, top)
    _take(giver, alices)
    assert (alices / "uploads").stat().st_uid == ALICE
    assert (alices / "a.jpg").stat().st_uid == WEB
    assert (alices / "strange/deeper").stat().st_uid == WEB
    assert (bobs / "uploads").stat().st_uid == WEB


def _take(giver: Giver, top: Path) -> None:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        giver.take_folders(fd)
    finally:
        os.close(fd)


def test_a_steward_can_do_nothing_else(site: Path) -> None:
    """It runs as the tenant with two capabilities."""
    give(site, ALICE)
    with Agent.start(str(site), AS_ALICE, purpose=AgentPurpose.RESTORE):
        wait_for(lambda: _steward_status().get("NoNewPrivs") == "1", "the steward to become alice")
        status = _steward_status()
    chown, dac_read_search = 1 << 0, 1 << 2
    assert status["Uid"].split() == [str(ALICE)] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {chown | dac_read_search}
    assert {int(status[name], 16) for name in ("CapAmb", "CapInh")} == {0}


def _steward_status() -> dict[str, str]:
    """Return the kernel's words on the one steward that this process started."""
    for number in _children():
        try:
            if steward.MODULE in Path(f"/proc/{number}/cmdline").read_text():
                lines = Path(f"/proc/{number}/status").read_text().splitlines()
                return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        except FileNotFoundError:
            continue
    return {}


def _children() -> list[str]:
    tasks = os.listdir("/proc/self/task")
    return [number for task in tasks for number in Path(f"/proc/self/task/{task}/children").read_text().split()]


def test_a_steward_ends_at_what_is_no_request(open_folder: Path) -> None:
    mine, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-m", steward.MODULE, str(theirs.fileno())]
    child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    theirs.close()
    with mine:
        channel = Channel(mine)
        steward.greet(channel, AS_ALICE)
        with give(write(open_folder / "own", b""), ALICE).open() as file:
            channel.send(steward.Give([(WEB, WEB), (WEB, WEB)]), [file.fileno()])
            answer, _ = channel.receive(steward.decode_answer)
        assert "argument 2 is longer" in answer.failure
        steward.greet(channel, Tenant(BOB, BOB))
        assert child.wait(10) == 1

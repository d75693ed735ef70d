"""A kill, and an error, at the Nth system call of a command: what counts as done is whole, and the next run works.

Cases T41 and T45. strace does it from outside, so that nothing of the product knows. The regular run takes a few of the
calls; SMARTBACKUP_LONG=1 kills at more than four hundred and fails each kind of call at each of its first times.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.figures import Figure
from tests.support.installation import SMARTBACKUP, Installation, make_installation

IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
DOMAIN = "shop.example.test"
CHANGING = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,write,pwrite64,ftruncate,mkdir,sendmsg,sendto,recvmsg,fcntl"
"""What changes a file, the state or the other process; calls that only look leave everything as the one before did."""

BACKUP = ["backup", DOMAIN, "--type", "full"]
KILLED = {
    "backup": (BACKUP, range(1, 500, 2) if IS_LONG else (211,)),
    "verify": (["verify", DOMAIN], range(1, 138)),
    "retention": (["retention", DOMAIN], range(1, 130) if IS_LONG else (61,)),
}
FAILED_AT = range(1, 41) if IS_LONG else (2,)
ERRORS = [("fsync", "EIO"), ("fsync", "EINTR")]
ERRORS += [(call, error) for call in ("fdatasync", "rename", "close") for error in ("EIO", "ENOSPC", "EINTR")]


@pytest.fixture(scope="module")
def shop() -> Iterator[Installation]:
    """Give one installation for all tests: what one of them leaves behind, the next ones have to live with."""
    with make_installation() as installation:
        installation.add_site(DOMAIN, {f"{number}.html": "<p>words</p>\n" * 400 for number in range(30)})
        installation.smartbackup("backup", DOMAIN)
        installation.smartbackup("retention", DOMAIN, "--set", "last=2", "--dry-run")
        yield installation


def run_under(installation: Installation, inject: str, *command: str) -> int:
    """Run a command with something injected into its system calls and those of its children; return its exit code."""
    calls = inject.partition(":")[0]
    traced = ["/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={inject}"]
    return subprocess.run(
        [*traced, str(SMARTBACKUP), *command, "--json"],
        env=installation.environment,
        capture_output=True,
        timeout=120,
        check=False,
    ).returncode


def assert_whole(installation: Installation) -> None:
    """Every point that counts is sound byte for byte, and the store holds nothing besides."""
    assert installation.smartbackup("verify", DOMAIN)["damaged"] == []
    store = Path(installation.backup_root) / DOMAIN
    known = {row["archive"] for row in installation.points(DOMAIN)}
    assert {name.removesuffix(".meta") for name in os.listdir(store)} == known


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", KILLED if IS_LONG else ["backup", "retention"])
def test_a_kill_at_any_call_leaves_whole_points_and_the_next_run_works(
    shop: Installation, name: str, figure: Figure
) -> None:
    command, moments = KILLED[name]
    for moment in moments:
        if name == "retention":
            shop.smartbackup(*BACKUP)
        run_under(shop, f"{CHANGING}:signal=SIGKILL:when={moment}", *command)
        before = {row["point"] for row in shop.points(DOMAIN)}
        made = shop.smartbackup(*BACKUP)
        assert made["point"] not in before, moment
        if moment % 10 == 1:
            assert_whole(shop)
    figure(f"kills at system calls of {name}", len(moments), "kills")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("call", "error"), ERRORS if IS_LONG else ERRORS[:1])
def test_an_error_of_a_call_is_never_a_success_that_is_not_whole(
    shop: Installation, call: str, error: str, figure: Figure
) -> None:
    for moment in FAILED_AT:
        before = {row["point"] for row in shop.points(DOMAIN)}
        exit_code = run_under(shop, f"{call}:error={error}:when={moment}", *BACKUP)
        new = {row["point"] for row in shop.points(DOMAIN)} - before
        assert exit_code != 0 or len(new) == 1, (call, moment, exit_code)
    shop.smartbackup(*BACKUP)
    assert_whole(shop)
    figure(f"{error} of {call}", len(FAILED_AT), "times")

"""A kill, and an error, at the Nth system call of a command: what counts as done is whole, and the next run works.

Cases T41 and T45. strace does it from outside, so that nothing of the product knows. The regular run takes a few of the
calls; SMARTBACKUP_LONG=1 kills at every second of them and fails each kind of call at each of its first times.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from collections import Counter
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
COMMANDS = {"backup": BACKUP, "verify": ["verify", DOMAIN], "retention": ["retention", DOMAIN]}
REGULAR_KILLS = 2
FAILED_AT = range(1, 41) if IS_LONG else (2,)
ERRORS = [
    (call, error)
    for call in ("renameat2", "fsync", "fdatasync", "rename", "close")
    for error in ("EIO", "ENOSPC", "EINTR")
]
KEEP_ONE = {f"KEEP_{rule}": "0" for rule in ("DAYS", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
Moment = tuple[str, int]
"""A system call's name, and the how-manieth of a thread it is."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Installation]:
    """Give one installation for all tests: what one of them leaves behind, the next ones have to live with."""
    with make_installation({**KEEP_ONE, "KEEP_LAST": "1", "KEEP_AT_LEAST": "1"}) as installation:
        installation.add_site(DOMAIN, {f"{number}.html": "<p>words</p>\n" * 400 for number in range(30)})
        installation.smartbackup("backup", DOMAIN)
        yield installation


def run_traced(installation: Installation, options: list[str], command: list[str]) -> int:
    """Run a command and its children under strace; return its exit code, -9 where it was killed."""
    return subprocess.run(
        ["/usr/bin/strace", "-f", "-qq", *options, str(SMARTBACKUP), *command, "--json"],
        env=installation.environment,
        capture_output=True,
        timeout=120,
        check=False,
    ).returncode


def run_under(installation: Installation, inject: str, *command: str) -> int:
    """Run a command with something injected into its system calls and those of its children; return its exit code."""
    calls = inject.partition(":")[0]
    return run_traced(installation, ["-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={inject}"], [*command])


def find_moments(installation: Installation, command: list[str]) -> list[Moment]:
    """Return every call that a run of the command makes, as strace counts them: by name and thread."""
    log = installation.folder / "calls"
    assert run_traced(installation, ["-o", str(log), "-e", f"trace={CHANGING}"], command) == 0
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if found:
            counts[found[1], found[2]] += 1
    most: Counter[str] = Counter()
    for (_, name), count in counts.items():
        most[name] = max(most[name], count)
    return [(name, number) for name in sorted(most) for number in range(1, most[name] + 1)]


def assert_whole(installation: Installation) -> None:
    """Every point that counts is sound byte for byte, and the store holds nothing besides."""
    assert installation.smartbackup("verify", DOMAIN)["damaged"] == []
    store = Path(installation.backup_root) / DOMAIN
    known = {row["archive"] for row in installation.points(DOMAIN)}
    assert {name.removesuffix(".meta") for name in os.listdir(store)} == known


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_at_any_call_leaves_whole_points_and_the_next_run_works(
    shop: Installation, name: str, figure: Figure
) -> None:
    """Few calls come in another order the next time: nearly every kill has to hit."""
    command = COMMANDS[name]
    shop.smartbackup("retention", DOMAIN)
    shop.smartbackup(*BACKUP)
    every = find_moments(shop, command)
    moments = every[::2] if IS_LONG else random.Random(name).sample(every, REGULAR_KILLS)
    killed = 0
    for number, (call, when) in enumerate(moments):
        shop.smartbackup(*BACKUP)
        killed += run_under(shop, f"{call}:signal=SIGKILL:when={when}", *command) == -signal.SIGKILL
        before = {row["point"] for row in shop.points(DOMAIN)}
        made = shop.smartbackup(*BACKUP)
        assert made["point"] not in before, (call, when)
        if number % 10 == 0:
            shop.smartbackup("retention", DOMAIN)
            assert [row["point"] for row in shop.points(DOMAIN)] == [made["point"]]
            assert_whole(shop)
    figure(f"kills at system calls of {name}", killed, "kills")
    assert killed >= 0.9 * len(moments) - 1


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("call", "error"), ERRORS if IS_LONG else ERRORS[::6])
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

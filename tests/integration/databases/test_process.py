"""Child programs get exactly what they are given, end when they should, and keep secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smartbackup_panel.adapters.process import Account, SecretFile, find_program, peer_account, run, start
from smartbackup_panel.core.errors import ToolMissing

TENANT = Account(20_001, 20_001, (20_002,))


def test_the_environment_is_fixed_and_the_shell_is_not_involved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PWD", "leak")
    monkeypatch.setenv("LD_PRELOAD_X", "leak")
    seen = dict(
        line.split("=", 1) for line in run(find_program("env"), [], time_limit_seconds=10).stdout.decode().splitlines()
    )
    assert seen == {
        "PATH": "/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin:/usr/local/sbin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/nonexistent",
    }
    echoed = run(find_program("echo"), [], ["$(id)", "-n; `id`"], time_limit_seconds=10)
    assert echoed.stdout == b"-- $(id) -n; `id`\n"


def test_operands_come_after_two_dashes() -> None:
    ended = run(find_program("cat"), [], ["--version"], time_limit_seconds=10)
    assert (ended.returncode, ended.stderr_tail) == (1, "/usr/bin/cat: --version: No such file or directory")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ToolMissing, match="no-such-tool or neither-this is not installed"):
        find_program("no-such-tool", "neither-this")
    with pytest.raises(ValueError, match="a program's name"):
        find_program("../bin/sh")


def test_a_child_past_its_limit_is_killed_with_its_group() -> None:
    begin = time.monotonic()
    with start(find_program("sh"), ["-c", "sleep 77.7 & sleep 77.7"], time_limit_seconds=0.4) as child:
        ended = child.finish()
    assert (ended.timed_out, ended.returncode) == (True, -9)
    assert time.monotonic() - begin < 5
    assert _ends(b"77.7")


def test_leaving_the_block_kills_the_child() -> None:
    with start(find_program("sleep"), ["77.8"], time_limit_seconds=60) as child:
        assert child.pid > 0
    assert _ends(b"77.8")


def test_a_killed_starter_leaves_no_child() -> None:
    code = (
        "from smartbackup_panel.adapters.process import start, find_program\n"
        "child = start(find_program('sleep'), ['77.9'], time_limit_seconds=60)\n"
        "import time\ntime.sleep(0.3)\nprint(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert int(starter.stdout.readline()) > 0
        assert _running(b"77.9")
        starter.send_signal(signal.SIGKILL)
    assert _ends(b"77.9")


def test_the_last_words_are_kept_bounded_and_without_the_secret() -> None:
    with SecretFile(b"text", ["s3cret"]) as secret:
        script = "for i in $(seq 3000); do echo line $i s3cret >&2; done; exit 3"
        ended = run(find_program("sh"), ["-c", script], time_limit_seconds=20, secret=secret)
    assert ended.returncode == 3
    assert ended.stderr_tail.endswith("line 3000 ***")
    assert len(ended.stderr_tail) <= 4_096
    assert "s3cret" not in ended.stderr_tail


def test_a_secret_is_read_by_the_child_alone() -> None:
    account = TENANT if os.geteuid() == 0 else None
    with SecretFile(b"[client]\npassword=s3cret\n", ["s3cret"], account) as secret:
        ended = run(find_program("cat"), [], [secret.path], time_limit_seconds=10, account=account, secret=secret)
        assert ended.stdout == b"[client]\npassword=s3cret\n"
        assert os.fstat(secret.fd).st_mode & 0o777 == 0o400
        other = run(find_program("cat"), [], [secret.path], time_limit_seconds=10)
        assert b"s3cret" not in other.stdout


def test_the_child_becomes_the_tenant_for_good() -> None:
    account = TENANT if os.geteuid() == 0 else None
    status = run(find_program("cat"), ["/proc/self/status"], time_limit_seconds=10, account=account).stdout.decode()
    facts = {key: value.split() for key, _, value in (line.partition(":") for line in status.splitlines())}
    assert facts["NoNewPrivs"] == ["1"]
    if account is not None:
        assert facts["Uid"] == ["20001"] * 4
        assert facts["Gid"] == ["20001"] * 4
        assert facts["Groups"] == ["20002"]
        assert facts["CapEff"] == ["0000000000000000"]


def test_root_never_speaks_to_a_tenants_service() -> None:
    if os.geteuid() == 0:
        assert peer_account(None) == peer_account(Account(0, 0)) == Account(65_534, 65_534)
        assert peer_account(TENANT) == TENANT
    else:
        assert peer_account(TENANT) is None


def _ends(argument: bytes) -> bool:
    deadline = time.monotonic() + 5
    while _running(argument) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _running(argument)


def _running(argument: bytes) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if argument in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False

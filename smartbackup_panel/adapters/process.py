"""Child programs, the only way this product starts any (SECURITY rules 9 and 13).

Programs are absolute, looked up in one fixed PATH; arguments are lists, operands come after `--`; the environment is fixed;
secrets travel in memory files on inherited descriptors. Every child has its own process group, a time limit, no new
privileges, and dies with the thread that started it (PDEATHSIG is bound to the thread, so the starter has to wait for it).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import TracebackType
from typing import IO, Self

from smartbackup_panel.adapters.pressure import weigh_session
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import SmartBackupError, ToolMissing

PROGRAM_FOLDERS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin")
ENVIRONMENT = {"PATH": ":".join(PROGRAM_FOLDERS), "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}
CHUNK_BYTES = 256 * 1024
STDERR_TAIL_BYTES = 4_096
RUN_OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
NOBODY_ID = 65_534
_GRACE_SECONDS = 2.0
_F_SETPIPE_SZ = 1031


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a child becomes. `groups` are its supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


NOBODY = Account(NOBODY_ID, NOBODY_ID)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `stderr_tail` is bounded, readable and free of secrets.

    `timed_out`: it passed its time limit and was killed with its group (`returncode` is then -9).
    """

    returncode: int
    stderr_tail: str
    stdout: bytes = b""
    timed_out: bool = False


class SecretFile:
    """Text in memory that a child reads by path; nothing is on disk, in argv or in the environment.

    `account` is who will read it: the memory file is given to that user, mode 0400 (MariaDB's clients ignore option files
    that others can write, and a child that has become another user opens `/proc/self/fd/N` with that user's rights).
    """

    def __init__(self, text: bytes, secrets: Sequence[str], account: Account | None = None) -> None:
        self.secrets = tuple(secret for secret in secrets if secret)
        self.fd = os.memfd_create("secret", os.MFD_CLOEXEC)
        with on_failure(partial(os.close, self.fd)):
            _write_all(self.fd, text)
            os.fchmod(self.fd, stat.S_IRUSR)
            if account is not None and os.geteuid() == 0:
                os.fchown(self.fd, account.uid, account.gid)

    @property
    def path(self) -> str:
        """The path under which the child, and only it, finds the text."""
        return f"/proc/self/fd/{self.fd}"

    def scrub(self, text: str) -> str:
        """Return `text` with every secret replaced."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


@lru_cache(maxsize=64)
def find_program(*names: str) -> str:
    """Return the absolute path of the first of `names` that is installed, or raise ToolMissing that names them.

    Only regular files that root owns and nobody else can write count.
    """
    for name in names:
        if "/" in name:
            raise ValueError(f"a program's name, not a path: {name}")
        for folder in PROGRAM_FOLDERS:
            path = f"{folder}/{name}"
            if _is_trusted_program(path):
                return path
    raise ToolMissing(f"{' or '.join(names)} is not installed in {', '.join(PROGRAM_FOLDERS)}.")


class Child:
    """A running child program. Iterate `chunks` to the end, then `finish`; leaving the block kills what still runs."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float, secret: SecretFile | None) -> None:
        self._process = process
        self._deadline = deadline
        self._secret = secret
        self._stderr = bytearray()
        self._timed_out = False
        self._open = {_descriptor(process.stdout), _descriptor(process.stderr)}
        with contextlib.suppress(OSError):
            fcntl.fcntl(_descriptor(process.stdout), _F_SETPIPE_SZ, 4 * CHUNK_BYTES)

    @property
    def pid(self) -> int:
        return self._process.pid

    def chunks(self) -> Iterator[bytes]:
        """Yield stdout as it comes, at most CHUNK_BYTES at a time; it ends early when the time limit kills the child."""
        out, err = _descriptor(self._process.stdout), _descriptor(self._process.stderr)
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        while self._open:
            for descriptor, _ in self._wait(poll):
                chunk = os.read(descriptor, CHUNK_BYTES)
                if not chunk:
                    poll.unregister(descriptor)
                    self._open.discard(descriptor)
                elif descriptor == out:
                    yield chunk
                elif descriptor == err:
                    self._stderr = (self._stderr + chunk)[-STDERR_TAIL_BYTES:]

    def finish(self) -> Finished:
        """Wait for the end and return it. Output that nobody took is read and dropped."""
        for _ in self.chunks():
            continue
        try:
            self._process.wait(max(self._deadline - time.monotonic(), 0.001))
        except subprocess.TimeoutExpired:
            self._stop_at_the_limit()
        return Finished(self._process.returncode, self._stderr_tail(), timed_out=self._timed_out)

    def kill(self) -> None:
        """Kill the child and its whole group and wait for it; a child that has ended is left alone."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _wait(self, poll: select.poll) -> list[tuple[int, int]]:
        left = self._deadline - time.monotonic()
        if left > 0:
            return poll.poll(min(left, 60.0) * 1_000)
        self._stop_at_the_limit()
        self._open.clear()
        return []

    def _stop_at_the_limit(self) -> None:
        self._timed_out = True
        self.kill()

    def _stderr_tail(self) -> str:
        text = self._stderr.decode("utf-8", "replace").strip()
        return self._secret.scrub(text) if self._secret is not None else text


def start(
    program: str,
    options: Sequence[str],
    operands: Sequence[str] = (),
    *,
    time_limit_seconds: float,
    account: Account | None = None,
    secret: SecretFile | None = None,
) -> Child:
    """Start `program OPTIONS -- OPERANDS` and return the running child, its stdout ready to stream.

    `account` is who it becomes (only where this process is root; else it runs as this process does).
    SmartBackupError's ToolMissing when the program cannot be started.
    """
    command = [*_wrapper(account), program, *options]
    if operands:
        command += ["--", *operands]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            close_fds=True,
            pass_fds=() if secret is None else (secret.fd,),
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissing(f"{program} cannot be started: {error.strerror}.") from error
    _follow_niceness(process.pid)
    return Child(process, time.monotonic() + time_limit_seconds, secret)


def _follow_niceness(pid: int) -> None:
    """Weigh a child's session as this thread is: kernels with autogroups compare sessions before they compare processes."""
    niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    if niceness > 0:
        weigh_session(pid, niceness)


def run(
    program: str,
    options: Sequence[str],
    operands: Sequence[str] = (),
    *,
    time_limit_seconds: float,
    account: Account | None = None,
    secret: SecretFile | None = None,
) -> Finished:
    """Run a program to its end and return how it ended and its stdout (bounded; more of it is an error)."""
    limit = time_limit_seconds
    with start(program, options, operands, time_limit_seconds=limit, account=account, secret=secret) as child:
        output = bytearray()
        for chunk in child.chunks():
            output += chunk
            if len(output) > RUN_OUTPUT_LIMIT_BYTES:
                raise SmartBackupError(f"{program} wrote more than {RUN_OUTPUT_LIMIT_BYTES} bytes.")
        ended = child.finish()
        return replace(ended, stdout=bytes(output))


def peer_account(account: Account | None) -> Account | None:
    """Return who a client of a tenant's service has to be: never root, because servers may trust root's name.

    MariaDB's unix_socket login takes uid 0 for its own admin, whatever the password: a tenant that writes `root` into
    its configuration would reach every database. Not root: None, the child runs as this process does.
    """
    if os.geteuid() != 0:
        return None
    if account is None or account.uid == 0:
        return NOBODY
    return account


def _wrapper(account: Account | None) -> list[str]:
    wrapper = [find_program("setpriv"), "--pdeathsig", "KILL", "--no-new-privs"]
    if account is not None and os.geteuid() == 0:
        groups = ",".join(str(group) for group in account.groups)
        wrapper += ["--reuid", str(account.uid), "--regid", str(account.gid), "--inh-caps=-all"]
        wrapper += ["--groups", groups] if groups else ["--clear-groups"]
    return [*wrapper, "--"]


def _is_trusted_program(path: str) -> bool:
    try:
        facts = os.stat(path)
    except OSError:
        return False
    return (
        stat.S_ISREG(facts.st_mode) and facts.st_uid == 0 and not facts.st_mode & 0o022 and bool(facts.st_mode & 0o111)
    )


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]


def _descriptor(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise ValueError("the child was started without this pipe")
    return stream.fileno()

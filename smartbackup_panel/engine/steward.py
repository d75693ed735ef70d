"""The steward: a child that hands a tenant's new files to the web user, and takes the web user's folders back.

PHP's uploads belong to the web user on plain servers. Only a process that may change owners can give them back to it, so
this one has that right and does nothing else: it gives away what belongs to its tenant, to the web users and groups of
its greeting alone, and takes folders only below a folder of the tenant. It believes nothing else that an agent says.
Started beside an agent as `python -I -X utf8 -m smartbackup_panel.engine.steward FD`.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.tree import Tenant
from smartbackup_panel.engine import jail
from smartbackup_panel.engine.channel import Channel, ChannelClosed, close_all
from smartbackup_panel.engine.fsafe import MAX_DEPTH, open_beneath
from smartbackup_panel.engine.syscalls import chown_fd

MODULE = __name__ if __name__ != "__main__" else "smartbackup_panel.engine.steward"
MAX_GIFTS = 200
_GIVEN_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_PASSED_BY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


class Greeting(msgspec.Struct, tag=True, frozen=True):
    """The worker's own first message: whose files may be given, and to whom (`Tenant.web_uids`, `web_gids`)."""

    tenant: Tenant
    parent_pid: int


class Give(msgspec.Struct, tag=True, frozen=True):
    """Give each descriptor's inode to a (user, group); at most MAX_GIFTS."""

    owners: list[tuple[int, int]]


class TakeFolders(msgspec.Struct, tag=True, frozen=True):
    """Make the tenant the owner of the web users' folders below the folder whose descriptor comes along."""


class Answer(msgspec.Struct, tag=True, frozen=True):
    """What became of a request; `failure` is empty when all of it was done."""

    failure: str


# msgspec accepts a union of structures where mypy wants a class, hence Any.
_requests: Any = Give | TakeFolders
_decode_greeting: Callable[[bytearray], Greeting] = msgspec.msgpack.Decoder(Greeting).decode
_decode_request: Callable[[bytearray], Give | TakeFolders] = msgspec.msgpack.Decoder(_requests).decode
decode_answer: Callable[[bytearray], Answer] = msgspec.msgpack.Decoder(Answer).decode


def is_needed(tenant: Tenant | None) -> bool:
    """Whether a restore for this tenant can need a steward: root works for somebody else who has web users."""
    if tenant is None or os.geteuid() != 0 or tenant.uid == 0:
        return False
    return any(uid != tenant.uid for uid in tenant.web_uids)


class Steward:
    """Carries out requests for one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._uids = frozenset({tenant.uid, *tenant.web_uids})
        self._gids = frozenset({tenant.gid, *tenant.groups, *tenant.web_gids})

    def answer(self, request: Give | TakeFolders, fds: list[int]) -> Answer:
        """Return what became of a request; the descriptors stay the caller's."""
        try:
            if isinstance(request, Give):
                for fd, (uid, gid) in zip(fds, request.owners, strict=True):
                    self._give(fd, uid, gid)
            else:
                self._take_folders(*fds)
        except (RestoreFailed, OSError, ValueError, TypeError) as error:
            return Answer(str(error) or type(error).__name__)
        return Answer("")

    def _give(self, fd: int, uid: int, gid: int) -> None:
        if uid not in self._uids or gid not in self._gids:
            raise RestoreFailed(f"nothing is given to user {uid} and group {gid}")
        found = self._checked(fd)
        if stat.S_IFMT(found.st_mode) not in _GIVEN_TYPES:
            raise RestoreFailed("only files, folders and links are given")
        chown_fd(fd, uid, gid)

    def _checked(self, fd: int) -> os.stat_result:
        """Return the facts of what belongs to the tenant. Raises RestoreFailed for anything else."""
        found = os.fstat(fd)
        if found.st_uid != self._tenant.uid:
            raise RestoreFailed("that does not belong to the domain's owner")
        return found

    def _take_folders(self, top_fd: int) -> None:
        """Walk down from a folder of the tenant, through no link and onto no other filesystem."""
        self._checked(top_fd)
        stack = [os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top_fd)]
        names = [self._take_one(stack[0])]
        try:
            while stack:
                if not names[-1] or len(stack) >= MAX_DEPTH:
                    os.close(stack.pop())
                    names.pop()
                    continue
                try:
                    stack.append(open_beneath(stack[-1], names[-1].pop(), os.O_RDONLY | os.O_DIRECTORY))
                except OSError as error:
                    if error.errno not in _PASSED_BY:
                        raise
                    continue
                names.append(self._take_one(stack[-1]))
        finally:
            close_all(stack)

    def _take_one(self, fd: int) -> list[bytes]:
        """Take one open folder if it is a web user's; return its folders' names, none where it is a stranger's."""
        owner = os.fstat(fd).st_uid
        if owner not in self._uids:
            return []
        if owner != self._tenant.uid:
            chown_fd(fd, self._tenant.uid, self._tenant.gid)
        with os.scandir(fd) as found:
            return [os.fsencode(entry.name) for entry in found if entry.is_dir(follow_symlinks=False)]


def greet(channel: Channel, tenant: Tenant) -> None:
    """Tell a steward that was just started whom it works for; only then the channel goes to the agent."""
    channel.send(Greeting(tenant, os.getpid()))


def main() -> int:
    """Serve one agent; return the exit code."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    greeting, fds = channel.receive(_decode_greeting)
    close_all(fds)
    jail.enter_as_steward(greeting.tenant, greeting.parent_pid)
    steward = Steward(greeting.tenant)
    try:
        while True:
            request, fds = channel.receive(_decode_request)
            try:
                channel.send(steward.answer(request, fds))
            finally:
                close_all(fds)
    except ChannelClosed:
        return 0


if __name__ == "__main__":
    sys.exit(main())

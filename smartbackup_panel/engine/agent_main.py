"""The agent's process: reads one greeting, becomes the tenant, then answers requests until it is told to stop.

Started as `python -I -X utf8 -m smartbackup_panel.engine.agent_main FD`. Everything is imported before the switch.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

import msgspec

from smartbackup_panel.core.errors import NoSpace, SmartBackupError
from smartbackup_panel.engine import gentle, jail
from smartbackup_panel.engine.agent_requests import AgentRequests
from smartbackup_panel.engine.channel import Channel, ChannelClosed, close_all
from smartbackup_panel.engine.giver import Giver
from smartbackup_panel.engine.messages import Done, Failed, Request, Stop, decode_hello, decode_request


def main() -> int:
    """Serve one worker; return the exit code."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        hello, (spool_fd, *steward_fds) = channel.receive(decode_hello)
    except ChannelClosed:  # a spare that was never needed
        return 0
    gentle.follow_niceness()
    jail.enter(hello.tenant, hello.purpose, hello.parent_pid)
    givers = [Giver(Channel(socket.socket(fileno=fd))) for fd in steward_fds]
    requests = AgentRequests(hello, spool_fd, channel, givers[0] if givers else None)
    try:
        while True:
            request, fds = channel.receive(decode_request)
            if isinstance(request, Stop):
                return 0
            try:
                channel.send(_answer(requests, request, fds))
            finally:
                close_all(fds)
    except ChannelClosed:
        return 0


def _answer(requests: AgentRequests, request: Request, fds: list[int]) -> Done | Failed:
    try:
        return Done(msgspec.Raw(msgspec.msgpack.encode(requests.answer(request, fds))))
    except SmartBackupError as error:
        return Failed(error.code, error.message, error.hint)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return Failed(NoSpace.code, f"no room left: {error.strerror}", NoSpace.default_hint)


if __name__ == "__main__":
    # Nothing is left to do, and taking the interpreter apart would take as long as writing a small increment.
    os._exit(main())

"""Messages between the worker and an agent: length-prefixed msgpack on one socket, descriptors beside them.

The agent may be in the hands of a tenant, so the worker checks every length and type that arrives.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from smartbackup_panel.core.errors import AgentFailed

_HEADER = struct.Struct("<IB")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_FDS = 220
Message = TypeVar("Message")


class ChannelClosed(ConnectionError):
    """The other side is gone; whoever holds this end says what that means."""


class Channel:
    """One end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def set_timeout(self, seconds: float | None) -> None:
        """Bound how long one transfer may stand still; TimeoutError is raised then."""
        self._socket.settimeout(seconds)

    def send(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send one message (a msgspec structure) and descriptors, which stay open here too."""
        body = msgspec.msgpack.encode(message)
        if len(body) > MAX_MESSAGE_BYTES or len(fds) > MAX_FDS:
            raise AgentFailed(f"a message of {len(body)} bytes and {len(fds)} files is too large")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([_HEADER.pack(len(body), len(fds))], rights)
            self._socket.sendall(body)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed("the other process is gone") from error

    def receive(self, decode: Callable[[bytearray], Message]) -> tuple[Message, list[int]]:
        """Return the next message as `decode` reads it, and its descriptors, now the caller's.

        Raises ChannelClosed at the end, AgentFailed for anything that is not a message.
        """
        header, fds = self._receive_header()
        length, fd_count = _HEADER.unpack(header)
        if length > MAX_MESSAGE_BYTES or fd_count != len(fds):
            close_all(fds)
            raise AgentFailed("the other process sent an impossible message")
        try:
            return decode(self._receive_exactly(length)), fds
        except (msgspec.MsgspecError, AgentFailed, OSError) as error:
            close_all(fds)
            if isinstance(error, msgspec.MsgspecError):
                raise AgentFailed(f"the other process sent an unknown message: {error}") from error
            raise

    def _receive_header(self) -> tuple[bytes, list[int]]:
        space = socket.CMSG_SPACE(MAX_FDS * array("i").itemsize)
        header, fds = b"", []
        while len(header) < _HEADER.size:
            try:
                part, rights, _, _ = self._socket.recvmsg(_HEADER.size - len(header), space, socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError as error:
                raise ChannelClosed("the other process is gone") from error
            fds += _descriptors(rights)
            if not part:
                close_all(fds)
                raise ChannelClosed("the other process is gone")
            header += part
        return header, fds

    def _receive_exactly(self, length: int) -> bytearray:
        body = bytearray(length)
        view = memoryview(body)
        while view:
            try:
                count = self._socket.recv_into(view)
            except ConnectionResetError as error:
                raise ChannelClosed("the other process is gone") from error
            if count == 0:
                raise ChannelClosed("the other process is gone")
            view = view[count:]
        return body


def _descriptors(rights: list[tuple[int, int, bytes]]) -> list[int]:
    found = array("i")
    for level, kind, payload in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
    return list(found)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that are not wanted."""
    for fd in fds:
        os.close(fd)

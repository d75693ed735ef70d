"""The worker believes nothing that arrives from an agent."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from smartbackup_panel.core.errors import AgentFailed
from smartbackup_panel.core.tree import Progress
from smartbackup_panel.engine.channel import Channel, ChannelClosed
from smartbackup_panel.engine.messages import Advanced, Frame, decode_event


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Give the worker's channel and the bare socket of the other side."""
    mine, theirs = socket.socketpair()
    mine.settimeout(5)
    yield Channel(mine), theirs
    mine.close()
    theirs.close()


def test_messages_and_descriptors_arrive(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    fd = os.memfd_create("sent")
    os.write(fd, b"through the descriptor")
    Channel(theirs).send(Advanced(Progress("scan", 3, 4)), [fd])
    os.close(fd)
    event, (received,) = channel.receive(decode_event)
    assert event == Advanced(Progress("scan", 3, 4))
    assert os.pread(received, 100, 0) == b"through the descriptor"
    assert os.get_inheritable(received) is False
    os.close(received)


def test_a_large_message_arrives_whole(ends: tuple[Channel, socket.socket]) -> None:
    import threading

    channel, theirs = ends
    frame = Frame(memoryview(os.urandom(3_000_000)), 3_000_000, bytes(32))
    sender = threading.Thread(target=Channel(theirs).send, args=(frame,))
    sender.start()
    assert channel.receive(decode_event) == (frame, [])
    sender.join()


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("<IB", 0xFFFFFFFF, 0),
        struct.pack("<IB", 5, 3) + b"12345",
        struct.pack("<IB", 1, 0) + b"\x90",
        struct.pack("<IB", 4, 0) + b"\xff\xff\xff\xff",
        struct.pack("<IB", 12, 0) + b"\x81\xa4type\xa5Hello",
    ],
    ids=["too long", "missing descriptors", "no message", "no msgpack", "not an event"],
)
def test_impossible_messages_are_refused(ends: tuple[Channel, socket.socket], raw: bytes) -> None:
    channel, theirs = ends
    theirs.sendall(raw)
    with pytest.raises(AgentFailed):
        channel.receive(decode_event)


@pytest.mark.parametrize("raw", [b"", b"\1", struct.pack("<IB", 100, 0) + b"only a part"])
def test_an_end_in_the_middle_is_said(ends: tuple[Channel, socket.socket], raw: bytes) -> None:
    channel, theirs = ends
    theirs.sendall(raw)
    theirs.close()
    with pytest.raises(ChannelClosed):
        channel.receive(decode_event)

"""The agent's side of a steward: what is to belong to the web user is collected and handed over in batches."""

from __future__ import annotations

import os

from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.engine.channel import Channel, ChannelClosed, close_all
from smartbackup_panel.engine.steward import MAX_GIFTS, Give, TakeFolders, decode_answer

_MAX_KEPT = 8_000
"""Half of the descriptors that an agent may have open (`engine.jail`)."""


class Giver:
    """Hands finished inodes over. Every method raises RestoreFailed when the steward refuses or is gone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._fds: list[int] = []
        self._owners: list[tuple[int, int]] = []
        self._kept: list[tuple[int, int, int]] = []

    def give(self, fd: int, uid: int, gid: int, *, later: bool = False) -> None:
        """Give what `fd` has open, which stays the caller's; `later` waits for the end, since links to it follow.

        A link can only be made to what is still one's own (fs.protected_hardlinks).
        """
        own = os.dup(fd)
        if later and len(self._kept) < _MAX_KEPT:
            self._kept.append((own, uid, gid))
            return
        self._fds.append(own)
        self._owners.append((uid, gid))
        if len(self._fds) >= MAX_GIFTS:
            self._hand_over()

    def finish(self) -> None:
        """Hand over all that waits."""
        self._hand_over()
        while self._kept:
            fd, uid, gid = self._kept.pop()
            self._fds.append(fd)
            self._owners.append((uid, gid))
            if len(self._fds) >= MAX_GIFTS:
                self._hand_over()
        self._hand_over()

    def drop(self) -> None:
        """Close what waits, after a failure."""
        close_all([*self._fds, *(fd for fd, _, _ in self._kept)])
        self._fds, self._owners, self._kept = [], [], []

    def take_folders(self, top_fd: int) -> None:
        """Make the web users' folders below a folder of the tenant the tenant's."""
        self._ask(TakeFolders(), [top_fd])

    def _hand_over(self) -> None:
        if not self._fds:
            return
        fds, owners = self._fds, self._owners
        self._fds, self._owners = [], []
        try:
            self._ask(Give(owners), fds)
        finally:
            close_all(fds)

    def _ask(self, request: Give | TakeFolders, fds: list[int]) -> None:
        try:
            self._channel.send(request, fds)
            answer, more = self._channel.receive(decode_answer)
        except ChannelClosed as error:
            raise RestoreFailed("the process that hands files to the web user ended") from error
        close_all(more)
        if answer.failure:
            raise RestoreFailed(f"files could not be handed to the web user or taken back: {answer.failure}")

"""Files that got another name: what an earlier point stored of them is found by their inode.

A new hard link may sort before all names that the file had. It is met first then, where the earlier point has nothing, and
would be stored once more. A link changes an inode's ctime, so that what is found here is a place to compare with: the
content has to be read and to have the checksum that lies there.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

from smartbackup_panel.engine.entries import STAT, IndexEntry
from smartbackup_panel.engine.spool import Seen

MOST = 20_000
"""So many files are kept in mind, about 8 MB; what comes later is stored again."""

Stored = Mapping[bytes, IndexEntry]
"""Earlier entries of files, by `file_key`."""


def file_key(packed: bytes) -> bytes:
    """Return of a packed stat what stays when a file gets another link: size, time of change, device and inode."""
    return packed[16:32] + packed[40:56]


class NewNames:
    """Hears of the differences between a scan and an earlier point, in any order."""

    def __init__(self) -> None:
        self._wanted: set[bytes] = set()
        self._stored: dict[bytes, IndexEntry] = {}

    def note_new(self, seen: Seen) -> None:
        """Hear of a path that was not there, or was another file."""
        mode, _, _, nlink, size, *_ = STAT.unpack(seen.stat)
        if nlink > 1 and size and stat.S_ISREG(mode) and len(self._wanted) < MOST:
            self._wanted.add(file_key(seen.stat))

    def note_stored(self, before: IndexEntry) -> None:
        """Hear of a path whose file is gone from it, or has other facts now."""
        if before.sha256 and len(self._stored) < MOST:
            self._stored.setdefault(file_key(before.stat), before)

    def result(self) -> Stored:
        """Return where the content of files with new names was stored."""
        return {key: entry for key, entry in self._stored.items() if key in self._wanted}

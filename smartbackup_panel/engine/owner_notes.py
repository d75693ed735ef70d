"""Whose the files of an import were: noted, since in the folder that they are unpacked into all belongs to the tenant.

A tenant can give nothing away, and has to read all that it unpacked. So the owners that an archive names are kept beside the
files until the point is written, which says them; a restore of that point gives the files back (SECURITY rule 5).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from smartbackup_panel.engine.entries import IndexEntry, Stat, pack_stat, unpack_stat
from smartbackup_panel.engine.ownership import Ownership
from smartbackup_panel.engine.restore_writer import Finisher, Xattrs

_OWNER = struct.Struct("<II")
_MASK_BITS = 64
"""Filesystems number the files of a folder closely: so many inode numbers share a mask, and a million take about 2 MB."""

Owner = tuple[int, int]
"""(uid, gid)"""


class OwnerNotes:
    """Owners by inode number, of one folder on one filesystem."""

    def __init__(self) -> None:
        self._masks: dict[Owner, dict[int, int]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether everything in the folder is the tenant's."""
        return not any(self._masks.values())

    def note(self, inode: int, owner: Owner | None) -> None:
        """Note the owner of a new inode, None where it is the tenant's; an inode that is gone had the number before."""
        place, bit = inode // _MASK_BITS, 1 << inode % _MASK_BITS
        before = self._find(inode)
        if before is not None:
            masks = self._masks[before]
            masks[place] ^= bit
            if not masks[place]:
                del masks[place]
        if owner is not None:
            masks = self._masks.setdefault(owner, {})
            masks[place] = masks.get(place, 0) | bit

    def recall(self, entries: Iterable[IndexEntry], ownership: Ownership) -> None:
        """Note the owners that a point names, whose very inodes the folder holds."""
        for entry in entries:
            facts = unpack_stat(entry.stat)
            if not entry.reason and (owner := ownership.gift(facts)) is not None:
                self.note(facts.inode, owner)

    def pack(self, found: os.stat_result) -> bytes:
        """Return the 56 bytes of a stat result (see `pack_stat`) with the noted owner."""
        packed, owner = pack_stat(found), self._find(found.st_ino)
        return packed if owner is None else packed[:4] + _OWNER.pack(*owner) + packed[12:]

    def _find(self, inode: int) -> Owner | None:
        place, shift = divmod(inode, _MASK_BITS)
        for owner, masks in self._masks.items():
            if masks.get(place, 0) >> shift & 1:
                return owner
        return None


class NotingFinisher(Finisher):
    """Finishes the files of an import: of what was a web user's or its group's, the owner is noted and none is lost.

    Every new inode passes through here, so that a number that is used again has no note of the inode before.
    """

    def __init__(self, ownership: Ownership, notes: OwnerNotes) -> None:
        super().__init__(ownership)
        self._notes = notes

    def finish(self, fd: int, facts: Stat, xattrs: Xattrs | None) -> None:
        """Set everything on an open new file or folder, and note its owner."""
        super().finish(fd, facts, xattrs)
        self._notes.note(os.fstat(fd).st_ino, self._ownership.gift(facts))

    def finish_link(self, dir_fd: int, name: bytes, facts: Stat) -> None:
        """Set the time of a new symlink, and note its owner."""
        super().finish_link(dir_fd, name, facts)
        self._notes.note(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_ino, self._ownership.gift(facts))

    def look(self, fd: int) -> Stat:
        """Return the facts of something that was finished before, with its noted owner."""
        return unpack_stat(self._notes.pack(os.fstat(fd)))

    def _give(self, fd: int, facts: Stat, *, later: bool = False) -> None:
        """Give nothing away: the tenant has to read it."""

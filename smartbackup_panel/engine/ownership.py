"""Who a restored path belongs to, and which rights come back: policy for tenants' trees (SECURITY rule 5)."""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass

from smartbackup_panel.engine.entries import Stat

_FILE_MODE = 0o777
_FOLDER_MODE = 0o3777
_ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")
_ACL_HEADER = struct.Struct("<I")
_ACL_ROW = struct.Struct("<HHI")
_ACL_USER, _ACL_GROUP = 0x02, 0x08


@dataclass(frozen=True, slots=True)
class Ownership:
    """The rules of one restore. Without `may_chown` (not uid 0) everything belongs to the user who writes.

    `gids` are that user's own groups; what is to have another one of the web users' (`web_gids`) is given away.
    """

    may_chown: bool
    uids: frozenset[int]
    gids: frozenset[int]
    web_gids: frozenset[int]

    @classmethod
    def of_this_process(cls, allowed_uids: frozenset[int], web_gids: frozenset[int]) -> Ownership:
        """Return the rules for the user that this process is now."""
        groups = frozenset({os.getegid(), *os.getgroups()})
        return cls(os.geteuid() == 0, allowed_uids, groups, web_gids)

    def owner(self, wanted: Stat) -> tuple[int, int]:
        """Return (uid, gid) for chown; -1 leaves one as it is."""
        if self.may_chown:
            return (wanted.uid, wanted.gid) if wanted.uid in self.uids else (0, 0)
        return -1, wanted.gid if wanted.gid in self.gids else -1

    def gift(self, wanted: Stat) -> tuple[int, int] | None:
        """Return (uid, gid) when the path was a web user's or a web group's, which this process cannot set itself."""
        if self.may_chown:
            return None
        uid = wanted.uid if wanted.uid in self.uids else os.geteuid()
        gid = wanted.gid if wanted.gid in self.gids | self.web_gids else os.getegid()
        return None if uid == os.geteuid() and gid in self.gids else (uid, gid)

    def may_have(self, name: bytes, value: bytes) -> bool:
        """Whether an extended attribute comes back: the user's own, and access lists without strangers."""
        if name.startswith(b"user."):
            return True
        return name in _ACL_NAMES and not self._names_stranger(value)

    def _names_stranger(self, acl: bytes) -> bool:
        if len(acl) < _ACL_HEADER.size or (len(acl) - _ACL_HEADER.size) % _ACL_ROW.size:
            return True
        for tag, _, number in _ACL_ROW.iter_unpack(acl[_ACL_HEADER.size :]):
            if tag == _ACL_USER and number not in self.uids:
                return True
            if tag == _ACL_GROUP and number not in self.gids | self.web_gids:
                return True
        return False


def restored_mode(mode: int) -> int:
    """Return the permission bits that come back: never set-uid, and set-gid or sticky only on folders."""
    return mode & (_FOLDER_MODE if stat.S_ISDIR(mode) else _FILE_MODE)

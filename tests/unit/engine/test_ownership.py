"""What a restore gives back of owners, modes and attributes."""

from __future__ import annotations

import stat
import struct

import pytest

from smartbackup_panel.engine.entries import Stat
from smartbackup_panel.engine.ownership import Ownership, restored_mode

TENANT = Ownership(may_chown=False, uids=frozenset({1001, 33}), gids=frozenset({1001, 50}), web_gids=frozenset({33}))
ROOT = Ownership(may_chown=True, uids=frozenset({0, 33}), gids=frozenset({0}), web_gids=frozenset({33}))


def facts(uid: int, gid: int) -> Stat:
    return Stat(stat.S_IFREG | 0o644, uid, gid, 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("rules", "uid", "gid", "expected"),
    [
        (TENANT, 1001, 1001, (-1, 1001)),
        (TENANT, 1001, 50, (-1, 50)),
        (TENANT, 0, 0, (-1, -1)),
        (TENANT, 33, 33, (-1, -1)),
        (ROOT, 0, 0, (0, 0)),
        (ROOT, 33, 33, (33, 33)),
        (ROOT, 1002, 1002, (0, 0)),
    ],
)
def test_owners(rules: Ownership, uid: int, gid: int, expected: tuple[int, int]) -> None:
    assert rules.owner(facts(uid, gid)) == expected


@pytest.mark.parametrize(
    ("uid", "gid", "expected"),
    [
        (1001, 1001, None),
        (1001, 33, (1001, 33)),
        (33, 33, (33, 33)),
        (33, 50, (33, 50)),
        (33, 0, (33, 1001)),
        (0, 0, None),
        (1002, 33, (1001, 33)),
    ],
)
def test_what_is_given_to_the_web_user(
    monkeypatch: pytest.MonkeyPatch, uid: int, gid: int, expected: tuple[int, int] | None
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1001)
    monkeypatch.setattr("os.getegid", lambda: 1001)
    assert TENANT.gift(facts(uid, gid)) == expected
    assert ROOT.gift(facts(uid, gid)) is None


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG | 0o7777, 0o777),
        (stat.S_IFREG | 0o4755, 0o755),
        (stat.S_IFREG | 0o400, 0o400),
        (stat.S_IFDIR | 0o7777, 0o3777),
        (stat.S_IFDIR | 0o2775, 0o2775),
    ],
)
def test_modes(mode: int, expected: int) -> None:
    assert restored_mode(mode) == expected


def acl(*rows: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"user.anything", b"x", True),
        (b"security.capability", b"x", False),
        (b"trusted.overlay", b"x", False),
        (b"system.posix_acl_access", acl((1, 7, 0xFFFFFFFF), (2, 7, 33)), True),
        (b"system.posix_acl_access", acl((1, 7, 0xFFFFFFFF), (2, 7, 1002)), False),
        (b"system.posix_acl_default", acl((8, 7, 50)), True),
        (b"system.posix_acl_default", acl((8, 7, 4)), False),
        (b"system.posix_acl_access", b"cut", False),
        (b"system.posix_acl_access", acl((1, 7, 0))[:-1], False),
        (b"system.other", b"", False),
    ],
)
def test_attributes(name: bytes, value: bytes, expected: bool) -> None:
    assert TENANT.may_have(name, value) is expected

"""Owners that are noted beside the files of an import."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

from smartbackup_panel.engine.entries import STAT, IndexEntry, pack_stat, unpack_stat
from smartbackup_panel.engine.owner_notes import OwnerNotes
from smartbackup_panel.engine.ownership import Ownership

ME = (os.geteuid(), os.getegid())
TENANT = Ownership(may_chown=False, uids=frozenset({ME[0], 33}), gids=frozenset({ME[1]}), web_gids=frozenset({33}))


def test_a_noted_file_is_packed_with_its_owner_and_all_else_as_it_is(tmp_path: Path) -> None:
    for name in ("upload", "own"):
        (tmp_path / name).write_bytes(b"content")
    upload, own = (tmp_path / "upload").stat(), (tmp_path / "own").stat()
    notes = OwnerNotes()
    assert notes.is_empty
    notes.note(upload.st_ino, (33, 34))
    notes.note(own.st_ino, None)
    assert not notes.is_empty
    assert notes.pack(own) == pack_stat(own)
    facts, plain = unpack_stat(notes.pack(upload)), unpack_stat(pack_stat(upload))
    assert (facts.uid, facts.gid) == (33, 34)
    assert (facts.mode, facts.size, facts.mtime_ns, facts.inode) == (plain.mode, 7, plain.mtime_ns, upload.st_ino)


def test_a_number_that_is_used_again_has_the_owner_of_the_new_file(tmp_path: Path) -> None:
    found = tmp_path.stat()
    notes = OwnerNotes()
    notes.note(found.st_ino, (33, 33))
    notes.note(found.st_ino, (1001, 33))
    assert unpack_stat(notes.pack(found)).uid == 1001
    notes.note(found.st_ino, None)
    assert notes.pack(found) == pack_stat(found)
    assert notes.is_empty


def test_of_a_point_only_what_the_rules_give_away_is_noted(tmp_path: Path) -> None:
    owners = {"web": (33, 33), "own": ME, "strange": (4_000, 4_000), "half": (33, 4_000), "left out": (33, 33)}
    for name in owners:
        (tmp_path / name).touch()
    stats = {name: (tmp_path / name).stat() for name in owners}
    entries = [
        IndexEntry(os.fsencode(name), _packed(stats[name], *owner), reason="excluded" if name == "left out" else "")
        for name, owner in owners.items()
    ]
    notes = OwnerNotes()
    notes.recall(entries, TENANT)
    found = {name: unpack_stat(notes.pack(about)) for name, about in stats.items()}
    assert {name: (facts.uid, facts.gid) for name, facts in found.items()} == {
        "web": (33, 33),
        "own": ME,
        "strange": ME,
        "half": (33, ME[1]),
        "left out": ME,
    }


def test_two_hundred_thousand_notes_take_less_than_two_megabytes() -> None:
    notes = OwnerNotes()
    tracemalloc.start()
    try:
        for inode in range(5_000_000_000, 5_000_200_000):
            notes.note(inode, (33, 33))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def _packed(found: os.stat_result, uid: int, gid: int) -> bytes:
    mode, _, _, *others = STAT.unpack(pack_stat(found))
    return STAT.pack(mode, uid, gid, *others)

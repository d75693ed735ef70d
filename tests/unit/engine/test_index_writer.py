"""The list of a point that builds on another: the same entries, whatever was taken over from the earlier list."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import cast

import msgspec
import pytest

from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.codecs import inflate
from smartbackup_panel.engine.entries import IndexEntry, sort_key
from smartbackup_panel.engine.index_writer import IndexWriter
from smartbackup_panel.engine.layout import BLOCK_BYTES, BlockRow


@dataclass
class Blocks:
    """The index blocks of one archive."""

    directory: list[BlockRow] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)

    def take(self, first_path: bytes, packed: bytes, plain_bytes: int, entry_count: int) -> None:
        self.directory.append(BlockRow(first_path, 0, len(packed), plain_bytes, entry_count, b""))
        self.packed.append(packed)

    def read_block_bytes(self, number: int) -> bytes:
        return self.packed[number]

    def entries(self) -> list[IndexEntry]:
        """Return what all blocks list; each is just what its row says."""
        found: list[IndexEntry] = []
        for row, packed in zip(self.directory, self.packed, strict=True):
            listed = msgspec.msgpack.decode(inflate(packed, row.plain_bytes), type=list[IndexEntry])
            assert (listed[0].path, len(listed)) == (row.first_path, row.entry_count)
            found += listed
        return found


def entry(path: bytes, content: int = 0) -> IndexEntry:
    return IndexEntry(path, content.to_bytes(56, "little"), sha256=random.Random(path).randbytes(32))


def list_of(entries: list[IndexEntry], earlier: Blocks | None = None) -> Blocks:
    """Write a list the way a point does: what equals the earlier list's entry at its path is carried."""
    before = {} if earlier is None else {known.path: known for known in earlier.entries()}
    blocks = Blocks()
    writer = IndexWriter(blocks.take, cast(ArchiveFile | None, earlier))
    for listed in entries:
        if before.get(listed.path) == listed:
            writer.carry(listed)
        else:
            writer.add(listed)
    writer.flush()
    assert blocks.entries() == entries
    return blocks


def numbered(count: int) -> list[IndexEntry]:
    return [entry(b"folder/file-%06d.php" % number) for number in range(count)]


def test_an_equal_list_is_taken_over_block_by_block() -> None:
    first = list_of(numbered(5_000))
    assert len(first.directory) > 10
    assert list_of(numbered(5_000), first).packed == first.packed


def test_blocks_without_a_change_are_taken_over() -> None:
    first = list_of(numbered(5_000))
    changed = numbered(5_000)
    changed[2_000] = entry(changed[2_000].path, 1)
    second = list_of(changed, first)
    assert len(set(first.packed) & set(second.packed)) == len(first.packed) - 1


def test_a_block_is_not_taken_for_another_of_as_many_entries() -> None:
    """The end of a block and the beginning of the next are gone, and what is left would be as many as the first one has."""
    first = list_of(numbered(2_000))
    size = first.directory[0].entry_count
    kept = numbered(2_000)
    second = list_of(kept[: size - 1] + kept[size + 1 :], first)
    assert first.packed[0] not in second.packed


@pytest.mark.parametrize("seed", range(40))
def test_long_chains_of_changes_list_just_what_there_is(seed: int) -> None:
    chance = random.Random(seed)
    entries = numbered(chance.randrange(1, 3_000))
    blocks = list_of(entries)
    for _ in range(12):
        at, length = chance.randrange(len(entries) + 1), chance.choice([0, 1, 3, 200, 700])
        match chance.choice(["change", "remove", "add", "scatter"]):
            case "change":
                entries[at : at + length] = [
                    entry(old.path, chance.getrandbits(64)) for old in entries[at : at + length]
                ]
            case "remove":
                del entries[at : at + length]
            case "add":
                entries += [entry(b"folder/new-%x.php" % chance.getrandbits(64)) for _ in range(length)]
            case "scatter":
                for place in chance.sample(range(len(entries)), len(entries) // 50):
                    entries[place] = entry(entries[place].path, chance.getrandbits(64))
        entries.sort(key=lambda listed: sort_key(listed.path))
        blocks = list_of(entries, blocks)
    plain_bytes = sum(row.plain_bytes for row in blocks.directory)
    assert len(blocks.directory) <= 2 + 3 * plain_bytes // BLOCK_BYTES

"""Packs index entries into blocks; blocks of the earlier point's list that come back whole are taken over as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.codecs import squeeze
from smartbackup_panel.engine.entries import IndexEntry, sort_key
from smartbackup_panel.engine.layout import BLOCK_BYTES

EmitBlock = Callable[[bytes, bytes, int, int], None]


@dataclass(slots=True)
class _Run:
    """Entries that are the first ones of an earlier block so far."""

    number: int
    missing: int
    entries: list[IndexEntry] = field(default_factory=list)


class IndexWriter:
    """Collects entries in path order; `emit` gets (first path, packed block, plain size, entries).

    `earlier` is the archive that lists the point before, from which entries are carried.
    """

    def __init__(self, emit: EmitBlock, earlier: ArchiveFile | None = None) -> None:
        self._emit = emit
        self._encoder = msgspec.msgpack.Encoder()
        self._earlier = earlier
        directory = [] if earlier is None else earlier.directory
        self._numbers = {row.first_path: number for number, row in enumerate(directory)}
        self._run: _Run | None = None
        self._rows: list[bytes] = []
        self._size = 0
        self._first_path = b""

    def add(self, entry: IndexEntry) -> None:
        """Append the next entry."""
        if self._run is not None:
            self._give_up()
        self._append(entry)

    def carry(self, entry: IndexEntry) -> None:
        """Append the next entry, which equals the earlier list's at its path."""
        number = self._numbers.get(entry.path)
        if number is not None:
            self._begin(number)
        run = self._run
        if run is None:
            self._append(entry)
            return
        run.entries.append(entry)
        run.missing -= 1
        if not run.missing:
            self._end(run)

    def _begin(self, number: int) -> None:
        """Expect a whole block; not while less than half of one waits, so that blocks do not become many small ones."""
        assert self._earlier is not None
        if self._run is not None:
            self._give_up()
        if self._size == 0 or self._size >= BLOCK_BYTES // 2:
            self._run = _Run(number, self._earlier.directory[number].entry_count)

    def _end(self, run: _Run) -> None:
        """Take a block over, if the entries are just its own: as many, from its first path on and below the next one's."""
        assert self._earlier is not None
        directory = self._earlier.directory
        row, later = directory[run.number], directory[run.number + 1 : run.number + 2]
        if later and sort_key(run.entries[-1].path) >= sort_key(later[0].first_path):
            self._give_up()
            return
        self._run = None
        self.flush()
        self._emit(row.first_path, self._earlier.read_block_bytes(run.number), row.plain_bytes, row.entry_count)

    def _give_up(self) -> None:
        """Encode the entries of a block that does not come back whole."""
        run, self._run = self._run, None
        for entry in run.entries if run is not None else ():
            self._append(entry)

    def _append(self, entry: IndexEntry) -> None:
        if not self._rows:
            self._first_path = entry.path
        row = self._encoder.encode(entry)
        self._rows.append(row)
        self._size += len(row)
        if self._size >= BLOCK_BYTES:
            self._hand_on()

    def flush(self) -> None:
        """Hand on all that waits."""
        self._give_up()
        self._hand_on()

    def _hand_on(self) -> None:
        if not self._rows:
            return
        plain = msgpack_list_head(len(self._rows)) + b"".join(self._rows)
        self._emit(self._first_path, squeeze(plain), len(plain), len(self._rows))
        self._rows, self._size = [], 0


def msgpack_list_head(count: int) -> bytes:
    """Return how msgpack begins a list of `count` values."""
    if count < 16:
        return bytes([0x90 | count])
    return struct.pack(">BH", 0xDC, count) if count < 65_536 else struct.pack(">BI", 0xDD, count)

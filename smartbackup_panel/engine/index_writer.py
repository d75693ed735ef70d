"""Packs index entries into blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from smartbackup_panel.engine.codecs import squeeze
from smartbackup_panel.engine.entries import IndexEntry
from smartbackup_panel.engine.layout import BLOCK_BYTES

EmitBlock = Callable[[bytes, bytes, int, int], None]


class IndexWriter:
    """Collects entries in path order; `emit` gets (first path, packed block, plain size, entries)."""

    def __init__(self, emit: EmitBlock) -> None:
        self._emit = emit
        self._encoder = msgspec.msgpack.Encoder()
        self._rows: list[bytes] = []
        self._size = 0
        self._first_path = b""

    def add(self, entry: IndexEntry) -> None:
        """Append the next entry."""
        if not self._rows:
            self._first_path = entry.path
        row = self._encoder.encode(entry)
        self._rows.append(row)
        self._size += len(row)
        if self._size >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on the block under way."""
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

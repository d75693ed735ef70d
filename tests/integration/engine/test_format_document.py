"""A second reader, written from docs/archive-format.md alone with the standard library, reads what the product wrote."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import msgspec

from smartbackup_panel.core.tree import PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.trees import make_rich_tree, write

HEAD, TAIL, PIECE = 16, 10, 16_000


class SecondReader:
    """Reads gzip archives; nothing of the product's engine is used."""

    def __init__(self, file: Path) -> None:
        self.raw = file.read_bytes()
        self.folder = file.parent
        footer = self.raw[-(TAIL + 512) : -TAIL]
        assert footer[:8] == b"SBKPIDX\n"
        assert hashlib.sha256(footer[:444]).digest() == footer[444:476]
        self.root_digest = footer[444:476]
        self.area_start, _, self.frame_count, self.frames_at = struct.unpack_from("<4Q", footer, 16)
        directory_at, packed, _ = struct.unpack_from("<3Q", footer, 64)
        archives_at, archives_bytes = struct.unpack_from("<2Q", footer, 88)
        self.directory = msgspec.msgpack.decode(zlib.decompress(self.area(directory_at, packed), -15))
        self.archives = msgspec.msgpack.decode(self.area(archives_at, archives_bytes))

    def area(self, logical: int, length: int) -> bytes:
        """Return bytes of the index area."""
        found = b""
        while len(found) < length:
            piece, offset = divmod(logical + len(found), PIECE)
            physical = self.area_start + piece * (PIECE + HEAD + TAIL) + HEAD + offset
            found += self.raw[physical : physical + min(PIECE - offset, length - len(found))]
        return found

    def frame(self, number: int) -> bytes:
        """Return the plain bytes of a frame."""
        record = self.area(self.frames_at + 48 * number, 48)
        offset, packed, plain, digest = struct.unpack("<QII32s", record)
        raw = self.raw[offset : offset + packed]
        assert hashlib.sha256(raw).digest() == digest
        content = zlib.decompress(raw, 31)
        assert len(content) == plain
        return content

    def entries(self) -> list[list[object]]:
        """Return all entries."""
        return [
            entry
            for _, offset, packed, _, _, _ in self.directory
            for entry in msgspec.msgpack.decode(zlib.decompress(self.area(offset, packed), -15))
        ]

    def content(self, entry: list[object]) -> bytes:
        """Return a file's content, without its holes."""
        archive, frame, offset = (int(str(value)) for value in entry[3:6])
        name, digest, _ = self.archives[archive]
        reader = self if archive == len(self.archives) - 1 else SecondReader(self.folder / name)
        assert reader is self or reader.root_digest == digest
        facts, segments = entry[1], entry[12]
        assert isinstance(facts, bytes)
        size = struct.unpack_from("<q", facts, 16)[0]
        if isinstance(segments, list):
            size = sum(length for _, length in segments)
        found = b""
        while len(found) < size:
            found += reader.frame(frame)[offset : offset + size - len(found)]
            frame, offset = frame + 1, 0
        assert hashlib.sha256(found).digest() == entry[2]
        return found


def test_a_reader_made_from_the_document_reads_every_file(store: Store, site: Path) -> None:
    make_rich_tree(site, deep=False)
    store.back_up()
    write(site / "index.php", b"changed")
    (site / "photo.jpg").unlink()
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    reader = SecondReader(store.path())
    checked = 0
    for entry in reader.entries():
        path = entry[0]
        assert isinstance(path, bytes)
        if entry[2] and entry[12] is None:
            with open(os.fsencode(site) + b"/" + path, "rb") as file:
                assert reader.content(entry) == file.read()
            checked += 1
        elif entry[12] is not None:
            reader.content(entry)
    assert checked > 260
    assert not [entry for entry in reader.entries() if entry[0] == b"photo.jpg"]

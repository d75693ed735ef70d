"""Database dumps in the frames of archives: `zcat` gives the plain SQL, and one table comes out by itself."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from smartbackup_panel.core.databases import DumpPiece
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused, UnknownPath
from smartbackup_panel.core.tree import DumpSection, DumpSummary, VerifySummary
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_sink import ArchiveSink, Totals
from smartbackup_panel.engine.codecs import inflate, squeeze
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.layout import LARGE_FRAME_BYTES, ContentKind

_BLOCK_NAME = b"sections"
_MAX_SECTIONS = 1_000_000


class _SectionRow(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    name: str
    frame: int
    frame_count: int
    size_bytes: int
    sha256: bytes


class _DumpWriter:
    """Cuts pieces into sections and sections into frames."""

    def __init__(self, sink: ArchiveSink, level: int) -> None:
        self._packer = FramePacker(sink.codec, level, 0, sink.add_frame)
        self._plain = hashlib.sha256()
        self._rows: list[_SectionRow] = []
        self._name = ""
        self._first_frame = 0
        self._size_bytes = 0
        self._digest = hashlib.sha256()
        self.plain_bytes = 0

    def write(self, pieces: Iterable[DumpPiece]) -> list[_SectionRow]:
        """Write everything; return the sections."""
        try:
            for piece in pieces:
                if (piece.section or "") != self._name:
                    self._end_section()
                    self._name = piece.section or ""
                self._add(piece.chunk)
            self._end_section()
            self._packer.drain()
        finally:
            self._packer.close()
        return self._rows

    def _add(self, chunk: bytes) -> None:
        self._plain.update(chunk)
        self._digest.update(chunk)
        self._size_bytes += len(chunk)
        for start in range(0, len(chunk), LARGE_FRAME_BYTES):
            self._packer.add_plain(chunk[start : start + LARGE_FRAME_BYTES])

    def _end_section(self) -> None:
        self._packer.end_frame()
        last_frame = self._packer.place[0]
        if self._size_bytes or self._name:
            count = last_frame - self._first_frame
            self._rows.append(
                _SectionRow(self._name, self._first_frame, count, self._size_bytes, self._digest.digest())
            )
        self.plain_bytes += self._size_bytes
        self._first_frame, self._size_bytes, self._digest = last_frame, 0, hashlib.sha256()

    @property
    def plain_sha256(self) -> bytes:
        """The checksum of the whole text."""
        return self._plain.digest()


def write_dump(
    pieces: Iterable[DumpPiece], sink: ArchiveSink, *, level: int = 6, created_at: datetime | None = None
) -> DumpSummary:
    """Write a dump into `sink` and finish it (flushed, not published). What `pieces` raises comes through.

    Raises ArchiveRefused for a dump without a single byte.
    """
    started = time.monotonic()
    writer = _DumpWriter(sink, level)
    rows = writer.write(pieces)
    if writer.plain_bytes == 0:
        raise ArchiveRefused(f"the dump {sink.name} is empty")
    block = msgspec.msgpack.encode(rows)
    sink.add_block(_BLOCK_NAME, squeeze(block), len(block), len(rows))
    now_ns = int((created_at or datetime.now(UTC)).timestamp() * 1_000_000) * 1_000
    finished = sink.finish(
        Totals(
            kind=ContentKind.DUMP,
            point_id=os.urandom(16),
            created_at_ns=now_ns,
            scan_started_at_ns=now_ns,
            entry_count=len(rows),
            file_count=0,
            original_bytes=writer.plain_bytes,
            stored_bytes=writer.plain_bytes,
            skipped_count=0,
        ),
        [],
    )
    return DumpSummary(
        dump_bytes=finished.size_bytes,
        plain_bytes=writer.plain_bytes,
        plain_sha256=writer.plain_sha256,
        dump_sha256=finished.sha256,
        sections=tuple(_to_section(row) for row in rows),
        seconds=time.monotonic() - started,
    )


def _to_section(row: _SectionRow) -> DumpSection:
    return DumpSection(row.name, row.frame, row.frame_count, row.size_bytes, row.sha256)


def read_sections(file: ArchiveFile) -> list[DumpSection]:
    """Return the sections of a dump, in their order. Raises ArchiveDamaged, ArchiveRefused."""
    footer = file.footer
    if footer.kind is not ContentKind.DUMP or len(file.directory) != 1:
        raise ArchiveRefused(f"{file.name} is not a dump")
    row = file.directory[0]
    try:
        plain = inflate(file.read_block_bytes(0), row.plain_bytes)
        sections = msgspec.msgpack.decode(plain, type=list[_SectionRow])
    except msgspec.MsgspecError as error:
        raise ArchiveRefused(f"the sections of {file.name} are not in their format: {error}") from error
    expected = 0
    for section in sections:
        if section.frame != expected or section.frame_count < 0 or len(section.sha256) != 32:
            raise ArchiveRefused(f"the sections of {file.name} do not follow one another")
        expected += section.frame_count
    if expected != footer.frame_count or not 0 < len(sections) <= _MAX_SECTIONS:
        raise ArchiveRefused(f"the sections of {file.name} do not cover it")
    return [_to_section(section) for section in sections]


def read_dump(fd: int, name: str, key: bytes | None, sections: list[str] | None = None) -> Iterator[bytes]:
    """Yield the plain SQL of a dump (whose open file is taken over), whole or some sections in the dump's order.

    Every frame is checked before it is yielded, every section at its end. Raises ArchiveDamaged, ArchiveRefused, and
    UnknownPath for a section that the dump does not have.
    """
    with closing(ArchiveFile(fd, name, key)) as file:
        found = read_sections(file)
        missing = set(sections or ()) - {section.name for section in found}
        if missing:
            raise UnknownPath(f"the dump {name} has no section {min(missing)!r}")
        for section in found:
            if sections is None or section.name in sections:
                yield from _read_section(file, section)


def _read_section(file: ArchiveFile, section: DumpSection) -> Iterator[bytes]:
    digest, size_bytes = hashlib.sha256(), 0
    for number in range(section.frame, section.frame + section.frame_count):
        plain = file.read_frame(number)
        digest.update(plain)
        size_bytes += len(plain)
        yield plain
    if digest.digest() != section.sha256 or size_bytes != section.size_bytes:
        raise ArchiveDamaged(f"section {section.name!r} of {file.name} is not what was dumped")


def verify_dump(fd: int, name: str, key: bytes | None) -> VerifySummary:
    """Read back every byte of a dump, whose open file is taken over. Raises ArchiveDamaged, ArchiveRefused."""
    started = time.monotonic()
    with closing(ArchiveFile(fd, name, key)) as file:
        file.check_tables()
        size_bytes = sum(len(piece) for section in read_sections(file) for piece in _read_section(file, section))
        if size_bytes != file.footer.original_bytes:
            raise ArchiveDamaged(f"{name} has another size than its footer says")
        return VerifySummary(1, file.footer.frame_count, 0, file.size_bytes, time.monotonic() - started)

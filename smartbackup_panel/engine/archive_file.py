"""Reading one archive: footer, tables, frames and index blocks, each checked before it is used.

Nothing is read outside the file, nothing inflates past its recorded size, and there is no second, laxer parser.
"""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused
from smartbackup_panel.core.tree import Codec, PointFacts
from smartbackup_panel.engine.codecs import FrameCodec, get_codec, inflate
from smartbackup_panel.engine.entries import IndexEntry, sort_key
from smartbackup_panel.engine.layout import (
    FOOTER_BYTES,
    FRAME,
    MAX_ARCHIVES,
    MAX_BLOCK_BYTES,
    MAX_FRAME_BYTES,
    NAME,
    PIECE_BYTES,
    POINT_OF_KIND,
    ArchiveRow,
    BlockRow,
    Footer,
    FrameRecord,
    refuse_bad_areas,
    unpack_footer,
)

Row = TypeVar("Row")
_PAGE_RECORDS = 256
_SLACK_BYTES = 4096


class ArchiveFile:
    """An open archive. Its methods raise ArchiveDamaged for changed bytes and ArchiveRefused for forbidden values."""

    def __init__(self, fd: int, name: str, key: bytes | None = None) -> None:
        """Take over `fd` and check the footer, with a `key` its signature too."""
        self.fd = fd
        self.name = name
        with on_failure(self.close):
            self.size_bytes = _regular_size(fd, name)
            self.codec, self.footer = self._read_footer(key)
        self._page: tuple[int, bytes] = (-1, b"")
        self._directory: list[BlockRow] | None = None

    @classmethod
    def open(cls, folder_fd: int, name: str, key: bytes | None) -> ArchiveFile:
        """Open `name` in a folder of the store. Raises ArchiveMissing."""
        if not NAME.fullmatch(name):
            raise ArchiveRefused(f"{name!r} is not the name of an archive")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=folder_fd)
        except FileNotFoundError as error:
            raise ArchiveMissing(f"the archive {name} is not in the store") from error
        return cls(fd, name, key)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def facts(self) -> PointFacts:
        """What the footer says of the point. Raises ArchiveRefused for a dump."""
        footer = self.footer
        if footer.kind not in POINT_OF_KIND:
            raise ArchiveRefused(f"{self.name} is not a restore point")
        return PointFacts(
            kind=POINT_OF_KIND[footer.kind],
            codec=footer.codec,
            point_id=footer.point_id,
            created_at=datetime.fromtimestamp(footer.created_at_ns / 1e9, UTC),
            scan_started_at_ns=footer.scan_started_at_ns,
            root_digest=footer.root_digest,
            parent_digest=footer.parent_digest if any(footer.parent_digest) else None,
            entry_count=footer.entry_count,
            file_count=footer.file_count,
            original_bytes=footer.original_bytes,
            stored_bytes=footer.stored_bytes,
            archive_bytes=self.size_bytes,
        )

    def _read_footer(self, key: bytes | None) -> tuple[FrameCodec, Footer]:
        head = self._read(0, min(4, self.size_bytes))
        codec_name = Codec.GZIP if head.startswith(b"\x1f\x8b") else Codec.ZSTD
        codec = get_codec(codec_name)
        length = codec.piece_head_bytes + FOOTER_BYTES + codec.piece_tail_bytes
        if self.size_bytes < length:
            raise ArchiveDamaged(f"{self.name} is too short to be an archive")
        raw = self._read(self.size_bytes - length, length)
        payload = raw[codec.piece_head_bytes : codec.piece_head_bytes + FOOTER_BYTES]
        footer = unpack_footer(payload, key)
        if codec.piece(payload) != raw or footer.codec != codec_name:
            raise ArchiveDamaged(f"the footer of {self.name} is wrapped wrongly")
        refuse_bad_areas(footer)
        pieces = -(-footer.area_bytes // PIECE_BYTES)
        overhead = pieces * (codec.piece_head_bytes + codec.piece_tail_bytes)
        if footer.area_start + footer.area_bytes + overhead + length != self.size_bytes:
            raise ArchiveDamaged(f"{self.name} has not the size that its footer says")
        return codec, footer

    def _read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes of the file."""
        parts, missing = [], length
        while missing:
            try:
                part = os.pread(self.fd, missing, offset)
            except OSError as error:
                raise ArchiveDamaged(f"{self.name} cannot be read: {error.strerror}") from error
            if not part:
                raise ArchiveDamaged(f"{self.name} is cut off")
            parts.append(part)
            offset += len(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_area(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at a logical offset of the index area."""
        if not 0 <= offset <= offset + length <= self.footer.area_bytes:
            raise ArchiveRefused(f"{self.name}: a place outside of the index area")
        if length == 0:
            return b""
        first, last = offset // PIECE_BYTES, (offset + length - 1) // PIECE_BYTES
        whole = PIECE_BYTES + self.codec.piece_head_bytes + self.codec.piece_tail_bytes
        start = self.footer.area_start + first * whole
        last_payload = min(PIECE_BYTES, self.footer.area_bytes - last * PIECE_BYTES)
        raw = self._read(start, (last - first) * whole + whole - PIECE_BYTES + last_payload)
        payloads = [self._unwrap(raw[at : at + whole]) for at in range(0, len(raw), whole)]
        begin = offset - first * PIECE_BYTES
        return b"".join(payloads)[begin : begin + length]

    def _unwrap(self, piece: bytes) -> bytes:
        payload = piece[self.codec.piece_head_bytes : len(piece) - self.codec.piece_tail_bytes]
        if self.codec.piece(payload) != piece:
            raise ArchiveDamaged(f"the index of {self.name} has changed")
        return payload

    def frame_record(self, number: int) -> FrameRecord:
        """Return where frame `number` lies."""
        if not 0 <= number < self.footer.frame_count:
            raise ArchiveRefused(f"{self.name} has no frame {number}")
        page, place = divmod(number, _PAGE_RECORDS)
        if self._page[0] != page:
            records = min(_PAGE_RECORDS, self.footer.frame_count - page * _PAGE_RECORDS)
            offset = self.footer.frames_offset + page * _PAGE_RECORDS * FRAME.size
            self._page = (page, self.read_area(offset, records * FRAME.size))
        record = FrameRecord._make(FRAME.unpack_from(self._page[1], place * FRAME.size))
        if (
            not 0 < record.plain_bytes <= MAX_FRAME_BYTES
            or record.packed_bytes > record.plain_bytes + record.plain_bytes // 64 + _SLACK_BYTES
            or record.offset + record.packed_bytes > self.footer.area_start
        ):
            raise ArchiveRefused(f"{self.name}: frame {number} has an impossible place or size")
        return record

    def read_packed(self, record: FrameRecord) -> bytes:
        """Return the packed bytes of a frame after their checksum matched."""
        packed = self._read(record.offset, record.packed_bytes)
        if hashlib.sha256(packed).digest() != record.sha256:
            raise ArchiveDamaged(f"{self.name} has changed between bytes {record.offset} and +{record.packed_bytes}")
        return packed

    def read_frame(self, number: int) -> bytes:
        """Return the plain bytes of a frame after its checksum matched."""
        return self.unpack(self.frame_record(number))

    def unpack(self, record: FrameRecord) -> bytes:
        """Return the plain bytes of a frame after its checksum matched; several threads may."""
        return self.codec.unpack(self.read_packed(record), record.plain_bytes)

    def check_tables(self) -> None:
        """Read the whole frame table: its checksum, and that frames follow one another without gaps."""
        digest, expected = hashlib.sha256(), 0
        for number in range(self.footer.frame_count):
            record = self.frame_record(number)
            if number % _PAGE_RECORDS == 0:
                digest.update(self._page[1])
            if record.offset != expected:
                raise ArchiveDamaged(f"{self.name}: frame {number} does not follow the one before")
            expected += record.packed_bytes
        if digest.digest() != self.footer.frames_sha256 or expected != self.footer.area_start:
            raise ArchiveDamaged(f"the frame table of {self.name} has changed")
        self.read_archives()
        for block in range(len(self.directory)):
            self.read_block_bytes(block)

    def read_archives(self) -> list[ArchiveRow]:
        """Return the archive table, this archive last."""
        raw = self.read_area(self.footer.archives_offset, self.footer.archives_bytes)
        if hashlib.sha256(raw).digest() != self.footer.archives_sha256:
            raise ArchiveDamaged(f"the archive table of {self.name} has changed")
        rows = self._decode(raw, list[ArchiveRow])
        if not 0 < len(rows) <= MAX_ARCHIVES:
            raise ArchiveRefused(f"{self.name} needs {len(rows)} archives")
        if any(not NAME.fullmatch(row.name) or len(row.root_digest) != 32 for row in rows):
            raise ArchiveRefused(f"{self.name} names an impossible archive")
        if rows[-1].frame_count != self.footer.frame_count:
            raise ArchiveRefused(f"{self.name} contradicts itself about its frames")
        return rows

    @property
    def directory(self) -> list[BlockRow]:
        """The block directory, in path order."""
        if self._directory is None:
            self._directory = self._read_directory()
        return self._directory

    def _read_directory(self) -> list[BlockRow]:
        footer = self.footer
        raw = self.read_area(footer.directory_offset, footer.directory_bytes)
        if hashlib.sha256(raw).digest() != footer.directory_sha256:
            raise ArchiveDamaged(f"the index of {self.name} has changed")
        rows = self._decode(inflate(raw, footer.directory_plain_bytes), list[BlockRow])
        expected, last_key = footer.blocks_offset, None
        for row in rows:
            key = sort_key(row.first_path)
            if row.offset != expected or row.packed_bytes <= 0 or (last_key is not None and key <= last_key):
                raise ArchiveRefused(f"the index blocks of {self.name} are out of order")
            if not 0 < row.plain_bytes <= MAX_BLOCK_BYTES or not 0 < row.entry_count <= row.plain_bytes:
                raise ArchiveRefused(f"an index block of {self.name} passes its limits")
            expected, last_key = expected + row.packed_bytes, key
        if expected != footer.blocks_offset + footer.blocks_bytes:
            raise ArchiveRefused(f"the index blocks of {self.name} leave a gap")
        return rows

    def read_block_bytes(self, number: int) -> bytes:
        """Return the packed bytes of an index block after their checksum matched."""
        row = self.directory[number]
        packed = self.read_area(row.offset, row.packed_bytes)
        if hashlib.sha256(packed).digest() != row.sha256:
            raise ArchiveDamaged(f"index block {number} of {self.name} has changed")
        return packed

    def read_block(self, number: int) -> list[IndexEntry]:
        """Return the entries of an index block."""
        row = self.directory[number]
        entries = self._decode(inflate(self.read_block_bytes(number), row.plain_bytes), list[IndexEntry])
        if len(entries) != row.entry_count or entries[0].path != row.first_path:
            raise ArchiveRefused(f"index block {number} of {self.name} is not what its directory says")
        return entries

    def _decode(self, raw: bytes, kind: type[list[Row]]) -> list[Row]:
        try:
            return msgspec.msgpack.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise ArchiveRefused(f"the index of {self.name} is not in its format: {error}") from error


def _regular_size(fd: int, name: str) -> int:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise ArchiveRefused(f"{name} is not a regular file")
    return found.st_size

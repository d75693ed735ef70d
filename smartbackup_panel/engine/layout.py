"""The fixed parts of an archive: frame records, the tables' rows and the footer. See docs/archive-format.md."""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

import msgspec

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused
from smartbackup_panel.core.tree import Codec, PointKind

MAGIC = b"SBKPIDX\n"
VERSION = 1
FOOTER_BYTES = 512
PIECE_BYTES = 16_000
"""Most index bytes in one invisible member: busybox's gunzip fails on extra fields that pass its 16 KiB buffer."""

PACK_BYTES = 512 * 1024
"""Small files are packed until a frame has about this many plain bytes."""

LARGE_FRAME_BYTES = 1024 * 1024
MAX_FRAME_BYTES = 4 * 1024 * 1024
BLOCK_BYTES = 32 * 1024
MAX_BLOCK_BYTES = 48 * 1024 * 1024
"""A block holds at least one entry, and one entry may carry its attributes and a long path."""

MAX_DIRECTORY_BYTES = 32 * 1024 * 1024
MAX_TABLE_BYTES = 64 * 1024
MAX_ARCHIVES = 200
MAX_FRAMES = 1 << 24

FRAME = struct.Struct("<QII32s")
"""Physical offset, packed size, plain size, sha256 of the packed bytes."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class ContentKind(IntEnum):
    """What the frames hold together."""

    FULL = 1
    INCREMENTAL = 2
    DIFFERENTIAL = 3
    DUMP = 4


KIND_OF_POINT = {
    PointKind.FULL: ContentKind.FULL,
    PointKind.INCREMENTAL: ContentKind.INCREMENTAL,
    PointKind.DIFFERENTIAL: ContentKind.DIFFERENTIAL,
}
POINT_OF_KIND = {kind: point for point, kind in KIND_OF_POINT.items()}
_KINDS = frozenset(int(kind) for kind in ContentKind)
CODEC_NUMBERS = {Codec.GZIP: 1, Codec.ZSTD: 2}
CODEC_OF_NUMBER = {number: codec for codec, number in CODEC_NUMBERS.items()}


class FrameRecord(NamedTuple):
    """Where a frame lies, and the checksum of its packed bytes."""

    offset: int
    packed_bytes: int
    plain_bytes: int
    sha256: bytes


class BlockRow(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A row of the block directory; `offset` is logical (inside the index area)."""

    first_path: bytes
    offset: int
    packed_bytes: int
    plain_bytes: int
    entry_count: int
    sha256: bytes


class ArchiveRow(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A row of the archive table. The own archive is last; its digest is not known yet and all zero."""

    name: str
    root_digest: bytes
    frame_count: int


_FOOTER = struct.Struct("<8sHBB4x 4Q 2Q 3Q 2Q 5Q 2q 16s 32s 32s 32s 32s")
_SEALED = struct.Struct("<32s32sI")
_PADDING = FOOTER_BYTES - _FOOTER.size - _SEALED.size


class Footer(NamedTuple):
    """The last 512 bytes of the index area, in their order. Offsets but `area_start` are logical."""

    codec: Codec
    kind: ContentKind
    area_start: int
    area_bytes: int
    frame_count: int
    frames_offset: int
    blocks_offset: int
    blocks_bytes: int
    directory_offset: int
    directory_bytes: int
    directory_plain_bytes: int
    archives_offset: int
    archives_bytes: int
    entry_count: int
    file_count: int
    original_bytes: int
    stored_bytes: int
    skipped_count: int
    created_at_ns: int
    scan_started_at_ns: int
    point_id: bytes
    parent_digest: bytes
    frames_sha256: bytes
    directory_sha256: bytes
    archives_sha256: bytes

    @property
    def root_digest(self) -> bytes:
        """sha256 over all fields, and through their checksums over the whole archive."""
        return hashlib.sha256(self._packed_fields()).digest()

    @property
    def has_list(self) -> bool:
        """Whether the archive lists its point's paths itself; else they are its parent's, to the last bit."""
        return self.blocks_bytes > 0

    def _packed_fields(self) -> bytes:
        numbers = (MAGIC, VERSION, CODEC_NUMBERS[self.codec], int(self.kind), *self[2:])
        return _FOOTER.pack(*numbers) + bytes(_PADDING)

    def pack(self, key: bytes) -> bytes:
        """Return the 512 bytes: fields, root digest, HMAC-SHA256 under `key`, CRC-32."""
        signed = self._packed_fields() + self.root_digest
        sealed = signed + hmac.digest(key, signed, "sha256")
        return sealed + struct.pack("<I", zlib.crc32(sealed))


def unpack_footer(raw: bytes, key: bytes | None) -> Footer:
    """Return the footer in `raw`; with a `key` its signature is checked too.

    Raises ArchiveDamaged where bytes changed or are missing, ArchiveRefused where the signature is not ours.
    """
    if len(raw) != FOOTER_BYTES or not raw.startswith(MAGIC):
        raise ArchiveDamaged("the archive does not end with its index (cut off, or not an archive of Smart Backup)")
    sealed, (crc,) = raw[:-4], struct.unpack("<I", raw[-4:])
    if zlib.crc32(sealed) != crc:
        raise ArchiveDamaged("the archive's footer has changed")
    signed, signature = sealed[:-32], sealed[-32:]
    if key is not None and not hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature):
        raise ArchiveRefused("the archive's signature is not of this server")
    footer = _parse_footer(signed)
    if footer.root_digest != signed[-32:]:
        raise ArchiveDamaged("the archive's root digest does not match")
    return footer


def _parse_footer(signed: bytes) -> Footer:
    _, version, codec, kind, *fields = _FOOTER.unpack_from(signed)
    if version != VERSION:
        raise ArchiveRefused(f"the archive's format has version {version}; this program reads {VERSION}")
    if any(signed[_FOOTER.size : _FOOTER.size + _PADDING]) or codec not in CODEC_OF_NUMBER or kind not in _KINDS:
        raise ArchiveRefused("the archive's footer holds unknown values")
    return Footer(CODEC_OF_NUMBER[codec], ContentKind(kind), *fields)


def refuse_bad_areas(footer: Footer) -> None:
    """Raise ArchiveRefused unless the areas follow one another without gaps and stay within their limits."""
    frames_bytes = footer.frame_count * FRAME.size
    expected = 0
    for offset, length in (
        (footer.frames_offset, frames_bytes),
        (footer.blocks_offset, footer.blocks_bytes),
        (footer.directory_offset, footer.directory_bytes),
        (footer.archives_offset, footer.archives_bytes),
    ):
        if offset != expected:
            raise ArchiveRefused("the archive's index areas do not follow one another")
        expected += length
    if (
        expected != footer.area_bytes
        or not 0 < footer.frame_count <= MAX_FRAMES
        or max(footer.directory_bytes, footer.directory_plain_bytes) > MAX_DIRECTORY_BYTES
        or footer.archives_bytes > MAX_TABLE_BYTES
    ):
        raise ArchiveRefused("the archive's index areas pass their limits")
    if not footer.has_list and (
        footer.kind not in (ContentKind.INCREMENTAL, ContentKind.DIFFERENTIAL)
        or footer.frame_count != 1
        or footer.stored_bytes
        or not any(footer.parent_digest)
    ):
        raise ArchiveRefused("the archive has no list of paths, and none to share")

"""A second reader, written from docs/archive-format.md alone: nothing of the product is used in here.

It restores a whole point into a folder, and checks every digest that the document names.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import msgspec

PIECE = 16_000
FOOTER_BYTES = 512
STAT = struct.Struct("<IIIIqqqQQ")
FULL, DUMP = 1, 4


class SecondReader:
    """An archive of either codec. Every failed check is an AssertionError."""

    def __init__(self, file: Path, key: bytes | None = None) -> None:
        self.raw = file.read_bytes()
        self.folder = file.parent
        self.name = file.name
        self.is_gzip = self.raw.startswith(b"\x1f\x8b")
        self.head, self.tail = (16, 10) if self.is_gzip else (8, 0)
        footer = self._payload(self.raw[-(self.head + FOOTER_BYTES + self.tail) :])
        self._check_footer(footer, key)
        self._check_area()

    def _payload(self, piece: bytes) -> bytes:
        """Return what a piece carries after the bytes around it were checked."""
        payload = piece[self.head : len(piece) - self.tail]
        if self.is_gzip:
            front = bytes.fromhex("1f8b0804 00000000 00ff") + struct.pack("<H", len(payload) + 4) + b"SB"
            assert piece == front + struct.pack("<H", len(payload)) + payload + b"\x03\x00" + bytes(8)
        else:
            assert piece == bytes.fromhex("5b2a4d18") + struct.pack("<I", len(payload)) + payload
        return payload

    def _check_footer(self, footer: bytes, key: bytes | None) -> None:
        assert footer[:8] == b"SBKPIDX\n"
        version, codec, self.kind = struct.unpack_from("<HBB", footer, 8)
        assert (version, codec) == (1, 1 if self.is_gzip else 2)
        assert footer[12:16] == bytes(4) and footer[304:444] == bytes(140)
        self.root_digest = footer[444:476]
        assert hashlib.sha256(footer[:444]).digest() == self.root_digest
        if key is not None:
            assert hmac.digest(key, footer[:476], "sha256") == footer[476:508]
        assert zlib.crc32(footer[:508]) == struct.unpack_from("<I", footer, 508)[0]
        numbers = struct.unpack_from("<16Q2q", footer, 16)
        self.area_start, self.area_bytes, self.frame_count, self.frames_at = numbers[:4]
        self.blocks_at, self.blocks_bytes, self.directory_at, self.directory_bytes, self.directory_plain = numbers[4:9]
        self.archives_at, self.archives_bytes, self.entry_count, self.file_count = numbers[9:13]
        self.original_bytes, self.stored_bytes, self.skipped_count = numbers[13:16]
        self.point_id, self.parent_digest = footer[160:176], footer[176:208]
        self.digests = [footer[at : at + 32] for at in (208, 240, 272)]

    def _check_area(self) -> None:
        """Check the sizes of the file and of its parts, and read the tables."""
        pieces = -(-self.area_bytes // PIECE)
        footer_piece = self.head + FOOTER_BYTES + self.tail
        whole = self.area_start + self.area_bytes + pieces * (self.head + self.tail) + footer_piece
        assert whole == len(self.raw)
        table = self.area(self.frames_at, 48 * self.frame_count)
        directory = self.area(self.directory_at, self.directory_bytes)
        archives = self.area(self.archives_at, self.archives_bytes)
        assert [hashlib.sha256(part).digest() for part in (table, directory, archives)] == self.digests
        assert (self.frames_at, self.blocks_at) == (0, 48 * self.frame_count)
        assert self.directory_at == self.blocks_at + self.blocks_bytes
        assert self.archives_at + self.archives_bytes == self.area_bytes
        self.records = [struct.unpack_from("<QII32s", table, 48 * number) for number in range(self.frame_count)]
        self.directory: list[list[Any]] = msgspec.msgpack.decode(self._inflated(directory, self.directory_plain))
        self.archives: list[list[Any]] = msgspec.msgpack.decode(archives)
        assert self.archives[-1] == [self.name, bytes(32), self.frame_count]

    def area(self, logical: int, length: int) -> bytes:
        """Return bytes of the index area."""
        found = b""
        while len(found) < length:
            number, offset = divmod(logical + len(found), PIECE)
            size = min(PIECE, self.area_bytes - number * PIECE)
            at = self.area_start + number * (PIECE + self.head + self.tail)
            payload = self._payload(self.raw[at : at + self.head + size + self.tail])
            found += payload[offset : offset + length - len(found)]
        return found

    @staticmethod
    def _inflated(packed: bytes, plain_bytes: int) -> bytes:
        plain = zlib.decompress(packed, -15)
        assert len(plain) == plain_bytes
        return plain

    def frame(self, number: int) -> bytes:
        """Return the plain bytes of a frame."""
        offset, packed_bytes, plain_bytes, digest = self.records[number]
        packed = self.raw[offset : offset + packed_bytes]
        assert hashlib.sha256(packed).digest() == digest
        if self.is_gzip:
            plain = zlib.decompress(packed, 31)
        else:
            plain = subprocess.run(["/usr/bin/zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
        assert len(plain) == plain_bytes
        return plain

    def entries(self) -> list[list[Any]]:
        """Return all entries, which come in their order and each once; of an archive without blocks its parent's."""
        if not self.directory:
            return self._open(len(self.archives) - 2).entries()
        found: list[list[Any]] = []
        for first_path, offset, packed_bytes, plain_bytes, count, digest in self.directory:
            packed = self.area(offset, packed_bytes)
            assert hashlib.sha256(packed).digest() == digest
            block = msgspec.msgpack.decode(self._inflated(packed, plain_bytes))
            assert (block[0][0], len(block)) == (first_path, count)
            found += block
        keys = [entry[0].replace(b"/", b"\0") for entry in found]
        assert keys == sorted(set(keys))
        assert all(len(entry) == 15 for entry in found)
        assert len([entry for entry in found if not entry[13]]) == self.entry_count
        return found

    def content(self, entry: list[Any]) -> bytes:
        """Return a file's stored bytes, without its holes."""
        archive, frame, offset = entry[3:6]
        reader = self._open(archive)
        size = STAT.unpack(entry[1])[4] if entry[12] is None else sum(length for _, length in entry[12])
        found = b""
        while len(found) < size:
            found += reader.frame(frame)[offset : offset + size - len(found)]
            frame, offset = frame + 1, 0
        assert hashlib.sha256(found).digest() == entry[2]
        return found

    def _open(self, number: int) -> SecondReader:
        """Return an archive of the table."""
        if number == len(self.archives) - 1:
            return self
        name, digest, frame_count = self.archives[number]
        reader = SecondReader(self.folder / name)
        assert (reader.root_digest, reader.frame_count) == (digest, frame_count)
        return reader

    def restore(self, target: Path) -> int:
        """Make the point's whole tree in an empty folder and return how many files it has."""
        entries = [entry for entry in self.entries() if not entry[13]]
        files = [entry for entry in entries if entry[2]]
        assert (len(files), len(self.entries()) - len(entries)) == (self.file_count, self.skipped_count)
        for entry in entries:
            self._make(os.path.join(os.fsencode(target), entry[0]), entry, os.fsencode(target))
        for entry in reversed(entries):
            path = os.path.join(os.fsencode(target), entry[0])
            mode, uid, gid, _, _, mtime_ns, *_ = STAT.unpack(entry[1])
            for name, value in entry[11] or []:
                os.setxattr(path, name, value, follow_symlinks=False)
            os.chown(path, uid, gid, follow_symlinks=False)
            if not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode))
            os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        return len(files)

    def _make(self, path: bytes, entry: list[Any], target: bytes) -> None:
        mode, size = STAT.unpack(entry[1])[0], STAT.unpack(entry[1])[4]
        if stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)
        elif stat.S_ISLNK(mode):
            os.symlink(entry[9], path)
        elif entry[9]:
            os.link(os.path.join(target, entry[9]), path)
        else:
            content = self.content(entry)
            with open(path, "xb") as file:
                file.truncate(size)
                for start, length in [[0, size]] if entry[12] is None else entry[12]:
                    file.seek(start)
                    file.write(content[:length])
                    content = content[length:]

    def sections(self) -> dict[str, bytes]:
        """Return the plain bytes of a dump's sections by their names."""
        assert self.kind == DUMP
        [[first_path, offset, packed_bytes, plain_bytes, _, digest]] = self.directory
        packed = self.area(offset, packed_bytes)
        assert (first_path, hashlib.sha256(packed).digest()) == (b"sections", digest)
        found, expected = {}, 0
        for name, first, count, size, sha256 in msgspec.msgpack.decode(self._inflated(packed, plain_bytes)):
            assert first == expected
            plain = b"".join(self.frame(number) for number in range(first, first + count))
            assert (len(plain), hashlib.sha256(plain).digest()) == (size, sha256)
            found[name], expected = plain, first + count
        assert expected == self.frame_count
        return found

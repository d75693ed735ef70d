"""The tar side of an entry: a pure function from an index entry to its header blocks.

Because the header follows from the index alone, reading back compares the tar stream with the index byte by byte.
ustar fields serve whenever they suffice; pax records carry the rest (sub-second times, long names, attributes, holes).
"""

from __future__ import annotations

import stat
import struct
from functools import lru_cache
from zlib import adler32

from smartbackup_panel.engine.entries import STAT, IndexEntry, data_size

BLOCK = 512
END_OF_ARCHIVE = bytes(1024)
_REGULAR, _HARDLINK, _SYMLINK, _FOLDER, _PAX = b"0", b"1", b"2", b"5", b"x"
_MAX_OCTAL_ID = 0o7777777
_MAX_OCTAL_SIZE = 0o77777777777
_MAX_PLAIN_TIME_NS = 8_000_000_000 * 1_000_000_000
_PAX_NAME = b"PaxHeaders/entry"
_LATER = struct.Struct("1s100s8s32s32s16x155s12x")
_SPARSE_NAME = b"GNUSparseFile.0/entry"


def padding(length: int) -> bytes:
    """Return the zero bytes that fill `length` up to a whole block."""
    return bytes(-length % BLOCK)


def tar_headers(entry: IndexEntry) -> bytes:
    """Return all that precedes the entry's data: pax header, ustar header and, for a sparse file, its map."""
    mode, uid, gid, _, file_size, mtime_ns, *_ = STAT.unpack(entry.stat)
    records: list[tuple[bytes, bytes]] = []
    kind, size, sparse_map = _REGULAR, 0, b""
    name, link = entry.path or b".", entry.link
    user, group = _encoded(entry.user), _encoded(entry.group)
    if stat.S_ISDIR(mode):
        kind, name = _FOLDER, name + b"/"
    elif stat.S_ISLNK(mode):
        kind = _SYMLINK
    elif link:
        kind = _HARDLINK
    else:
        size = data_size(entry)
    prefix, short_name = _split_name(name)
    if entry.segments is not None and kind == _REGULAR:
        sparse_map = _sparse_map(entry.segments, file_size)
        size += len(sparse_map)
        prefix, short_name = b"", _SPARSE_NAME
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % file_size),
        ]
    elif short_name == b"":
        short_name = name[:100]
        records.append((b"path", name))
    if len(link) > 100:
        records.append((b"linkpath", link))
    seconds, fraction = divmod(mtime_ns, 1_000_000_000)
    if fraction or not 0 <= seconds <= _MAX_OCTAL_SIZE:
        records.append((b"mtime", _decimal_time(mtime_ns)))
    if uid > _MAX_OCTAL_ID or gid > _MAX_OCTAL_ID or size > _MAX_OCTAL_SIZE:
        records += _number_records(uid, gid, size)
    records += [(b"uname", user)] if len(user) > 31 else []
    records += [(b"gname", group)] if len(group) > 31 else []
    records += [(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs or ()]
    header = _ustar(
        short_name, prefix, kind, stat.S_IMODE(mode), uid, gid, size, seconds, link[:100], user[:31], group[:31]
    )
    return _pax_header(records) + header + sparse_map


def header_bytes(entry: IndexEntry) -> int:
    """Return the length of `tar_headers(entry)`, quickly where nothing about the entry is special."""
    _, uid, gid, _, size, mtime_ns, *_ = STAT.unpack(entry.stat)
    if (
        entry.xattrs is None
        and entry.segments is None
        and len(entry.path) < 100
        and len(entry.link) <= 100
        and len(entry.user) < 8 > len(entry.group)
        and max(uid, gid) <= _MAX_OCTAL_ID
        and size <= _MAX_OCTAL_SIZE
        and 0 <= mtime_ns < _MAX_PLAIN_TIME_NS
    ):
        return 3 * BLOCK if mtime_ns % 1_000_000_000 else BLOCK
    return len(tar_headers(entry))


@lru_cache(maxsize=256)
def _encoded(name: str) -> bytes:
    return name.encode()


def _split_name(name: bytes) -> tuple[bytes, bytes]:
    """Return (prefix, name) as ustar has them, or two empty strings when the name does not fit."""
    if len(name) <= 100:
        return b"", name
    if len(name) > 256:
        return b"", b""
    cut = name.rfind(b"/", 0, 156)
    rest = len(name) - cut - 1
    return (name[:cut], name[cut + 1 :]) if cut > 0 and 0 < rest <= 100 else (b"", b"")


def _number_records(uid: int, gid: int, size: int) -> list[tuple[bytes, bytes]]:
    records = []
    if uid > _MAX_OCTAL_ID:
        records.append((b"uid", b"%d" % uid))
    if gid > _MAX_OCTAL_ID:
        records.append((b"gid", b"%d" % gid))
    if size > _MAX_OCTAL_SIZE:
        records.append((b"size", b"%d" % size))
    return records


def _decimal_time(time_ns: int) -> bytes:
    sign = b"-" if time_ns < 0 else b""
    seconds, fraction = divmod(abs(time_ns), 1_000_000_000)
    return b"%s%d.%09d" % (sign, seconds, fraction) if fraction else b"%s%d" % (sign, seconds)


def _sparse_map(segments: list[tuple[int, int]], size: int) -> bytes:
    """Return the map of GNU sparse format 1.0: the data's places, then an empty one at the end of the file."""
    rows = [*segments, (size, 0)]
    text = b"%d\n" % len(rows) + b"".join(b"%d\n%d\n" % row for row in rows)
    return text + padding(len(text))


def _pax_header(records: list[tuple[bytes, bytes]]) -> bytes:
    if not records:
        return b""
    body = b"".join([_pax_record(key, value) for key, value in records])
    if not body.isascii() and any(
        not _is_utf8(value) for key, value in records if not key.startswith(b"SCHILY.xattr.")
    ):
        body = _pax_record(b"hdrcharset", b"BINARY") + body
    return _pax_block(len(body)) + body + padding(len(body))


@lru_cache(maxsize=256)
def _pax_block(size: int) -> bytes:
    """Return the block before `size` bytes of records."""
    return _ustar(_PAX_NAME, b"", _PAX, 0o644, 0, 0, size, 0, b"", b"", b"")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pax_record(key: bytes, value: bytes) -> bytes:
    """Return "LENGTH KEY=VALUE\\n", where LENGTH counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(
    name: bytes,
    prefix: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    user: bytes,
    group: bytes,
) -> bytes:
    """Return one header block. Numbers that do not fit become 0 (a pax record has them), sizes base-256."""
    start = b"%b%b%b%011o\0" % (
        name.ljust(100, b"\0"),
        _owner_fields(mode, uid if uid <= _MAX_OCTAL_ID else 0, gid if gid <= _MAX_OCTAL_ID else 0),
        b"%011o\0" % size if size <= _MAX_OCTAL_SIZE else b"\x80" + size.to_bytes(11, "big"),
        mtime if 0 <= mtime <= _MAX_OCTAL_SIZE else 0,
    )
    rest, rest_sum = _later_fields(kind, link, user, group, prefix)
    return b"%b%06o\0 %b" % (start, _byte_sum(start) + rest_sum, rest)


@lru_cache(maxsize=256)
def _owner_fields(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode, uid, gid)


@lru_cache(maxsize=256)
def _later_fields(kind: bytes, link: bytes, user: bytes, group: bytes, prefix: bytes) -> tuple[bytes, int]:
    """Return what follows the checksum, and the sum of its bytes and of the eight blanks that stand for the checksum."""
    fields = _LATER.pack(kind, link, b"ustar\x0000", user, group, prefix)
    return fields, _byte_sum(fields[:200]) + _byte_sum(fields[200:]) + 8 * 32


def _byte_sum(part: bytes) -> int:
    """Return the sum of at most 256 bytes.

    The lower half of Adler-32 is 1 plus the sum modulo 65,521, which so few bytes never reach; it is twenty times as fast
    as adding them up here.
    """
    return (adler32(part) & 0xFFFF) - 1

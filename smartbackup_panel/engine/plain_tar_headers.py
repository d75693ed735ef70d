"""Header blocks of tar archives that others wrote: ustar, GNU and pax, each field parsed to the letter or refused."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused

BLOCK = 512
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"(0|[1-9][0-9]{0,6}) ")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.:@/-]{0,254}")
_NUMBER = re.compile(rb"(0|[1-9][0-9]{0,18})")
_TIME = re.compile(rb"(-?)([0-9]{1,12})(?:\.([0-9]{1,9})[0-9]*)?")
_MAX_SIZE_BYTES = 1 << 62
_MAX_ID = (1 << 32) - 1
_MAX_TIME_SECONDS = 1 << 33
_KNOWN_KEYS = frozenset(
    {
        *("path", "linkpath", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"),
        *("hdrcharset", "charset", "comment"),
    }
)
_PASSED_OVER = ("SCHILY.", "LIBARCHIVE.", "RHT.")
"""Attributes that other programs add; they are not taken over."""


@dataclass(frozen=True, slots=True)
class Header:
    """One header block. `kind` is its type flag."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    user: str
    group: str


@dataclass(frozen=True, slots=True)
class Extension:
    """What extension headers said about the member that follows; each may speak once."""

    name: bytes | None = None
    link: bytes | None = None
    records: Mapping[str, bytes] = field(default_factory=dict)
    has_records: bool = False

    @property
    def is_empty(self) -> bool:
        return self.name is None and self.link is None and not self.has_records

    def with_long_name(self, body: bytes) -> Extension:
        if self.name is not None or self.has_records:
            raise ArchiveRefused("a member has two long names")
        return replace(self, name=_ended(body))

    def with_long_link(self, body: bytes) -> Extension:
        if self.link is not None or self.has_records:
            raise ArchiveRefused("a member has two long links")
        return replace(self, link=_ended(body))

    def with_records(self, records: Mapping[str, bytes], *, is_global: bool) -> Extension:
        if is_global:
            if set(records) - {"comment"}:
                raise ArchiveRefused("a global header changes every member after it")
            return self
        if not self.is_empty:
            raise ArchiveRefused("a member has two extension headers")
        return replace(self, records=records, has_records=True)

    def applied_to(self, header: Header) -> Header:
        """Return the header with what the extensions say. Raises ArchiveRefused where both contradict one another."""
        records = self.records
        size = _number(records, "size", header.size, _MAX_SIZE_BYTES)
        if size != header.size and header.size != 0:
            raise ArchiveRefused("a member has two sizes")
        return replace(
            header,
            name=_bytes(records, "path", header.name if self.name is None else self.name),
            link=_bytes(records, "linkpath", header.link if self.link is None else self.link),
            size=size,
            uid=_number(records, "uid", header.uid, _MAX_ID),
            gid=_number(records, "gid", header.gid, _MAX_ID),
            user=_text(records.get("uname"), header.user),
            group=_text(records.get("gname"), header.group),
            mtime_ns=_time_ns(records["mtime"]) if "mtime" in records else header.mtime_ns,
        )


def parse_header(block: bytes) -> Header:
    """Return the fields of a block after its checksum matched. Raises ArchiveDamaged, ArchiveRefused."""
    fields = _FIELDS.unpack(block)
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, user, group, _, _, prefix, rest = fields
    if _octal(checksum, "checksum") != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise ArchiveDamaged("the checksum of a member's header does not match")
    if magic not in (_USTAR, _GNU):
        raise ArchiveRefused("a member's header is neither ustar nor GNU")
    if magic == _USTAR and any(rest):
        raise ArchiveRefused("a member's header has bytes where none belong")
    whole = _cut(name)
    if magic == _USTAR and _cut(prefix):
        whole = _cut(prefix) + b"/" + whole
    seconds = _any_number(mtime, "time", -_MAX_TIME_SECONDS, _MAX_TIME_SECONDS)
    return Header(
        name=whole,
        kind=kind,
        mode=_any_number(mode, "mode", 0, 0o177777) & 0o7777,
        uid=_any_number(uid, "owner", 0, _MAX_ID),
        gid=_any_number(gid, "group", 0, _MAX_ID),
        size=_any_number(size, "size", 0, _MAX_SIZE_BYTES),
        mtime_ns=seconds * 1_000_000_000,
        link=_cut(link),
        user=_text(_cut(user), ""),
        group=_text(_cut(group), ""),
    )


def parse_pax(body: bytes) -> dict[str, bytes]:
    """Return the records of a pax header. Raises ArchiveRefused for a malformed, repeated or unknown one."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        start = _RECORD.match(body, at)
        length = int(start[1]) if start else 0
        if start is None or at + length > len(body) or start.end() >= at + length or body[at + length - 1] != 0x0A:
            raise ArchiveRefused("an extension header has a malformed record")
        key, equals, value = body[start.end() : at + length - 1].partition(b"=")
        name = key.decode("ascii", "replace")
        is_known = name in _KNOWN_KEYS or (name.startswith(_PASSED_OVER) and _KEY.fullmatch(name) is not None)
        if not equals or not is_known:
            raise ArchiveRefused(f"an extension header speaks of {name[:100]!r}, which is not understood")
        if name in found:
            raise ArchiveRefused(f"an extension header says {name[:100]!r} twice")
        found[name] = value
        at += length
    return found


def _any_number(raw: bytes, what: str, low: int, high: int) -> int:
    """Return an octal or base-256 number within its limits."""
    if raw[0] & 0x80:
        number = int.from_bytes(raw, "big", signed=True)
        if raw[0] != 0xFF:
            number = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
    else:
        number = _octal(raw, what)
    if not low <= number <= high:
        raise ArchiveRefused(f"a member's {what} is {number}")
    return number


def _octal(raw: bytes, what: str) -> int:
    found = _OCTAL.fullmatch(raw)
    if found is None:
        raise ArchiveRefused(f"a member's {what} is not a number: {raw!r}")
    return int(found[1] or b"0", 8)


def _cut(raw: bytes) -> bytes:
    """Return a text field up to its first zero byte."""
    return raw.partition(b"\0")[0]


def _ended(body: bytes) -> bytes:
    """Return a GNU long name, which ends with its only zero byte."""
    text, end, rest = body.partition(b"\0")
    if not text or not end or rest:
        raise ArchiveRefused("a long name does not end as one")
    return text


def _bytes(records: Mapping[str, bytes], key: str, otherwise: bytes) -> bytes:
    value = records.get(key, otherwise)
    if key in records and (not value or b"\0" in value):
        raise ArchiveRefused(f"an extension header has an impossible {key}")
    return value


def _number(records: Mapping[str, bytes], key: str, otherwise: int, high: int) -> int:
    if key not in records:
        return otherwise
    if not _NUMBER.fullmatch(records[key]) or int(records[key]) > high:
        raise ArchiveRefused(f"an extension header has the impossible {key} {records[key][:40]!r}")
    return int(records[key])


def _text(raw: bytes | None, otherwise: str) -> str:
    """Return a user's or group's name; one that no terminal should meet counts as none."""
    if raw is None:
        return otherwise
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text and len(text) <= 255 else ""


def _time_ns(raw: bytes) -> int:
    found = _TIME.fullmatch(raw)
    if found is None or int(found[2]) > _MAX_TIME_SECONDS:
        raise ArchiveRefused(f"an extension header has the impossible time {raw[:40]!r}")
    nanoseconds = int(found[2]) * 1_000_000_000 + int((found[3] or b"0").ljust(9, b"0"))
    return -nanoseconds if found[1] else nanoseconds

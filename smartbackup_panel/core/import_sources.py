"""Archives that others made: what their names and the original design's `.meta` say of them. Pure; nothing of it is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

META_BYTES = 64 * 1024
"""The longest `.meta` that is read; the original's have less than one kilobyte."""

_BACKUP = re.compile(r"backup_([0-9]{8})_([0-9]{6})(_incremental|_differential)?\.(?:tar\.gz|tgz)")
_DUMP = re.compile(r"database_([0-9]{8})_([0-9]{6})(?:_([A-Za-z0-9_-]{1,64}))?\.sql\.gz")
_PLAIN = re.compile(r".{1,200}\.(?:tar\.gz|tgz)", re.DOTALL)
_DATE = re.compile(
    r"(?<![0-9])([0-9]{4})[-_.]?([0-9]{2})[-_.]?([0-9]{2})"
    r"(?:[-_.T ]?([0-9]{2})[-_.:h]?([0-9]{2})(?:[-_.:m]?([0-9]{2}))?)?(?![0-9])"
)
_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")
_ARCHIVE_NAME = re.compile(r"backup_[0-9]{8}_[0-9]{6}\.(?:tar\.gz|tgz)")
_CLOCKS_DIFFER = timedelta(hours=26)
"""The widest that a local time and UTC differ."""


class SourceKind(StrEnum):
    """full and incremental: of the original design · plain: somebody's tar · dump: a database of the original design."""

    FULL = "full"
    INCREMENTAL = "incremental"
    PLAIN = "plain"
    DUMP = "dump"


@dataclass(frozen=True, slots=True)
class SourceName:
    """What a file's name says. `local_time` is of the server that made it, without a zone; None: nothing.

    `database` is "" where the name of a dump says none.
    """

    kind: SourceKind
    local_time: datetime | None
    database: str = ""


@dataclass(frozen=True, slots=True)
class OriginalMeta:
    """What is used of the original's `.meta`; None or "" where it says nothing usable."""

    domain: str = ""
    made_at: datetime | None = None
    base: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a source was made, in UTC and whole seconds, and what says so: "meta", "name" or "file"."""

    at: datetime
    source: str


def read_name(name: str) -> SourceName | None:
    """Return what a file is by its name; None for one that is no archive and no dump, or that nobody can read."""
    if found := _BACKUP.fullmatch(name):
        kind = SourceKind.INCREMENTAL if found[3] else SourceKind.FULL
        return SourceName(kind, _time(found[1][:4], found[1][4:6], found[1][6:], *_pairs(found[2])))
    if found := _DUMP.fullmatch(name):
        return SourceName(
            SourceKind.DUMP, _time(found[1][:4], found[1][4:6], found[1][6:], *_pairs(found[2])), found[3] or ""
        )
    if _PLAIN.fullmatch(name) and name.isprintable():
        dates = (_time(*found.groups("00")) for found in _DATE.finditer(name))
        return SourceName(SourceKind.PLAIN, next((date for date in dates if date is not None), None))
    return None


def read_meta(content: bytes) -> OriginalMeta:
    """Return what a `.meta` says; an empty one for what is no JSON object or longer than META_BYTES."""
    try:
        fields = json.loads(content) if len(content) <= META_BYTES else {}
    except (ValueError, RecursionError):
        fields = {}
    if not isinstance(fields, Mapping):
        return OriginalMeta()
    checksum = _CHECKSUM.fullmatch(str(fields.get("checksum")))
    base = str(fields.get("base_backup") or "")
    return OriginalMeta(
        domain=str(fields.get("domain") or ""),
        made_at=_unix_time(fields.get("unix_timestamp")),
        base=base if _ARCHIVE_NAME.fullmatch(base) else "",
        sha256=checksum[1] if checksum else "",
    )


def moment_of(named: SourceName, meta: OriginalMeta, modified_at: datetime) -> Moment:
    """Return when a source was made: the `.meta`'s time where it agrees with the name's, the name's in this server's zone,
    else the file's own.
    """
    if named.local_time is None:
        return Moment((meta.made_at or modified_at).replace(microsecond=0), "meta" if meta.made_at else "file")
    local = named.local_time.astimezone(UTC)
    if meta.made_at is not None and abs(meta.made_at - named.local_time.replace(tzinfo=UTC)) <= _CLOCKS_DIFFER:
        return Moment(meta.made_at, "meta")
    return Moment(local, "name")


def _pairs(digits: str) -> tuple[str, str, str]:
    return digits[:2], digits[2:4], digits[4:]


def _time(*numbers: str) -> datetime | None:
    year, month, day, hour, minute, second = map(int, numbers)
    try:
        found = datetime(year, month, day, hour, minute, second)  # the zone of whoever wrote it
    except ValueError:
        return None
    return found if 1990 <= year < 2100 else None


def _unix_time(value: object) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 33:
        return None
    return datetime.fromtimestamp(value, UTC)

"""The plain JSON files beside the archives, laid out as the original design has them.

    DOMAIN/backup_….tar.gz.meta      what a point is, signed        .metadata/DOMAIN_backups.json   all points of a domain
    .incremental/DOMAIN/…            changed files of an increment  .tracking/DOMAIN_….json         activity and totals

What people chose for a domain lies beside them (services.choices).

All of them can be made again from the archives and the state; none is read to decide where anything lies (rule 11).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime

from smartbackup_panel import __version__
from smartbackup_panel.core.model import Analysis, Domain, Point, PointKind, Schedule
from smartbackup_panel.services.installation import Installation

META_PURPOSE = "meta"
UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def meta_content(installation: Installation, domain: Domain, point: Point, parent: Point | None) -> bytes:
    """Return the `.meta` of a point: the original design's fields, and the whole point, signed with the worker's key.

    Whether it is pinned changes later and is not said here, but in the domain's choices.
    """
    patterns = (point.left_out or {}).get("patterns")
    dump_bytes = sum(dump.archive_bytes for dump in point.databases)
    fields: dict[str, object] = {
        "type": point.kind,
        "domain": domain.name,
        "timestamp": f"{point.created_at:%Y%m%d_%H%M%S}",
        "unix_timestamp": int(point.created_at.timestamp()),
        "date_created": f"{point.created_at:%Y-%m-%d %H:%M:%S}",
        "file_count": point.file_count,
        "backup_size": _size(point.archive_bytes),
        "backup_size_bytes": point.archive_bytes,
        "compression_ratio": _saved(point.archive_bytes, point.original_bytes),
        "original_size": _size(point.original_bytes),
        "excluded_patterns": len(patterns) if isinstance(patterns, list) else 0,
        "database_included": bool(point.databases),
        "database_size": _size(dump_bytes),
        "backup_duration": f"{round(point.seconds)}s",
        "checksum": f"sha256:{point.sha256}" if point.sha256 else None,
        "created_by": "smart_backup_system",
        "version": __version__,
        "parent": parent.id if parent else None,
        "warnings": list(point.warnings),
        "domain_record": asdict(domain),
        "point": asdict(dataclasses.replace(point, pinned=False)),
    }
    if point.kind is not PointKind.FULL and parent is not None:
        fields["base_backup"] = parent.archive
        fields["changed_files_list"] = _changed_list_path(installation, domain, point)
    return sealed(installation, META_PURPOSE, fields)


def read_meta(installation: Installation, content: bytes) -> dict[str, object] | None:
    """Return the fields of a `.meta`, or None when it is no JSON or its signature is not this installation's."""
    return unsealed(installation, META_PURPOSE, content)


def sealed(installation: Installation, purpose: str, fields: Mapping[str, object]) -> bytes:
    """Return fields as JSON, signed with the worker's key for one purpose (a signature counts for no other)."""
    signature = _signature(installation, purpose, json.dumps(fields, default=_plain, sort_keys=True))
    signed = {**fields, "signature": signature}
    return json.dumps(signed, default=_plain, indent=1, sort_keys=True).encode() + b"\n"


def unsealed(installation: Installation, purpose: str, content: bytes) -> dict[str, object] | None:
    """Return the fields that `sealed` made into JSON, or None when it is no JSON or its signature is not this installation's."""
    try:
        fields = json.loads(content)
        claimed = fields.pop("signature")
    except (ValueError, KeyError, AttributeError):
        return None
    made = _signature(installation, purpose, json.dumps(fields, default=_plain, sort_keys=True))
    return fields if isinstance(claimed, str) and hmac.compare_digest(made, claimed) else None


def write_changed_list(
    installation: Installation, domain: Domain, point: Point, parent: Point | None, changed: Sequence[bytes]
) -> None:
    """Write which files an increment holds and what it builds on; it goes again with files that were only noted."""
    if point.kind is not PointKind.FULL and parent is not None:
        listed = b"".join(path + b"\n" for path in changed)
        replace(_changed_list_path(installation, domain, point), listed)
        if point.imported is None:
            reference = {"base_backup": parent.archive, "base_point": parent.id}
            _replace_json(_incremental_path(installation, domain, "base_backup_ref.json"), reference)


def write_lists(installation: Installation, domain: Domain, every: Sequence[Point], schedule: Schedule | None) -> None:
    """Write the lists of all points of a domain (newest first, at least one), after one came or some went."""
    root = installation.settings.backup_root
    rows = [
        {
            "point": row.id,
            "type": row.kind,
            "archive": row.archive,
            "created_at": row.created_at.isoformat(),
            "state": row.state,
        }
        for row in every
    ]
    _replace_json(
        os.path.join(root, ".metadata", f"{domain.store_folder}_backups.json"), {"domain": domain.name, "backups": rows}
    )
    _replace_json(
        os.path.join(root, ".tracking", f"{domain.store_folder}_backup.json"), _totals(domain, every, schedule)
    )


def remove_changed_lists(installation: Installation, domain: Domain, archives: Sequence[str]) -> None:
    """Remove the lists of changed files that belong to archives which are gone."""
    for name in archives:
        if found := re.search(r"_(\d{8}_\d{6})", name):
            with suppress(FileNotFoundError):
                os.unlink(_incremental_path(installation, domain, f"changed_files_{found[1]}.txt"))


def write_activity(installation: Installation, domain: Domain, analysis: Analysis) -> None:
    """Write `.tracking/DOMAIN_activity.json`: often the first thing in the store, before any point."""
    os.makedirs(installation.settings.backup_root, mode=0o700, exist_ok=True)
    fields = {
        "domain": domain.name,
        "last_check": int(analysis.analysed_at.timestamp()),
        "file_changes": analysis.file_changes,
        "activity_level": analysis.activity_level,
        "traffic_requests": analysis.traffic_requests,
        "average_daily_changes": analysis.average_daily_changes,
        "trend": analysis.trend,
        "updated": f"{analysis.analysed_at:%Y-%m-%d %H:%M:%S}",
    }
    _replace_json(
        os.path.join(installation.settings.backup_root, ".tracking", f"{domain.store_folder}_activity.json"), fields
    )


def _totals(domain: Domain, every: Sequence[Point], schedule: Schedule | None) -> dict[str, object]:
    last, fulls = every[0], [point for point in every if point.kind is PointKind.FULL]
    total = sum(point.archive_bytes for point in every)
    return {
        "domain": domain.name,
        "last_backup_type": last.kind,
        "last_backup_timestamp": int(last.created_at.timestamp()),
        "last_backup_date": f"{last.created_at:%Y-%m-%d %H:%M:%S}",
        "last_full_backup": fulls[0].archive if fulls else None,
        "total_backups": len(every),
        "total_incremental": len(every) - len(fulls),
        "total_full": len(fulls),
        "total_backup_size": _size(total),
        "average_backup_size": _size(total // len(every)),
        "strategy": schedule.strategy if schedule else None,
        "schedule": schedule.lines[0].cron if schedule and schedule.lines else None,
    }


def _changed_list_path(installation: Installation, domain: Domain, point: Point) -> str:
    return _incremental_path(installation, domain, f"changed_files_{point.created_at:%Y%m%d_%H%M%S}.txt")


def _incremental_path(installation: Installation, domain: Domain, name: str) -> str:
    return os.path.join(installation.settings.backup_root, ".incremental", domain.store_folder, name)


def _signature(installation: Installation, purpose: str, plain: str) -> str:
    return hmac.new(installation.signing_key, f"{purpose}:{plain}".encode(), hashlib.sha256).hexdigest()


def _replace_json(path: str, fields: Mapping[str, object]) -> None:
    replace(path, json.dumps(fields, default=str, indent=1).encode() + b"\n")


def replace(path: str, content: bytes) -> None:
    """Write a file that is complete or absent at every instant."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".part", path)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _size(size_bytes: int) -> str:
    """Return a size in the largest unit that keeps it at 1 or more, as the original design writes it ("342MB")."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f}{UNITS[unit]}" if size >= 100 or size == int(size) else f"{size:.1f}{UNITS[unit]}"


def _saved(archive_bytes: int, original_bytes: int) -> str:
    return f"{max(0, round(100 * (1 - archive_bytes / original_bytes)))}%" if original_bytes else "0%"

"""The catalog made again from the store, after the state was lost (SECURITY rule 22)."""

from __future__ import annotations

import os
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, points
from smartbackup_panel.core.model import Domain, DomainState, DumpFile, Point, PointKind, PointState, Verified
from smartbackup_panel.services import choices, sidecars
from smartbackup_panel.services.domains import reconcile
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.store import META, point_names


def rebuild(installation: Installation) -> dict[str, object]:
    """Record every point of the store that the state does not know.

    Only a `.meta` that this installation signed and whose archives are there counts; the rest is listed as refused. What was
    chosen for the domains (pins, rules, exclusions, schedules) comes back with them.
    """
    restored: dict[str, list[str]] = {}
    refused: list[str] = []
    for path in _metas(installation.settings.backup_root):
        fields = _read(installation, path)
        point = _point(fields) if fields else None
        domain = _domain(fields, os.path.basename(os.path.dirname(path))) if fields else None
        if point is None or domain is None or not _is_whole(path, point):
            refused.append(os.path.relpath(path, installation.settings.backup_root))
            continue
        with installation.state.write() as tx:
            _ensure_domain(tx, domain)
            if points.find_point(tx, domain.id, point.id) is None:
                points.insert_point(tx, point)
                restored.setdefault(domain.id, []).append(point.id)
    chosen, bad = choices.read_back(installation, restored)
    reconcile(installation)
    return {
        "points": [point_id for rebuilt in restored.values() for point_id in rebuilt],
        "choices": chosen,
        "refused": refused + bad,
    }


def _metas(backup_root: str) -> list[str]:
    """Return the `.meta` files of all domains' folders, oldest first within a folder; links are not followed."""
    found: list[str] = []
    try:
        folders = sorted(entry.path for entry in os.scandir(backup_root) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return found
    for folder in folders:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
        found += [os.path.join(folder, name) for name in names if name.endswith(META)]
    return found


def _read(installation: Installation, path: str) -> dict[str, object] | None:
    with open(path, "rb") as file:
        return sidecars.read_meta(installation, file.read())


def _point(fields: dict[str, object]) -> Point | None:
    row = fields.get("point")
    if not isinstance(row, dict):
        return None
    return Point(
        **row
        | {
            "kind": PointKind(row["kind"]),
            "state": PointState(row["state"]),
            "verified": Verified(row["verified"]),
            **{name: _time(row.get(name)) for name in ("created_at", "verified_at", "damaged_at")},
            "databases": tuple(DumpFile(**dump) for dump in row["databases"]),
            "skipped": tuple(row["skipped"]),
            "warnings": tuple(row["warnings"]),
        }
    )


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None


def _domain(fields: dict[str, object], folder: str) -> Domain | None:
    """Return the domain that a point belongs to; the folder that it was found in is its store folder."""
    row = fields.get("domain_record")
    if not isinstance(row, dict):
        return None
    times = {name: _time(row.get(name)) for name in ("created_at", "deleted_at")}
    fixed = {"state": DomainState(row["state"]), "nested_roots": tuple(row["nested_roots"]), "store_folder": folder}
    return Domain(**row | times | fixed)


def _is_whole(meta_path: str, point: Point) -> bool:
    folder = os.path.dirname(meta_path)
    names = point_names(point.archive, [dump.archive for dump in point.databases])
    return all(os.path.isfile(os.path.join(folder, os.path.basename(name))) for name in names)


def _ensure_domain(tx: Connection, domain: Domain) -> None:
    try:
        domains.get_domain(tx, domain.id)
    except LookupError:
        domains.insert_known(tx, domain)

"""Points that the store has and the state does not know, since the state was lost (SECURITY rule 22)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, points
from smartbackup_panel.core.model import (
    Domain,
    DomainState,
    DumpFile,
    PanelDomain,
    Point,
    PointKind,
    PointState,
    Verified,
)
from smartbackup_panel.services import choices, sidecars
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.store import META, point_names

log = logging.getLogger(__name__)


@dataclass
class Found:
    """Ids of the points that were recorded, by domain, and the `.meta` files (within the store) that were refused."""

    points: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def record_lost(installation: Installation, folder: str, found: Found, of: PanelDomain | None = None) -> None:
    """Record the points of a folder of the store that the state does not know; `of`: of this domain alone.

    Only a `.meta` that this installation signed and whose archives are there counts.
    """
    for path in _metas(folder):
        fields = _read(installation, path)
        try:
            point = _point(fields) if fields else None
            domain = _domain(fields, os.path.basename(folder)) if fields else None
        except (TypeError, KeyError, ValueError):  # signed here, by a version that wrote other fields
            point = domain = None
        if of is not None and (domain is None or not _is_the_same(installation, domain, of)):
            continue
        if point is None or domain is None or not _is_whole(path, point):
            found.refused.append(os.path.relpath(path, installation.settings.backup_root))
            continue
        with installation.state.write() as tx:
            domain_id = _ensure_domain(tx, domain, installation.clock.now())
            if domain_id is None:
                found.refused.append(os.path.relpath(path, installation.settings.backup_root))
            elif points.find_point(tx, domain_id, point.id) is None:
                points.insert_point(tx, replace(point, domain_id=domain_id))
                found.points.setdefault(domain_id, []).append(point.id)


def adopt(installation: Installation, new: Iterable[PanelDomain]) -> set[str]:
    """Record what the store has of domains that are new to the state; return the panel's ids of those that have points.

    A domain is the same one where panel, owner and folder are: then it comes back under its id, with what was chosen for it.
    """
    found = Found()
    for item in new:
        record_lost(installation, os.path.join(installation.settings.backup_root, item.name), found, item)
    if found.points:
        choices.read_back(installation, found.points)
    adopted = set()
    with installation.state.read() as tx:
        for domain_id, recorded in found.points.items():
            domain = domains.get_domain(tx, domain_id)
            log.warning("%s was not known; %d points of it were found in the store", domain.name, len(recorded))
            adopted.add(domain.panel_uid)
    return adopted


def holds_points(installation: Installation, store_folder: str) -> bool:
    """Return whether a folder of the store holds points that this installation made."""
    folder = os.path.join(installation.settings.backup_root, store_folder)
    return any(_read(installation, path) is not None for path in _metas(folder))


def _metas(folder: str) -> list[str]:
    """Return the `.meta` files of a domain's folder, oldest first; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(META)]


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


def _is_the_same(installation: Installation, domain: Domain, item: PanelDomain) -> bool:
    facts = (domain.panel, domain.panel_uid, domain.owner, domain.owner_uid, domain.root)
    return facts == (installation.panel.id, item.uid, item.owner, item.owner_uid, item.root)


def _ensure_domain(tx: Connection, domain: Domain, now: datetime) -> str | None:
    """Return the id under which the state has a domain, recorded where it was not; None where its folder is somebody else's.

    Where the name is another live domain's by now, it comes back as a deleted one, with the grace period before it.
    """
    try:
        return domains.get_domain(tx, domain.id).id
    except LookupError:
        pass
    live = domains.find_by_uid(tx, domain.panel, domain.panel_uid)
    if live is None:
        domains.insert_known(tx, domain)
        return domain.id
    if live.store_folder != domain.store_folder:
        domains.insert_known(tx, replace(domain, state=DomainState.DELETED, deleted_at=now))
        return domain.id
    is_same = (live.owner, live.owner_uid, live.root) == (domain.owner, domain.owner_uid, domain.root)
    return live.id if is_same else None

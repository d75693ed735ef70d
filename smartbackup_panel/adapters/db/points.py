"""The catalog: records of restore points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from smartbackup_panel.adapters.db.tables import domains, points
from smartbackup_panel.core.model import DumpFile, Point, PointKind, PointState, Verified


def insert_point(tx: Connection, point: Point) -> None:
    """Record a point; its archives are durable and verified before this is called (SECURITY rule 16)."""
    values = asdict(point)
    values["databases"] = [asdict(dump) for dump in point.databases]
    values["skipped"] = list(point.skipped)
    values["warnings"] = list(point.warnings)
    if point.verified_at is None and point.verified.is_read_back:
        values["verified_at"] = point.created_at
    tx.execute(insert(points).values(**values))


def find_point(tx: Connection, domain_id: str, point_id: str) -> Point | None:
    row = tx.execute(select(points).where(points.c.domain_id == domain_id, points.c.id == point_id)).first()
    return None if row is None else _point(row)


def list_points(tx: Connection, domain_id: str, limit: int | None = None) -> list[Point]:
    """Return a domain's points, newest first."""
    query = select(points).where(points.c.domain_id == domain_id).order_by(points.c.created_at.desc()).limit(limit)
    return [_point(row) for row in tx.execute(query)]


def latest_points(tx: Connection, domain_ids: list[str]) -> dict[str, Point]:
    """Return the newest point that is not damaged of each domain that has one."""
    # One step into the index a domain, however many points there are: a maximum by group would read them all.
    newest = (
        select(points.c.id)
        .where(points.c.domain_id == domains.c.id, points.c.state != PointState.DAMAGED)
        .order_by(points.c.created_at.desc())
        .limit(1)
        .correlate(domains)
        .scalar_subquery()
    )
    query = select(points).where(points.c.id.in_(select(newest).where(domains.c.id.in_(domain_ids))))
    return {row.domain_id: _point(row) for row in tx.execute(query)}


def size_history(tx: Connection, domain_ids: list[str], limit: int = 30) -> dict[str, list[tuple[datetime, int]]]:
    """Return the last `limit` (time, original bytes) of each domain, oldest first."""
    rank = func.row_number().over(partition_by=points.c.domain_id, order_by=points.c.created_at.desc()).label("rank")
    ranked = (
        select(points.c.domain_id, points.c.created_at, points.c.original_bytes, rank)
        .where(points.c.domain_id.in_(domain_ids))
        .subquery()
    )
    query = select(ranked).where(ranked.c.rank <= limit).order_by(ranked.c.created_at)
    history: dict[str, list[tuple[datetime, int]]] = {}
    for row in tx.execute(query):
        history.setdefault(row.domain_id, []).append((row.created_at, row.original_bytes))
    return history


def stored_bytes(tx: Connection, domain_id: str | None = None) -> int:
    """Return what the archives and dumps of a domain, or of all, take in the store."""
    query = select(points.c.archive_bytes, points.c.databases)
    if domain_id is not None:
        query = query.where(points.c.domain_id == domain_id)
    return sum(
        row.archive_bytes + sum(dump["archive_bytes"] for dump in row.databases if not dump.get("is_earlier"))
        for row in tx.execute(query)
    )


def set_verified(tx: Connection, point: Point, verified: Verified, now: datetime) -> None:
    """Record that a point was found sound: what was proved before stays proved, and a damaged one is offered again."""
    values: dict[str, object] = {}
    if verified.reaches(point.verified):
        values["verified"] = verified
    if verified.is_read_back:
        values["verified_at"] = now
        lift_damage(tx, point)
    if values:
        tx.execute(update(points).where(points.c.id == point.id).values(**values))


def lift_damage(tx: Connection, point: Point) -> None:
    """Offer a point again that was marked as damaged and is not; nothing changes for a sound one."""
    if point.state is PointState.DAMAGED:
        sound = PointState.PARTIAL if point.warnings else PointState.GOOD
        values = {"state": sound, "damage": "", "damaged_at": None}
        tx.execute(update(points).where(points.c.id == point.id).values(**values))


def mark_damaged(tx: Connection, point_id: str, damage: str, now: datetime) -> None:
    """Record what is wrong with a point; since when is kept from the first time on."""
    is_sound = (points.c.id == point_id, points.c.state != PointState.DAMAGED)
    tx.execute(update(points).where(*is_sound).values(damaged_at=now))
    tx.execute(update(points).where(points.c.id == point_id).values(state=PointState.DAMAGED, damage=damage))


def damage_found(tx: Connection, domain_ids: list[str]) -> dict[str, tuple[int, datetime]]:
    """Return by domain how many damaged points it has and when the last of them was found to be."""
    query = (
        select(points.c.domain_id, func.count().label("times"), func.max(points.c.damaged_at).label("at"))
        .where(points.c.domain_id.in_(domain_ids), points.c.damaged_at.is_not(None))
        .group_by(points.c.domain_id)
    )
    return {row.domain_id: (row.times, row.at) for row in tx.execute(query)}


def list_pinned(tx: Connection) -> dict[str, list[str]]:
    """Return the ids of pinned points, by domain id."""
    found: dict[str, list[str]] = {}
    for row in tx.execute(select(points.c.domain_id, points.c.id).where(points.c.pinned)):
        found.setdefault(row.domain_id, []).append(row.id)
    return found


def set_pinned(tx: Connection, point_id: str, pinned: bool) -> None:
    tx.execute(update(points).where(points.c.id == point_id).values(pinned=pinned))


def replace_archive(tx: Connection, made: Point) -> None:
    """Record that a point is now held by another archive, a full one that was read back."""
    names = ("kind", "archive", "archive_bytes", "parent_id", "root_digest", "sha256", "unchanged", "synthetic")
    values: dict[str, object] = {name: getattr(made, name) for name in (*names, "verified", "verified_at")}
    tx.execute(update(points).where(points.c.id == made.id).values(**values))


def delete_points(tx: Connection, domain_id: str, point_ids: Sequence[str]) -> None:
    """Remove the records of a domain's points; their files are noted for removal in the same transaction.

    A dump that a remaining point refers to stays in the store; the oldest such point counts its bytes from now on.
    """
    tx.execute(delete(points).where(points.c.id.in_(point_ids)))
    counted: set[str] = set()
    for point in reversed(list_points(tx, domain_id)):
        dumps = [replace(dump, is_earlier=dump.archive in counted) for dump in point.databases]
        counted.update(dump.archive for dump in dumps)
        if tuple(dumps) != point.databases:
            rows = [asdict(dump) for dump in dumps]
            tx.execute(update(points).where(points.c.id == point.id).values(databases=rows))


def _point(row: Row[tuple[object, ...]]) -> Point:
    return Point(
        id=row.id,
        domain_id=row.domain_id,
        kind=PointKind(row.kind),
        state=PointState(row.state),
        verified=Verified(row.verified),
        created_at=row.created_at,
        archive=row.archive,
        archive_bytes=row.archive_bytes,
        original_bytes=row.original_bytes,
        file_count=row.file_count,
        added=row.added,
        changed=row.changed,
        deleted=row.deleted,
        parent_id=row.parent_id,
        root_digest=row.root_digest,
        sha256=row.sha256,
        databases=tuple(DumpFile(**dump) for dump in row.databases),
        skipped=tuple(row.skipped),
        skipped_count=row.skipped_count,
        warnings=tuple(row.warnings),
        seconds=row.seconds,
        database_only=row.database_only,
        pinned=row.pinned,
        verified_at=row.verified_at,
        unchanged=row.unchanged,
        synthetic=row.synthetic,
        read_whole=row.read_whole,
        damage=row.damage or "",
        damaged_at=row.damaged_at,
        left_out=row.left_out,
        imported=row.imported,
    )

"""Records of restores: the journal that makes a crash recoverable, and the undo that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, delete, insert, select, update

from smartbackup_panel.adapters.db.tables import restores


class RestorePhase(StrEnum):
    """preparing: nothing of the site changed · swapping: being exchanged, ends as swapped · swapped: done, can be undone ·
    undoing: being exchanged back · removing: over, its other tree is being removed · ended: nothing of it is left."""

    PREPARING = "preparing"
    SWAPPING = "swapping"
    SWAPPED = "swapped"
    UNDOING = "undoing"
    REMOVING = "removing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RestoreRecord:
    """A restore; `journal` holds what its recovery and its undo need."""

    id: str
    domain_id: str
    point_id: str | None
    phase: RestorePhase
    journal: dict[str, object]
    restored_by: str
    started_at: datetime
    swapped_at: datetime | None
    undo_until: datetime | None


def insert_restore(
    tx: Connection,
    restore_id: str,
    domain_id: str,
    point_id: str,
    journal: dict[str, object],
    restored_by: str,
    now: datetime,
) -> None:
    tx.execute(
        insert(restores).values(
            id=restore_id,
            domain_id=domain_id,
            point_id=point_id,
            phase=RestorePhase.PREPARING,
            journal=journal,
            restored_by=restored_by,
            started_at=now,
        )
    )


def set_phase(
    tx: Connection,
    restore_id: str,
    phase: RestorePhase,
    *,
    journal: dict[str, object] | None = None,
    swapped_at: datetime | None = None,
    undo_until: datetime | None = None,
) -> None:
    """Move a restore to its next phase; what is None stays as it is."""
    values: dict[str, object] = {"phase": phase}
    values |= {
        name: value
        for name, value in (("journal", journal), ("swapped_at", swapped_at), ("undo_until", undo_until))
        if value is not None
    }
    tx.execute(update(restores).where(restores.c.id == restore_id).values(**values))


def delete_restore(tx: Connection, restore_id: str) -> None:
    """Remove an ended attempt's record, so that the job may begin again."""
    tx.execute(delete(restores).where(restores.c.id == restore_id))


def find_restore(tx: Connection, restore_id: str) -> RestoreRecord | None:
    row = tx.execute(select(restores).where(restores.c.id == restore_id)).first()
    return None if row is None else _record(row)


def list_restores(tx: Connection, *phases: RestorePhase, domain_id: str | None = None) -> list[RestoreRecord]:
    """Return restores in one of `phases`, newest first."""
    query = select(restores).where(restores.c.phase.in_(phases)).order_by(restores.c.started_at.desc())
    if domain_id is not None:
        query = query.where(restores.c.domain_id == domain_id)
    return [_record(row) for row in tx.execute(query)]


def _record(row: Row[tuple[object, ...]]) -> RestoreRecord:
    return RestoreRecord(
        row.id,
        row.domain_id,
        row.point_id,
        RestorePhase(row.phase),
        row.journal,
        row.restored_by,
        row.started_at,
        row.swapped_at,
        row.undo_until,
    )

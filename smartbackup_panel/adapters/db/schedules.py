"""Records of schedules and of the analyses that they rest on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Row, delete, insert, select, update

from smartbackup_panel.adapters.db.tables import analyses, domains, schedules
from smartbackup_panel.core.model import Analysis, DomainState, PointKind, Schedule, ScheduleLine, Strategy


def save_schedule(tx: Connection, domain_id: str, schedule: Schedule, next_kind: PointKind | None) -> None:
    """Record a domain's schedule in place of the one before."""
    values = {
        "lines": [{"cron": line.cron, "kind": line.kind} for line in schedule.lines],
        "timezone": schedule.timezone,
        "strategy": schedule.strategy,
        "reason": schedule.reason,
        "pinned": schedule.pinned,
        "next_run_at": schedule.next_run_at,
        "next_kind": next_kind,
        "first_run_at": schedule.first_run_at,
    }
    if tx.execute(update(schedules).where(schedules.c.domain_id == domain_id).values(**values)).rowcount == 0:
        tx.execute(insert(schedules).values(domain_id=domain_id, **values))


def find_schedule(tx: Connection, domain_id: str) -> Schedule | None:
    row = tx.execute(select(schedules).where(schedules.c.domain_id == domain_id)).first()
    return None if row is None else _schedule(row)


def list_schedules(tx: Connection, domain_ids: list[str]) -> dict[str, Schedule]:
    rows = tx.execute(select(schedules).where(schedules.c.domain_id.in_(domain_ids)))
    return {row.domain_id: _schedule(row) for row in rows}


def list_pinned(tx: Connection) -> dict[str, Schedule]:
    """Return the schedules that an administrator set, by domain id."""
    return {row.domain_id: _schedule(row) for row in tx.execute(select(schedules).where(schedules.c.pinned))}


Due = tuple[str, Schedule, PointKind | None]
"""A domain's id, its schedule, and the kind of its run that is due."""


def list_due(tx: Connection, now: datetime) -> list[Due]:
    """Return the covered domains whose next run has come."""
    query = (
        select(schedules)
        .join(domains, domains.c.id == schedules.c.domain_id)
        .where(schedules.c.next_run_at <= now, domains.c.state.in_((DomainState.ACTIVE, DomainState.SUSPENDED)))
        .order_by(schedules.c.next_run_at)
    )
    return [
        (row.domain_id, _schedule(row), PointKind(row.next_kind) if row.next_kind else None)
        for row in tx.execute(query)
    ]


def find_next_kind(tx: Connection, domain_id: str) -> PointKind | None:
    """Return the kind that a domain's next run has, None where its strategy decides."""
    kind = tx.execute(select(schedules.c.next_kind).where(schedules.c.domain_id == domain_id)).scalar()
    return PointKind(kind) if kind else None


def set_next_run(tx: Connection, domain_id: str, at: datetime | None, kind: PointKind | None) -> None:
    tx.execute(update(schedules).where(schedules.c.domain_id == domain_id).values(next_run_at=at, next_kind=kind))


def delete_schedule(tx: Connection, domain_id: str) -> None:
    tx.execute(delete(schedules).where(schedules.c.domain_id == domain_id))


def insert_analysis(tx: Connection, domain_id: str, analysis: Analysis) -> None:
    tx.execute(
        insert(analyses).values(domain_id=domain_id, **{name: getattr(analysis, name) for name in Analysis.__slots__})
    )


def list_analyses(tx: Connection, domain_id: str, limit: int = 60) -> list[Analysis]:
    """Return the last analyses of a domain, newest first."""
    query = (
        select(analyses).where(analyses.c.domain_id == domain_id).order_by(analyses.c.analysed_at.desc()).limit(limit)
    )
    return [_analysis(row) for row in tx.execute(query)]


def forget_analyses(tx: Connection, before: datetime) -> None:
    """Remove analyses older than a moment."""
    tx.execute(delete(analyses).where(analyses.c.analysed_at < before))


def latest_analyses(tx: Connection, domain_ids: list[str]) -> dict[str, Analysis]:
    newest: dict[str, Analysis] = {}
    for row in tx.execute(
        select(analyses).where(analyses.c.domain_id.in_(domain_ids)).order_by(analyses.c.analysed_at)
    ):
        newest[row.domain_id] = _analysis(row)
    return newest


def _schedule(row: Row[tuple[object, ...]]) -> Schedule:
    return Schedule(
        lines=tuple(
            ScheduleLine(line["cron"], PointKind(line["kind"]) if line["kind"] else None) for line in row.lines
        ),
        timezone=row.timezone,
        strategy=Strategy(row.strategy),
        reason=row.reason,
        pinned=row.pinned,
        next_run_at=row.next_run_at,
        first_run_at=row.first_run_at,
    )


def _analysis(row: Row[tuple[object, ...]]) -> Analysis:
    return Analysis(**{name: getattr(row, name) for name in Analysis.__slots__})

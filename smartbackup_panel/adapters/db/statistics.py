"""Figures computed by the database: durations, success, growth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from smartbackup_panel.adapters.db.jobs import job_of_row
from smartbackup_panel.adapters.db.tables import analyses, audit, domains, job_log, jobs, points
from smartbackup_panel.core.model import Job, JobKind, JobState, PointState

ENDED = (JobState.DONE, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class PointFigures:
    """One point as figures: sizes in bytes, duration in seconds. `excluded_bytes` and `rows_left_out_bytes` are not in it."""

    domain_id: str
    kind: str
    created_at: datetime
    archive_bytes: int
    dump_bytes: int
    dump_original_bytes: int
    original_bytes: int
    seconds: float
    tables_left_out: int
    rows_left_out_bytes: int
    excluded_bytes: int


def mean_seconds(tx: Connection, since: datetime) -> dict[str, float]:
    """Return by domain how long its points took on average since a moment (seconds)."""
    query = (
        select(points.c.domain_id, func.avg(points.c.seconds).label("mean"))
        .where(points.c.created_at >= since, points.c.state != PointState.DAMAGED)
        .group_by(points.c.domain_id)
    )
    return {row.domain_id: float(row.mean) for row in tx.execute(query)}


def list_figures(tx: Connection, since: datetime, domain_id: str | None = None) -> list[PointFigures]:
    """Return the points since a moment as figures, oldest first."""
    query = select(points).where(points.c.created_at >= since).order_by(points.c.created_at)
    if domain_id is not None:
        query = query.where(points.c.domain_id == domain_id)
    return [
        PointFigures(
            domain_id=row.domain_id,
            kind=row.kind,
            created_at=row.created_at,
            archive_bytes=row.archive_bytes,
            dump_bytes=sum(dump["archive_bytes"] for dump in row.databases if not dump.get("is_earlier")),
            dump_original_bytes=sum(dump["original_bytes"] for dump in row.databases),
            original_bytes=row.original_bytes,
            seconds=row.seconds,
            tables_left_out=sum(bool(table.get("data_left_out")) for dump in row.databases for table in _tables(dump)),
            rows_left_out_bytes=sum(
                int(table.get("bytes_left_out", 0)) for dump in row.databases for table in _tables(dump)
            ),
            excluded_bytes=int((row.left_out or {}).get("bytes", 0)),
        )
        for row in tx.execute(query)
    ]


def count_backups(tx: Connection, since: datetime, domain_id: str | None = None) -> dict[str, int]:
    """Return how many backups ended since a moment, by the state in which they did."""
    query = (
        select(jobs.c.state, func.count().label("times"))
        .where(jobs.c.kind == JobKind.BACKUP, jobs.c.state.in_(ENDED), jobs.c.finished_at >= since)
        .group_by(jobs.c.state)
    )
    if domain_id is not None:
        query = query.where(jobs.c.domain_id == domain_id)
    return {row.state: row.times for row in tx.execute(query)}


def latest_failures(tx: Connection, kind: JobKind) -> dict[str, Job]:
    """Return by domain its newest ended job of a kind (cancelled ones apart) where that one failed."""
    states = [state for state in ENDED if state is not JobState.CANCELLED]
    newest = (
        select(jobs.c.id)
        .where(jobs.c.domain_id == domains.c.id, jobs.c.kind == kind, jobs.c.state.in_(states))
        .order_by(jobs.c.created_at.desc())
        .limit(1)
        .correlate(domains)
        .scalar_subquery()
    )
    ids = select(newest).select_from(domains)
    query = select(jobs).where(jobs.c.id.in_(ids), jobs.c.state == JobState.FAILED)
    return {row.domain_id: job_of_row(row) for row in tx.execute(query)}


def first_point_at(tx: Connection) -> datetime | None:
    return tx.execute(select(points.c.created_at).order_by(points.c.created_at).limit(1)).scalar()


def stored_by_day(tx: Connection, since: datetime) -> dict[str, int]:
    """Return the bytes that archives added on each day (ISO date)."""
    day = func.substr(points.c.created_at, 1, 10).label("day")
    query = (
        select(day, func.sum(points.c.archive_bytes).label("added")).where(points.c.created_at >= since).group_by(day)
    )
    return {row.day: int(row.added) for row in tx.execute(query)}


def forget_jobs(tx: Connection, before: datetime) -> list[str]:
    """Remove jobs that ended before a moment, with their logs; return their ids."""
    query = select(jobs.c.id).where(jobs.c.state.in_(ENDED), jobs.c.finished_at < before).limit(5000)
    ids = [row.id for row in tx.execute(query)]
    for begin in range(0, len(ids), 500):
        some = ids[begin : begin + 500]
        tx.execute(delete(job_log).where(job_log.c.job_id.in_(some)))
        tx.execute(delete(jobs).where(jobs.c.id.in_(some)))
    return ids


def _tables(dump: dict[str, Any]) -> list[dict[str, Any]]:  # Any: JSON
    """Return the rows of a dump's report; a dump that was imported has none."""
    return [table for table in dump["report"].get("tables") or [] if isinstance(table, dict)]


def forget_points(tx: Connection, domain_id: str) -> int:
    """Remove the records of a purged domain's points and analyses; return how many points there were."""
    tx.execute(delete(analyses).where(analyses.c.domain_id == domain_id))
    return tx.execute(delete(points).where(points.c.domain_id == domain_id)).rowcount


def list_audit_texts(tx: Connection, action: str, domain_id: str, limit: int) -> list[tuple[datetime, str]]:
    """Return (time, text) of a domain's audit rows of one action, newest first."""
    query = select(audit).where(audit.c.action == action, audit.c.domain_id == domain_id)
    return [(row.at, row.detail.get("text", "")) for row in tx.execute(query.order_by(audit.c.id.desc()).limit(limit))]

"""Records of jobs: what pages show, and the hand-over from whoever asks to whoever works."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from smartbackup_panel.adapters.db.tables import domains, job_log, jobs
from smartbackup_panel.core.errors import SmartBackupError
from smartbackup_panel.core.model import PRIORITY, Actor, Job, JobKind, JobState, LogLine, Progress, Role

UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def submit(
    tx: Connection,
    kind: JobKind,
    domain_id: str | None,
    actor: Actor,
    params: dict[str, object],
    key: str,
    now: datetime,
) -> tuple[Job, bool]:
    """Return the job for this request and whether it is new.

    A job of the same `key` that has not ended serves the new request too: the same click, hook and schedule at once make one job.
    """
    same = tx.execute(select(jobs).where(jobs.c.key == key, jobs.c.state.in_(UNFINISHED))).first()
    if same is not None:
        return job_of_row(same), False
    job_id = secrets.token_hex(16)
    tx.execute(
        insert(jobs).values(
            id=job_id,
            kind=kind,
            domain_id=domain_id,
            actor=asdict(actor),
            params=params,
            key=key,
            state=JobState.QUEUED,
            priority=PRIORITY[kind],
            created_at=now,
            progress=asdict(Progress()),
            cancel_requested=False,
            attempts=0,
        )
    )
    return get_job(tx, job_id), True


def find_by_key(tx: Connection, key: str) -> Job | None:
    """Return the newest job of a key, ended or not (a form's idempotency key makes one job however often it is sent)."""
    row = tx.execute(select(jobs).where(jobs.c.key == key).order_by(jobs.c.created_at.desc()).limit(1)).first()
    return None if row is None else job_of_row(row)


def start(tx: Connection, job_id: str, runner: str, now: datetime) -> Job | None:
    """Claim a job for `runner` and return it; None when it has ended or was cancelled before it began.

    One that had begun is claimed although its cancellation was asked for: it may have got past its point of no return,
    which its own first steps find out.
    """
    unfinished = (jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED))
    taken = tx.execute(
        update(jobs)
        .where(*unfinished, or_(jobs.c.cancel_requested.is_(False), jobs.c.attempts > 0))
        .values(
            state=JobState.RUNNING,
            runner=runner,
            started_at=now,
            attempts=jobs.c.attempts + 1,
            progress=asdict(Progress("starting")),
        )
    )
    if taken.rowcount == 1:
        return get_job(tx, job_id)
    tx.execute(update(jobs).where(*unfinished).values(state=JobState.CANCELLED, finished_at=now))
    return None


def set_progress(tx: Connection, job_id: str, progress: Progress) -> bool:
    """Record where a job is and return whether somebody asked for its cancellation."""
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(progress=asdict(progress)))
    return bool(tx.execute(select(jobs.c.cancel_requested).where(jobs.c.id == job_id)).scalar())


def set_result(tx: Connection, job_id: str, result: dict[str, object]) -> None:
    """Record what a job has done together with its effect, so that it is not done again after a crash."""
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(result=result))


def finish(
    tx: Connection,
    job_id: str,
    state: JobState,
    now: datetime,
    result: dict[str, object] | None,
    error: SmartBackupError | None,
) -> None:
    """Record the end of a job, once."""
    told = None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}
    values = {"state": state, "finished_at": now, "result": result, "error": told}
    tx.execute(update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED)).values(**values))


def request_cancel(tx: Connection, job_id: str, now: datetime) -> None:
    """Ask for a job's end; one that has not begun has ended with it."""
    asked = update(jobs).where(jobs.c.id == job_id)
    tx.execute(asked.where(jobs.c.state.in_(UNFINISHED)).values(cancel_requested=True))
    waits = (jobs.c.state == JobState.QUEUED, jobs.c.attempts == 0)
    tx.execute(asked.where(*waits).values(state=JobState.CANCELLED, finished_at=now))


def add_log(tx: Connection, job_id: str, lines: Iterable[LogLine]) -> None:
    rows = [{"job_id": job_id, "at": line.at, "level": line.level, "text": line.text} for line in lines]
    if rows:
        tx.execute(insert(job_log), rows)


def list_log(tx: Connection, job_id: str, limit: int = 500) -> list[LogLine]:
    rows = tx.execute(
        select(job_log).where(job_log.c.job_id == job_id).order_by(job_log.c.id.desc()).limit(limit)
    ).all()
    return [LogLine(row.at, row.level, row.text) for row in reversed(rows)]


def get_job(tx: Connection, job_id: str) -> Job:
    """Return a job; raises LookupError."""
    row = tx.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise LookupError(job_id)
    return job_of_row(row)


def find_unfinished(tx: Connection, job_id: str) -> Job | None:
    """Return a job that waits or runs; None for one that has ended or is not there."""
    row = tx.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED))).first()
    return None if row is None else job_of_row(row)


def list_jobs(tx: Connection, actor: Actor, *, domain_id: str | None = None, limit: int = 50) -> list[Job]:
    """Return the jobs that `actor` may see, newest first."""
    query = select(jobs).order_by(jobs.c.created_at.desc()).limit(limit)
    if domain_id is not None:
        query = query.where(jobs.c.domain_id == domain_id)
    if not actor.is_admin:
        query = query.join(domains, domains.c.id == jobs.c.domain_id).where(domains.c.owner == (actor.owner or ""))
    return [job_of_row(row) for row in tx.execute(query)]


def list_unfinished(tx: Connection, runner: str | None = None) -> list[Job]:
    """Return the jobs that wait or run, most urgent first; with `runner` only those that it runs."""
    query = select(jobs).where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.priority, jobs.c.created_at)
    if runner is not None:
        query = query.where(jobs.c.runner == runner)
    return [job_of_row(row) for row in tx.execute(query)]


def list_queued(tx: Connection) -> list[Job]:
    query = select(jobs).where(jobs.c.state == JobState.QUEUED).order_by(jobs.c.priority, jobs.c.created_at)
    return [job_of_row(row) for row in tx.execute(query)]


def list_runners(tx: Connection) -> dict[str, str | None]:
    """Return who runs each running job: job id → runner."""
    rows = tx.execute(select(jobs.c.id, jobs.c.runner).where(jobs.c.state == JobState.RUNNING))
    return {row.id: row.runner for row in rows}


def latest_jobs(tx: Connection, domain_ids: list[str]) -> dict[str, Job]:
    """Return the newest backup of each domain that has one."""
    newest: dict[str, Job] = {}
    query = select(jobs).where(
        jobs.c.domain_id.in_(domain_ids), or_(jobs.c.kind == JobKind.BACKUP, jobs.c.state.in_(UNFINISHED))
    )
    for row in tx.execute(query.order_by(jobs.c.created_at)):
        newest[row.domain_id] = job_of_row(row)
    return newest


def newest_backups(tx: Connection, domain_ids: list[str]) -> dict[str, datetime]:
    """Return when the newest backup of each domain that has one was asked for."""
    query = (
        select(jobs.c.domain_id, func.max(jobs.c.created_at).label("newest"))
        .where(jobs.c.domain_id.in_(domain_ids), jobs.c.kind == JobKind.BACKUP)
        .group_by(jobs.c.domain_id)
    )
    return {row.domain_id: row.newest for row in tx.execute(query)}


def list_failing_backups(tx: Connection, since: datetime) -> dict[str, list[Job]]:
    """Return by domain the backups that failed in a row up to now, newest first; none where one waits, runs or ended well."""
    is_backup = (jobs.c.kind == JobKind.BACKUP, jobs.c.created_at >= since)
    failing = select(jobs.c.domain_id).where(*is_backup, jobs.c.state == JobState.FAILED)
    query = select(jobs).where(*is_backup, jobs.c.domain_id.in_(failing)).order_by(jobs.c.created_at.desc())
    streaks: dict[str, list[Job]] = {}
    ended: set[str] = set()
    for row in tx.execute(query):
        if row.state != JobState.FAILED:
            ended.add(row.domain_id)
        elif row.domain_id not in ended:
            streaks.setdefault(row.domain_id, []).append(job_of_row(row))
    return streaks


def typical_seconds(tx: Connection, domain_id: str, kind: JobKind, limit: int = 5) -> float | None:
    """Return the mean duration of the last finished jobs of a kind, or None where there are none."""
    query = (
        select(jobs.c.started_at, jobs.c.finished_at)
        .where(jobs.c.domain_id == domain_id, jobs.c.kind == kind, jobs.c.state.in_((JobState.DONE, JobState.PARTIAL)))
        .order_by(jobs.c.finished_at.desc())
        .limit(limit)
    )
    spans = [(row.finished_at - row.started_at).total_seconds() for row in tx.execute(query)]
    return sum(spans) / len(spans) if spans else None


def job_of_row(row: Row[tuple[object, ...]]) -> Job:
    """Return the job of a row of the table `jobs`."""
    error = row.error or {}
    return Job(
        id=row.id,
        kind=JobKind(row.kind),
        domain_id=row.domain_id,
        actor=Actor(**{**row.actor, "role": Role(row.actor["role"])}),
        params=row.params,
        state=JobState(row.state),
        priority=row.priority,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        progress=Progress(**row.progress),
        result=row.result,
        error_code=error.get("code"),
        error_message=error.get("message"),
        error_hint=error.get("hint"),
        cancel_requested=row.cancel_requested,
        attempts=row.attempts,
    )

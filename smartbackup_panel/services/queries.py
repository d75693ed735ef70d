"""What pages and the command line read, filtered by the actor who asks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, jobs, people, points, restores, schedules
from smartbackup_panel.adapters.db.restores import RestorePhase
from smartbackup_panel.core.errors import NotAllowed, UnknownPoint
from smartbackup_panel.core.model import (
    Actor,
    Domain,
    DomainState,
    Job,
    JobKind,
    JobState,
    Point,
    PointState,
    Schedule,
)
from smartbackup_panel.services.alarms import WORKER_ALARM, find_problems
from smartbackup_panel.services.daily import READINGS, DayFigures, daily_figures
from smartbackup_panel.services.domains import domain_by_id, find_domain
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.pages import Dashboard, DomainPage, DomainRow, JobPage, NextRun, Problem, Undo
from smartbackup_panel.services.requests import job_of
from smartbackup_panel.services.scheduling import next_five


@dataclass(frozen=True, slots=True)
class Queries:
    """Reads of the state. Raises UnknownDomain, UnknownPoint, UnknownJob alike for "not there" and "not yours"."""

    installation: Installation

    def domain_named(self, actor: Actor, name: str) -> Domain:
        """Return a domain by its name."""
        with self.installation.state.read() as tx:
            return find_domain(tx, actor, name)

    def domains(self, actor: Actor, *, with_deleted: bool = False) -> list[Domain]:
        """Return the domains that the actor may see, by name."""
        with self.installation.state.read() as tx:
            return domains.list_domains(tx, actor, with_deleted=with_deleted)

    def points(self, actor: Actor, domain_id: str) -> list[Point]:
        """Return a domain's restore points, newest first."""
        with self.installation.state.read() as tx:
            return points.list_points(tx, domain_by_id(tx, actor, domain_id).id)

    def point(self, actor: Actor, domain_id: str, point_id: str) -> Point:
        """Return one restore point of a domain."""
        with self.installation.state.read() as tx:
            found = points.find_point(tx, domain_by_id(tx, actor, domain_id).id, point_id)
        if found is None:
            raise UnknownPoint("there is no such restore point")
        return found

    def point_named(self, actor: Actor, domain_id: str, text: str) -> Point:
        """Return a point by its id, the beginning of its id, its archive's or its time's name, or "latest"."""
        every = self.points(actor, domain_id)
        if text == "latest":
            matching = [point for point in every if point.is_restorable][:1]
        else:
            matching = [
                point for point in every if text in (point.id, point.archive, f"{point.created_at:%Y%m%d_%H%M%S}")
            ]
            if not matching and len(text) >= 6:
                matching = [point for point in every if point.id.startswith(text)]
        if len(matching) != 1:
            found = f"{len(matching)} restore points match" if matching else "no restore point matches"
            raise UnknownPoint(f"{found} {text!r}")
        return matching[0]

    def schedule(self, actor: Actor, domain_id: str) -> Schedule | None:
        with self.installation.state.read() as tx:
            return schedules.find_schedule(tx, domain_by_id(tx, actor, domain_id).id)

    def job(self, actor: Actor, job_id: str) -> Job:
        with self.installation.state.read() as tx:
            return job_of(tx, actor, job_id)

    def jobs(self, actor: Actor, limit: int = 50) -> list[tuple[Job, Domain | None]]:
        """Return the newest jobs with their domains."""
        with self.installation.state.read() as tx:
            found = jobs.list_jobs(tx, actor, limit=limit)
            known = {domain.id: domain for domain in domains.list_domains(tx, actor, with_deleted=True)}
        return [(job, known.get(job.domain_id or "")) for job in found]

    def dashboard(self, actor: Actor, search: str = "", order: str = "problems", only: str = "") -> Dashboard:
        """Return the first page: all counts are of every domain the actor may see, the rows of those that match.

        A worker that does not run has a place of its own on the page.
        """
        problems = [row for row in find_problems(self.installation, actor) if row.kind != WORKER_ALARM]
        troubled = {row.domain.id for row in problems if row.domain is not None}
        with self.installation.state.read() as tx:
            every = domains.list_domains(tx, actor)
            rows = self._rows(tx, every, troubled)
            stored = points.stored_bytes(tx) if actor.is_admin else 0
            heartbeat = people.find_note(tx, "worker")
        protected = sum(row.is_protected for row in rows)
        last = [row.last_point for row in rows if row.last_point is not None]
        read_back = sum(point.verified.is_read_back for point in last)
        return Dashboard(
            sentence=_sentence(actor, protected, len(rows), sum(row.domain.id in troubled for row in rows)),
            problems=tuple(problems),
            rows=tuple(_ordered(_matching(rows, problems, search, only), problems, order)),
            protected_count=protected,
            domain_count=len(rows),
            read_back_ratio=read_back / len(rows) if rows else 0.0,
            stored_bytes=stored,
            free_bytes=self._free_bytes() if actor.is_admin else None,
            oldest_point_at=min((point.created_at for point in last), default=None),
            worker_seen_at=heartbeat[1] if heartbeat else None,
        )

    def domain_page(self, actor: Actor, domain_id: str) -> DomainPage:
        """Return everything a domain's page shows."""
        now = self.installation.clock.now()
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            schedule = schedules.find_schedule(tx, domain.id)
            history = schedules.list_analyses(tx, domain.id, 1)
            recent = jobs.list_jobs(tx, actor, domain_id=domain.id, limit=20)
            return DomainPage(
                domain=domain,
                analysis=history[0] if history else None,
                schedule=schedule,
                next_run=_next_run(schedule),
                next_runs=next_five(schedule, now) if schedule else (),
                points=tuple(points.list_points(tx, domain.id)),
                running=_running(recent),
                jobs=tuple(recent),
                undo=_undo(tx, domain.id, None, now),
                stored_bytes=points.stored_bytes(tx, domain.id),
                runs_as_root=domain.owner_uid == 0,
            )

    def daily(self, actor: Actor, domain_id: str) -> tuple[DayFigures, ...]:
        """Return the last thirty days of a domain in figures, oldest first."""
        now = self.installation.clock.now()
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            schedule = schedules.find_schedule(tx, domain.id)
            readings = schedules.list_analyses(tx, domain.id, READINGS)
            every = points.list_points(tx, domain.id)
        zone = schedule.timezone if schedule else self.installation.settings.timezone
        return daily_figures(every, readings, now, zone)

    def job_page(self, actor: Actor, job_id: str) -> JobPage:
        """Return a job with its log; of a restore also the undo that it left."""
        now = self.installation.clock.now()
        with self.installation.state.read() as tx:
            job = job_of(tx, actor, job_id)
            return JobPage(
                job=job,
                domain=domain_by_id(tx, actor, job.domain_id) if job.domain_id else None,
                log=tuple(jobs.list_log(tx, job.id)),
                estimate_seconds=jobs.typical_seconds(tx, job.domain_id, job.kind) if job.domain_id else None,
                undo=_undo(tx, job.domain_id, job.id, now) if job.domain_id else None,
            )

    def metrics(self, actor: Actor) -> str:
        """Return all figures in Prometheus' text format; they name every domain. Raises NotAllowed for customers."""
        from smartbackup_panel.services.metrics import prometheus_text  # only who asks pays for the library

        if not actor.is_admin:
            raise NotAllowed("only an administrator sees the figures of the whole server")
        return prometheus_text(self.installation)

    def undo(self, actor: Actor, domain_id: str) -> Undo | None:
        """Return the restore of a domain that can be undone, if any."""
        with self.installation.state.read() as tx:
            return _undo(tx, domain_by_id(tx, actor, domain_id).id, None, self.installation.clock.now())

    def _rows(self, tx: Connection, every: list[Domain], troubled: set[str]) -> list[DomainRow]:
        ids = [domain.id for domain in every]
        newest, sizes = points.latest_points(tx, ids), points.size_history(tx, ids)
        plans, last = schedules.list_schedules(tx, ids), jobs.latest_jobs(tx, ids)
        rows = []
        for domain in every:
            point, job, schedule = newest.get(domain.id), last.get(domain.id), plans.get(domain.id)
            rows.append(
                DomainRow(
                    domain=domain,
                    is_protected=_is_protected(domain, point, troubled),
                    last_point=point,
                    next_run=_next_run(schedule),
                    running=job if job and not job.state.has_ended else None,
                    last_job=job,
                    size_bytes=point.original_bytes if point else 0,
                    strategy=schedule.strategy if schedule else "",
                    size_history=tuple(sizes.get(domain.id, ())),
                )
            )
        return rows

    def _free_bytes(self) -> int | None:
        try:
            room = os.statvfs(self.installation.settings.backup_root)
        except OSError:
            return None
        return room.f_bavail * room.f_frsize


def _is_protected(domain: Domain, point: Point | None, troubled: set[str]) -> bool:
    """Return whether a domain is there, has a good point, and nothing of it needs a person."""
    is_good = point is not None and point.state is PointState.GOOD
    return is_good and domain.state is not DomainState.MISSING and domain.id not in troubled


def _sentence(actor: Actor, protected: int, total: int, need: int) -> str:
    if not total:
        return "There are no domains yet; new ones are found by themselves."
    if protected == total and total > 1:
        return f"All {total} domains are protected."
    if protected == total:
        return "The one domain is protected." if actor.is_admin else "Your domain is protected."
    waiting = total - protected - need
    said = f"{protected} of {total} domain{'s are' if total != 1 else ' is'} protected"
    if need:
        said += f"; {need} need{'s' if need == 1 else ''} you"
    if waiting > 0:
        said += f"; {waiting} wait{'s' if waiting == 1 else ''} for {'its' if waiting == 1 else 'their'} first restore point"
    return said + "."


def _matching(rows: list[DomainRow], problems: list[Problem], search: str, only: str) -> list[DomainRow]:
    troubled = {problem.domain.id for problem in problems if problem.domain}
    wanted = search.strip().lower()
    kept = [row for row in rows if wanted in row.domain.name or wanted in row.domain.display_name.lower()]
    if only == "problems":
        return [row for row in kept if row.domain.id in troubled]
    if only == "protected":
        return [row for row in kept if row.is_protected]
    return kept


def _ordered(rows: list[DomainRow], problems: list[Problem], order: str) -> list[DomainRow]:
    troubled = {problem.domain.id for problem in problems if problem.domain}
    never = datetime.min
    keys = {
        "name": lambda row: (row.domain.name,),
        "size": lambda row: (-row.size_bytes, row.domain.name),
        "point": lambda row: (
            row.last_point.created_at.replace(tzinfo=None) if row.last_point else never,
            row.domain.name,
        ),
        "next": lambda row: (row.next_run.at is None, row.next_run.at and row.next_run.at.timestamp(), row.domain.name),
    }
    return sorted(
        rows, key=keys.get(order, lambda row: (row.domain.id not in troubled, row.is_protected, row.domain.name))
    )


def _next_run(schedule: Schedule | None) -> NextRun:
    if schedule is None:
        return NextRun(None, "decided after the first look at its files")
    return NextRun(schedule.next_run_at, schedule.reason)


def _running(recent: list[Job]) -> Job | None:
    """Return the job that runs, else the one that waits; plans are shown on their own page."""
    open_jobs = [job for job in recent if not job.state.has_ended and job.kind is not JobKind.PLAN]
    return min(open_jobs, key=lambda job: (job.state is JobState.QUEUED, job.created_at), default=None)


def _undo(tx: Connection, domain_id: str, job_id: str | None, now: datetime) -> Undo | None:
    for record in restores.list_restores(tx, RestorePhase.SWAPPED, domain_id=domain_id):
        if job_id in (None, record.id) and record.swapped_at and record.undo_until and record.undo_until > now:
            point = points.find_point(tx, domain_id, record.point_id or "")
            return Undo(record.id, point, record.swapped_at, record.undo_until, record.restored_by)
    return None

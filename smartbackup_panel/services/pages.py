"""What pages and the command line show: plain rows, already filtered by the actor who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from smartbackup_panel.core.model import Analysis, Domain, Job, LogLine, Point, Schedule


@dataclass(frozen=True, slots=True)
class NextRun:
    """When a domain is backed up next, and the sentence that says why then."""

    at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person: what it is, of which domain, since when, and what to do next."""

    domain: Domain | None
    sentence: str
    next_action: str
    since: datetime | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DomainRow:
    """A domain as the dashboard lists it. `size_history` holds (time, bytes) of up to 30 points, oldest first."""

    domain: Domain
    is_protected: bool
    last_point: Point | None
    next_run: NextRun
    running: Job | None
    last_job: Job | None
    size_bytes: int
    strategy: str
    size_history: tuple[tuple[datetime, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The first page. `sentence` is the glance: "212 of 214 domains are protected; 2 need you"."""

    sentence: str
    problems: tuple[Problem, ...]
    rows: tuple[DomainRow, ...]
    protected_count: int
    domain_count: int
    read_back_ratio: float
    stored_bytes: int
    free_bytes: int | None
    oldest_point_at: datetime | None
    worker_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Undo:
    """A restore that can be taken back until a moment."""

    restore_job_id: str
    point: Point | None
    restored_at: datetime
    until: datetime
    restored_by: str


@dataclass(frozen=True, slots=True)
class DomainPage:
    """Everything a domain's page shows; points newest first, jobs newest first."""

    domain: Domain
    analysis: Analysis | None
    schedule: Schedule | None
    next_run: NextRun
    next_runs: tuple[datetime, ...]
    points: tuple[Point, ...]
    running: Job | None
    jobs: tuple[Job, ...]
    undo: Undo | None
    stored_bytes: int
    runs_as_root: bool


@dataclass(frozen=True, slots=True)
class JobPage:
    """A job with its log, its domain, and for a restore the undo that it left."""

    job: Job
    domain: Domain | None
    log: tuple[LogLine, ...]
    estimate_seconds: float | None
    undo: Undo | None

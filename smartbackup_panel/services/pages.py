"""What pages and the command line show: plain rows, already filtered by the actor who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from smartbackup_panel.core.model import Analysis, Domain, Job, LogLine, Point, Schedule
from smartbackup_panel.core.tree import Entry


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
    kind: str = ""


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


@dataclass(frozen=True, slots=True)
class Folder:
    """What a point holds in a folder, by name; `total` counts all of it, `after` is where the next page begins."""

    domain: Domain
    point: Point
    path: bytes
    entries: tuple[Entry, ...]
    total: int
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Version:
    """What a path was in some points, which follow one another (newest first). `is_newest`: the newest point has it still."""

    entry: Entry
    points: tuple[Point, ...]
    is_newest: bool


@dataclass(frozen=True, slots=True)
class History:
    """What a path was over all points, newest first."""

    domain: Domain
    path: bytes
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that differs between two points: `then` is None where it was added, `later` where it was removed."""

    path: bytes
    then: Entry | None
    later: Entry | None

    @property
    def has_other_content(self) -> bool:
        """Whether more than owner, mode and time differ."""
        if self.then is None or self.later is None:
            return True
        return (self.then.sha256, self.then.link, self.then.type) != (
            self.later.sha256,
            self.later.link,
            self.later.type,
        )


@dataclass(frozen=True, slots=True)
class Differences:
    """How many paths differ in one way, a page of them in path order, and the last path of it where more follow."""

    total: int
    rows: tuple[Difference, ...]
    after: bytes | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two points of a domain and what differs; folders do not count."""

    domain: Domain
    older: Point
    newer: Point
    added: Differences
    changed: Differences
    removed: Differences


@dataclass(frozen=True, slots=True)
class Found:
    """Paths whose name contains a text, those that are there now first; `has_more` when only the first are here."""

    domain: Domain
    text: str
    hits: tuple[Version, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A download in the hands of the one who asked: an open file that has no name any more, and what to call it."""

    fd: int
    name: bytes
    size_bytes: int

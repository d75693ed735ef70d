"""The things the product speaks of: domains, points, jobs, schedules and who asks for what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from smartbackup_panel.core.tree import PointKind as PointKind


class Role(StrEnum):
    """What an account may do: an admin everything, a customer what concerns the domains it owns."""

    ADMIN = "admin"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `owner` is the panel account whose domains a customer sees; admins see all.

    Every service takes an actor first and filters by it (docs/security.md, rule 28).
    """

    login: str
    role: Role
    owner: str | None = None
    source: str = "web"

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def may_see(self, owner: str) -> bool:
        """Return whether objects of the panel account `owner` exist for this actor."""
        return self.is_admin or (self.owner is not None and self.owner == owner)


COMMAND_LINE = Actor("command line", Role.ADMIN, source="cli")
SCHEDULER = Actor("schedule", Role.ADMIN, source="schedule")
PANEL = Actor("panel", Role.ADMIN, source="panel")


class DomainState(StrEnum):
    """active: covered · missing: its folder is gone, but no panel said so · suspended: by the panel · deleted: kept for the grace period."""

    ACTIVE = "active"
    MISSING = "missing"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class PanelDomain:
    """A domain as a panel's inventory tells it. `uid` is the panel's immutable id; `root` is the folder that is backed up, whole."""

    uid: str
    name: str
    display_name: str
    owner: str
    owner_uid: int
    owner_gid: int
    root: str
    access_log: str | None = None
    suspended: bool = False
    nested_roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that is or was covered. `id` is ours, random and never used again; `store_folder` is its folder's name in the store."""

    id: str
    panel: str
    panel_uid: str
    name: str
    display_name: str
    owner: str
    owner_uid: int
    owner_gid: int
    root: str
    state: DomainState
    store_folder: str
    access_log: str | None = None
    nested_roots: tuple[str, ...] = ()
    document_root: str | None = None
    application: str | None = None
    created_at: datetime | None = None
    deleted_at: datetime | None = None


class Strategy(StrEnum):
    """How a domain is backed up over time (docs/design.md, "Strategy")."""

    FULL = "full"
    INCREMENTAL = "incremental"
    MIXED = "mixed"
    DIFFERENTIAL = "differential"


class PointState(StrEnum):
    """good: nothing is missing · partial: something was skipped, it is listed · damaged: not offered for a restore."""

    GOOD = "good"
    PARTIAL = "partial"
    DAMAGED = "damaged"


class Verified(StrEnum):
    """How far a point was proved, weakest first: nothing yet · written and synced · some of its files read back ·
    every byte of its own archive and dumps read back · that of everything it builds on too."""

    NOT = "not"
    WRITTEN = "written"
    SAMPLED = "sampled"
    READ_BACK = "read back"
    CHAIN = "whole chain"

    @property
    def is_read_back(self) -> bool:
        """Whether every byte of the point's own archive was read back."""
        return self in (Verified.READ_BACK, Verified.CHAIN)

    def reaches(self, other: Verified) -> bool:
        """Return whether this proves at least as much as `other`."""
        order = list(Verified)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class DumpFile:
    """One database of a point: its dump's file name and sizes in bytes. `report` are the fields of a DumpReport.

    `is_earlier`: nothing had changed, so the file is that of an earlier point, which counts its bytes.
    `is_foreign`: another program made it and left out what it pleased; a restore keeps tables that it does not hold.
    """

    database: str
    kind: str
    archive: str
    archive_bytes: int
    original_bytes: int
    sha256: str
    report: dict[str, object] = field(default_factory=dict)
    is_earlier: bool = False
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A moment that a domain can go back to.

    `unchanged`: nothing differs from the point it builds on. `synthetic`: a full point that took over content from earlier
    ones. `read_whole`: every file was read and hashed for it, also what looked unchanged.
    `damage` says in a sentence what is wrong with a damaged point, `verified_at` when all of its bytes were last read,
    `left_out` which patterns held and what they left out (fields of services.exclusions.left_out_fields), `imported` which
    archives of another program it was made of (fields of services.importing).
    """

    id: str
    domain_id: str
    kind: PointKind
    state: PointState
    verified: Verified
    created_at: datetime
    archive: str | None
    archive_bytes: int
    original_bytes: int
    file_count: int
    added: int
    changed: int
    deleted: int
    parent_id: str | None
    root_digest: str | None
    sha256: str | None
    databases: tuple[DumpFile, ...] = ()
    skipped: tuple[dict[str, str], ...] = ()
    skipped_count: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    database_only: bool = False
    pinned: bool = False
    verified_at: datetime | None = None
    unchanged: bool = False
    synthetic: bool = False
    read_whole: bool = False
    damage: str = ""
    damaged_at: datetime | None = None
    left_out: dict[str, object] | None = None
    imported: dict[str, object] | None = None

    @property
    def is_restorable(self) -> bool:
        return self.state is not PointState.DAMAGED and self.verified is not Verified.NOT


class JobKind(StrEnum):
    """What a job does; one job of a domain runs at a time."""

    ANALYSE = "analyse"
    BACKUP = "backup"
    VERIFY = "verify"
    PLAN = "plan"
    RESTORE = "restore"
    UNDO = "undo"
    EXPORT = "export"
    IMPORT = "import"
    RECONCILE = "reconcile"
    RETENTION = "retention"
    SCRUB = "scrub"


class JobState(StrEnum):
    """queued → running → done | partial | failed | cancelled. `partial` is done with a list of what is missing."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


# Lower runs first: somebody who waits for a site is served before a nightly run.
PRIORITY = {
    JobKind.UNDO: 1,
    JobKind.RESTORE: 1,
    JobKind.PLAN: 2,
    JobKind.EXPORT: 2,
    JobKind.RECONCILE: 3,
    JobKind.IMPORT: 4,
    JobKind.BACKUP: 5,
    JobKind.ANALYSE: 6,
    JobKind.VERIFY: 7,
    JobKind.RETENTION: 8,
    JobKind.SCRUB: 9,
}


ALONGSIDE = frozenset({JobKind.EXPORT})
"""Jobs that only read finished archives: they wait for no other job of their domain."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a running job is. Sizes in bytes; a total of 0 means not known yet."""

    phase: str = "waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    done_files: int = 0
    total_files: int = 0

    @property
    def ratio(self) -> float | None:
        """Return the finished share of this phase (0.0 to 1.0), or None where no total is known."""
        if self.total_bytes:
            return min(1.0, self.done_bytes / self.total_bytes)
        if self.total_files:
            return min(1.0, self.done_files / self.total_files)
        return None


@dataclass(frozen=True, slots=True)
class Job:
    """One queued, running or finished run, as pages and the command line show it."""

    id: str
    kind: JobKind
    domain_id: str | None
    actor: Actor
    params: dict[str, object]
    state: JobState
    priority: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress = Progress()
    result: dict[str, object] | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_hint: str | None = None
    cancel_requested: bool = False
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    at: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """One cron expression of a domain and the kind of point it makes (None: as the strategy says)."""

    cron: str
    kind: PointKind | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a domain is backed up, in its time zone, and the sentence that says why.

    `first_run_at` is the first run of these lines: before it they miss no point.
    """

    lines: tuple[ScheduleLine, ...]
    timezone: str
    strategy: Strategy
    reason: str
    pinned: bool = False
    next_run_at: datetime | None = None
    first_run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a scan, the traffic log and history say of a domain. `size_bytes` counts what would be stored after exclusions."""

    file_changes: int
    activity_level: str
    traffic_requests: int
    average_daily_changes: float
    trend: str
    size_bytes: int
    size_category: str
    file_count: int
    application: str
    analysed_at: datetime
    seconds: float

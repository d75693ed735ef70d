"""Services in memory for tests of the pages: three tenants' sample domains, jobs that move when they are looked at."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from smartbackup_panel.core.database_choice import NO_TABLES, Tables, fields_of
from smartbackup_panel.core.databases import DumpReport, TableDump
from smartbackup_panel.core.errors import NotAllowed, NothingToUndo, UnknownDomain, UnknownJob, UnknownPoint, WrongUsage
from smartbackup_panel.core.model import (
    Actor,
    Analysis,
    Domain,
    DomainState,
    DumpFile,
    Job,
    JobKind,
    JobState,
    LogLine,
    Point,
    PointKind,
    PointState,
    Progress,
    Role,
    Schedule,
    ScheduleLine,
    Strategy,
    Verified,
)
from smartbackup_panel.core.surroundings import SiteAnswer
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.services.daily import DayFigures, daily_figures
from smartbackup_panel.services.pages import Dashboard, DomainPage, DomainRow, JobPage, NextRun, Problem, Undo
from tests.support.fake_choices import FakeExclusionPreviews, FakePolicies, FakeRowsLeftOut, FakeScheduleChoice
from tests.support.fake_contents import FakeContents, FakeDownloads, checked, export_result

ROSA, ALICE, BOB = "rosa", "alice", "bob"
PASSWORD = "correct horse battery"
SHOP, BLOG, NEW, LOST, BOBS = (f"{number:032x}" for number in range(0xA1, 0xA6))


@dataclass(frozen=True)
class FakeAccount:
    """An account of the standalone host."""

    login: str
    role: Role
    owner: str | None
    version: int = 1


ACCOUNTS = {
    ROSA: FakeAccount(ROSA, Role.ADMIN, None),
    ALICE: FakeAccount(ALICE, Role.CUSTOMER, "alice"),
    BOB: FakeAccount(BOB, Role.CUSTOMER, "bob"),
}
ADMIN = Actor(ROSA, Role.ADMIN)
CUSTOMER_ALICE = Actor(ALICE, Role.CUSTOMER, "alice")
CUSTOMER_BOB = Actor(BOB, Role.CUSTOMER, "bob")


def a_domain(domain_id: str, name: str, owner: str, state: DomainState = DomainState.ACTIVE, **more: str) -> Domain:
    """Return a domain of the directory panel."""
    return Domain(
        id=domain_id,
        panel="directory",
        panel_uid=name,
        name=name,
        display_name=more.get("display_name", name),
        owner=owner,
        owner_uid=20001,
        owner_gid=20001,
        root=f"/var/www/{name}",
        state=state,
        store_folder=name,
        application=more.get("application"),
    )


def a_point(domain_id: str, number: int, created_at: datetime, kind: PointKind, **more: object) -> Point:
    """Return a read-back point; `more` replaces fields."""
    point = Point(
        id=f"{int(domain_id, 16) * 1000 + number:032x}",
        domain_id=domain_id,
        kind=kind,
        state=PointState.GOOD,
        verified=Verified.READ_BACK,
        created_at=created_at,
        archive=f"backup_{created_at:%Y%m%d_%H%M%S}.tar.gz",
        archive_bytes=118_400_000 if kind is PointKind.FULL else 2_310_000,
        original_bytes=312_000_000,
        file_count=4_812,
        added=0 if kind is PointKind.FULL else 3 + number % 4,
        changed=0 if kind is PointKind.FULL else 28 + number,
        deleted=0 if kind is PointKind.FULL else number % 3,
        parent_id=None if kind is PointKind.FULL else "f" * 32,
        root_digest="0" * 64,
        sha256="1" * 64,
        databases=(
            DumpFile("shop_wp", "mysql", "database.sql.gz", 1_900_000, 14_200_000, "2" * 64, a_report().to_fields()),
        ),
        seconds=21.4,
    )
    return replace(point, **more)  # type: ignore[arg-type]  # the tests' own literals


def a_report() -> DumpReport:
    """Return what the dump of a shop of twelve tables says of itself."""
    tables = (
        TableDump("wp_options", 400, 190_000, rows_left_out=900, bytes_left_out=310_000),
        *(TableDump(f"wp_{number}", 10, 1_000) for number in range(11)),
    )
    nothing: tuple[str, ...] = ()
    return DumpReport(
        "shop_wp", tables, nothing, nothing, nothing, nothing, "10.11", datetime(2026, 1, 1, tzinfo=UTC), True
    )


def an_analysis(now: datetime) -> Analysis:
    return Analysis(
        file_changes=31,
        activity_level="medium",
        traffic_requests=8_420,
        average_daily_changes=27.5,
        trend="rising",
        size_bytes=312_000_000,
        size_category="medium",
        file_count=4_812,
        application="WordPress",
        analysed_at=now - timedelta(hours=2),
        seconds=0.4,
    )


PLAN_RESULT: dict[str, object] = {
    "added": 12,
    "replaced": 299,
    "removed": 0,
    "kept": 4,
    "unchanged": 4_501,
    "names": {
        "added": ["wp-content/themes/shop/style.css", "index.php"],
        "replaced": ["wp-config.php", "wp-includes/version.php"],
        "removed": [],
        "kept": ["wp-content/uploads/2026/11/new-lamp.jpg"],
    },
    "bytes": 48_000_000,
    "free_bytes": 61_000_000_000,
    "seconds": 20,
    "tables": [{"database": "shop_wp", "table": f"wp_{name}", "then": 40, "now": 42} for name in "abcdefghijkl"],
    "lost": ["2 comments written since then would be lost."],
    "warnings": [],
}


@dataclass
class World:
    """Everything that the fakes know. `clock` can be replaced; jobs go one step further each time they are shown."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    domains: dict[str, Domain] = field(default_factory=dict)
    points: dict[str, list[Point]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    undos: dict[str, Undo] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    held_at: str = ""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(0xB0000001))

    def domain(self, actor: Actor, domain_id: str) -> Domain:
        domain = self.domains.get(domain_id)
        if domain is None or not actor.may_see(domain.owner):
            raise UnknownDomain(f"no domain {domain_id}")
        return domain

    def point(self, actor: Actor, domain_id: str, point_id: str) -> Point:
        self.domain(actor, domain_id)
        for point in self.points.get(domain_id, []):
            if point.id == point_id:
                return point
        raise UnknownPoint(f"no point {point_id}")

    def job(self, actor: Actor, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None or job.domain_id is None or not actor.may_see(self.domains[job.domain_id].owner):
            raise UnknownJob(f"no job {job_id}")
        return job

    def start(self, actor: Actor, kind: JobKind, domain_id: str, params: dict[str, object]) -> Job:
        now = self.clock()
        job = Job(f"{next(self._numbers):032x}", kind, domain_id, actor, params, JobState.QUEUED, 5, now)
        self.jobs[job.id] = job
        self.asked.append((kind.value, domain_id))
        return job

    def advance(self, job_id: str) -> Job:
        """Move a job one step: queued, then its phases, then done; it stays in the phase `held_at` until that is another."""
        job = self.jobs[job_id]
        if job.state.has_ended:
            return job
        phases = {
            JobKind.BACKUP: ("reading the site", "verifying"),
            JobKind.RESTORE: ("comparing", "swapping"),
            JobKind.UNDO: ("swapping",),
            JobKind.PLAN: ("comparing",),
            JobKind.EXPORT: ("collecting",),
        }.get(job.kind, ("verifying",))
        if job.cancel_requested:
            job = replace(job, state=JobState.CANCELLED, finished_at=self.clock())
        elif job.state is JobState.RUNNING and job.progress.phase == self.held_at:
            return job
        elif job.state is JobState.QUEUED:
            job = self._in_phase(job, phases[0])
        elif phases.index(job.progress.phase) + 1 < len(phases):
            job = self._in_phase(job, phases[phases.index(job.progress.phase) + 1])
        else:
            job = self._finish(job)
        self.jobs[job_id] = job
        return job

    def _in_phase(self, job: Job, phase: str) -> Job:
        progress = Progress(phase, 124_000_000, 312_000_000, 1_911, 4_812)
        return replace(job, state=JobState.RUNNING, started_at=job.started_at or self.clock(), progress=progress)

    def _finish(self, job: Job) -> Job:
        assert job.domain_id is not None
        now, result = self.clock(), {}
        if job.kind is JobKind.PLAN:
            point = next(p for p in self.points[job.domain_id] if p.id == job.params["point"])
            result = PLAN_RESULT | job.params | {"created_at": point.created_at.isoformat()}
            if not job.params["databases"]:
                result |= {"tables": [], "lost": []}
            if job.params["exact"]:
                result |= {"removed": 4, "kept": 0, "names": {"removed": ["shell.php"]}}
        elif job.kind is JobKind.RESTORE:
            until = now + timedelta(days=7)
            result = {
                "restored_files": 311,
                "removed_files": 0,
                "databases": ["shop_wp"],
                "undo_until": until.isoformat(),
            }
            self.undos[job.domain_id] = Undo(job.id, None, now, until, job.actor.login)
        elif job.kind is JobKind.UNDO:
            self.undos.pop(job.domain_id, None)
            result = {"restored_files": 311}
        elif job.kind is JobKind.EXPORT:
            result = export_result(job) | {"until": (now + timedelta(minutes=10)).isoformat()}
        elif job.kind is JobKind.BACKUP:
            points = self.points.setdefault(job.domain_id, [])
            points.insert(0, a_point(job.domain_id, len(points) + 1, now, PointKind.INCREMENTAL))
            result = {
                "file_count": 4_812,
                "original_bytes": 312_000_000,
                "changed": 31,
                "deleted": 2,
                "archive_bytes": 2_310_000,
            }
        return replace(job, state=JobState.DONE, finished_at=now, result=result)


@dataclass
class FakeQueries:
    """Reads of the world, filtered by the actor."""

    world: World

    def dashboard(self, actor: Actor, search: str = "", order: str = "problems", only: str = "") -> Dashboard:
        mine = [domain for domain in self.world.domains.values() if actor.may_see(domain.owner)]
        rows = [self._row(domain) for domain in mine if search.lower() in domain.name]
        if only == "problems":
            rows = [row for row in rows if not row.is_protected]
        problems = tuple(
            Problem(
                row.domain,
                f"The folder of {row.domain.display_name} is gone.",
                "Put the site back from its last restore point, or tell the panel that the domain is deleted.",
                self.world.clock() - timedelta(hours=5),
            )
            for row in rows
            if row.domain.state is DomainState.MISSING
        )
        protected = sum(row.is_protected for row in rows)
        sentence = f"{protected} of {len(rows)} domains are protected; {len(problems)} needs you."
        return Dashboard(
            sentence=sentence if problems else "Your domain is protected.",
            problems=problems,
            rows=tuple(rows),
            protected_count=protected,
            domain_count=len(rows),
            read_back_ratio=0.99,
            stored_bytes=18_400_000_000,
            free_bytes=212_000_000_000,
            oldest_point_at=self.world.clock() - timedelta(hours=19),
            worker_seen_at=self.world.clock() - timedelta(seconds=8),
        )

    def _row(self, domain: Domain) -> DomainRow:
        points = self.world.points.get(domain.id, [])
        running = self._running(domain.id)
        now = self.world.clock()
        history = [(point.created_at, point.original_bytes - 4_000_000 * place) for place, point in enumerate(points)]
        return DomainRow(
            domain=domain,
            is_protected=bool(points) and domain.state is DomainState.ACTIVE,
            last_point=points[0] if points else None,
            next_run=NextRun(now + timedelta(hours=9, minutes=len(domain.name) * 7), "quietest hour, 31 files a day"),
            running=running,
            last_job=running,
            size_bytes=points[0].original_bytes if points else 0,
            strategy="incremental",
            size_history=tuple(reversed(history)),
        )

    def _running(self, domain_id: str) -> Job | None:
        open_jobs = [
            job
            for job in self.world.jobs.values()
            if job.domain_id == domain_id and not job.state.has_ended and job.kind is not JobKind.PLAN
        ]
        return self.world.advance(open_jobs[0].id) if open_jobs else None

    def domain_page(self, actor: Actor, domain_id: str) -> DomainPage:
        domain = self.world.domain(actor, domain_id)
        running = self._running(domain_id)
        running = running if running and not running.state.has_ended else None
        points = tuple(self.world.points.get(domain_id, []))
        now = self.world.clock()
        next_at = now + timedelta(minutes=4) if not points else now + timedelta(hours=9)
        lines = (ScheduleLine("40 2 * * 1-6", PointKind.INCREMENTAL), ScheduleLine("40 2 * * 0", PointKind.FULL))
        return DomainPage(
            domain=domain,
            analysis=an_analysis(now),
            schedule=Schedule(
                lines, "Europe/Berlin", Strategy.INCREMENTAL, "medium size and activity: increments are small"
            ),
            next_run=NextRun(next_at, "quietest hour, 31 files a day"),
            next_runs=tuple(next_at + timedelta(days=day) for day in range(5)),
            points=points,
            running=running,
            jobs=tuple(job for job in reversed(self.world.jobs.values()) if job.domain_id == domain_id),
            undo=self.world.undos.get(domain_id),
            stored_bytes=142_000_000,
            runs_as_root=False,
        )

    def daily(self, actor: Actor, domain_id: str) -> tuple[DayFigures, ...]:
        self.world.domain(actor, domain_id)
        now = self.world.clock()
        readings = [
            replace(
                an_analysis(now - timedelta(days=day)),
                file_changes=31 + 7 * (day % 5),
                traffic_requests=8_420 - 90 * day,
            )
            for day in range(12)
        ]
        return daily_figures(self.world.points.get(domain_id, []), readings, now, "Europe/Berlin")

    def job_page(self, actor: Actor, job_id: str) -> JobPage:
        self.world.job(actor, job_id)
        job = self.world.advance(job_id)
        undo = self.world.undos.get(job.domain_id or "")
        log = (
            LogLine(job.created_at, "info", "asked for"),
            LogLine(job.created_at, "warning", "one file changed while it was read"),
        )
        return JobPage(
            job,
            self.world.domains[job.domain_id or ""],
            log,
            20.0,
            undo if undo and undo.restore_job_id == job.id else None,
        )

    def jobs(self, actor: Actor, limit: int = 50) -> list[tuple[Job, Domain | None]]:
        rows: list[tuple[Job, Domain | None]] = []
        for job in reversed(self.world.jobs.values()):
            domain = self.world.domains.get(job.domain_id or "")
            if domain and actor.may_see(domain.owner):
                rows.append((job, domain))
        return rows[:limit]

    def metrics(self, actor: Actor) -> str:
        if not actor.is_admin:
            raise NotAllowed("only an administrator sees the figures of the whole server")
        return f"smartbackup_domains {len(self.world.domains)}.0\n"

    def point(self, actor: Actor, domain_id: str, point_id: str) -> Point:
        return self.world.point(actor, domain_id, point_id)


@dataclass
class FakeRequests:
    """Asks the world for work."""

    world: World

    def backup(self, actor: Actor, domain_id: str, kind: str = "auto") -> Job:
        self.world.domain(actor, domain_id)
        for job in self.world.jobs.values():
            if job.domain_id == domain_id and job.kind is JobKind.BACKUP and not job.state.has_ended:
                return job
        return self.world.start(actor, JobKind.BACKUP, domain_id, {"type": kind})

    def backup_many(self, actor: Actor, domain_ids: Sequence[str]) -> list[Job]:
        if not domain_ids:
            raise WrongUsage("0 domains are selected")
        for domain_id in domain_ids:
            self.world.domain(actor, domain_id)
        return [self.backup(actor, domain_id) for domain_id in domain_ids]

    def plan(
        self,
        actor: Actor,
        domain_id: str,
        point_id: str,
        files: bool,
        databases: bool,
        exact: bool,
        paths: tuple[str, ...] = (),
        tables: Tables = NO_TABLES,
        into: str | None = None,
    ) -> Job:
        point = self.world.point(actor, domain_id, point_id)
        params: dict[str, object] = {"point": point.id, "files": files, "databases": databases, "exact": exact}
        params |= fields_of(point.databases, tables, into)
        params |= {"paths": [os.fsdecode(checked(os.fsencode(path))) for path in paths]} if paths else {}
        return self.world.start(actor, JobKind.PLAN, domain_id, params)

    def restore(
        self, actor: Actor, plan_job_id: str, typed_name: str | None, key: str, keep_newer: bool = False
    ) -> Job:
        plan = self.world.job(actor, plan_job_id)
        assert plan.domain_id is not None
        if plan.params["exact"] and typed_name != self.world.domains[plan.domain_id].name:
            raise WrongUsage("the domain's name was not typed")
        params = plan.params | ({"keep_newer": True} if keep_newer else {})
        return self._once(key, lambda: self.world.start(actor, JobKind.RESTORE, plan.domain_id or "", params))

    def undo(self, actor: Actor, domain_id: str, restore_job_id: str, key: str) -> Job:
        self.world.domain(actor, domain_id)
        if domain_id not in self.world.undos:
            raise NothingToUndo("there is no restore that can be undone")
        return self._once(key, lambda: self.world.start(actor, JobKind.UNDO, domain_id, {"restore": restore_job_id}))

    def export(self, actor: Actor, domain_id: str, point_id: str, paths: tuple[str, ...], kind: ExportFormat) -> Job:
        point = self.world.point(actor, domain_id, point_id)
        names = [os.fsdecode(checked(os.fsencode(path))) for path in paths]
        params: dict[str, object] = {"point": point.id, "paths": names, "format": kind.value}
        return self.world.start(actor, JobKind.EXPORT, domain_id, params)

    def text_diff(self, actor: Actor, domain_id: str, older_id: str, newer_id: str, path: str) -> Job:
        points = [self.world.point(actor, domain_id, point_id).id for point_id in (older_id, newer_id)]
        params: dict[str, object] = {"older": points[0], "newer": points[1], "path": path, "format": "diff"}
        return self.world.start(actor, JobKind.EXPORT, domain_id, params)

    def cancel(self, actor: Actor, job_id: str) -> None:
        self.world.jobs[job_id] = replace(self.world.job(actor, job_id), cancel_requested=True)
        self.world.asked.append(("cancel", job_id))

    def verify(self, actor: Actor, domain_id: str, point_id: str) -> Job:
        self.world.point(actor, domain_id, point_id)
        return self.world.start(actor, JobKind.VERIFY, domain_id, {"point": point_id})

    def _once(self, key: str, start: Callable[[], Job]) -> Job:
        if key not in self.world.keys:
            self.world.keys[key] = start().id
        return self.world.jobs[self.world.keys[key]]


class FakeAccounts:
    """Rosa, Alice and Bob, all with one password. `versions` ends sessions as a new password would."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}

    def check_password(self, login: str, password: str, address: str) -> FakeAccount | None:
        return self.get(login) if password == PASSWORD else None

    def get(self, login: str) -> FakeAccount | None:
        account = ACCOUNTS.get(login)
        return replace(account, version=self.versions.get(login, 1)) if account else None


@dataclass
class FakeSites:
    """Sites that answer as `answers` says; the others are not asked."""

    world: World
    answers: dict[str, SiteAnswer] = field(default_factory=dict)

    def last_answer(self, actor: Actor, domain_id: str) -> SiteAnswer | None:
        return self.answers.get(self.world.domain(actor, domain_id).id)

    def ask(self, actor: Actor, domain_id: str) -> SiteAnswer | None:
        return self.last_answer(actor, domain_id)


@dataclass
class FakeServices:
    """What open_services() returns, in memory."""

    world: World
    queries: FakeQueries
    requests: FakeRequests
    accounts: FakeAccounts
    contents: FakeContents
    downloads: FakeDownloads
    policies: FakePolicies
    exclusion_previews: FakeExclusionPreviews
    left_out: FakeRowsLeftOut
    schedule_choice: FakeScheduleChoice
    sites: FakeSites

    def web_secret(self) -> bytes:
        return b"k" * 32


def sample_points(domain_id: str, now: datetime) -> list[Point]:
    """Return three weeks of points, newest first: a partial one, a damaged one, a day without."""
    points = [a_point(domain_id, 60, now - timedelta(hours=2, minutes=12), PointKind.INCREMENTAL)]
    for day in range(1, 21):
        if day == 9:
            continue
        kind = PointKind.FULL if day % 7 == 0 else PointKind.INCREMENTAL
        points.append(a_point(domain_id, 60 - day, now - timedelta(days=day, hours=3), kind))
    skipped = ({"path": "cache/object.sock", "reason": "socket"}, {"path": "private/key.pem", "reason": "unreadable"})
    warning = ("1 path could not be read and is not in this point.",)
    points[2] = replace(points[2], state=PointState.PARTIAL, skipped=skipped, skipped_count=2, warnings=warning)
    points[4] = replace(points[4], state=PointState.DAMAGED)
    return points


def sample_services(clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> FakeServices:
    """Return services over a fresh sample world: Alice has a shop, a blog and a new site; one of hers is lost; Bob has one."""
    world = World(clock)
    for domain in (
        a_domain(SHOP, "shop.example.com", "alice", application="WordPress"),
        a_domain(BLOG, "xn--mller-kva.example", "alice", display_name="müller.example", application="Laravel"),
        a_domain(NEW, "new.example.org", "alice"),
        a_domain(LOST, "old-campaign.example.net", "carol", DomainState.MISSING),
        a_domain(BOBS, "bob.example.com", "bob"),
    ):
        world.domains[domain.id] = domain
        world.points[domain.id] = [] if domain.id == NEW else sample_points(domain.id, clock())
    world.points[LOST] = world.points[LOST][3:]
    policies = FakePolicies(world)
    return FakeServices(
        world,
        FakeQueries(world),
        FakeRequests(world),
        FakeAccounts(),
        FakeContents(world),
        FakeDownloads(world),
        policies,
        FakeExclusionPreviews(policies),
        FakeRowsLeftOut(world),
        FakeScheduleChoice(world),
        FakeSites(world),
    )

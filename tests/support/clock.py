"""A clock that stands still until a test moves it, and an installation's services that live by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smartbackup_panel.adapters.db import domains, jobs, points, schedules
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.activity import activity_level, size_category
from smartbackup_panel.core.model import (
    PANEL,
    Analysis,
    Domain,
    Job,
    JobState,
    PanelDomain,
    Point,
    PointKind,
    PointState,
    Verified,
)
from smartbackup_panel.core.surroundings import Message, Pressure, Surroundings
from smartbackup_panel.services.exclusion_preview import ExclusionPreviews
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.left_out import RowsLeftOut
from smartbackup_panel.services.policies import Policies
from smartbackup_panel.services.queries import Queries
from smartbackup_panel.services.requests import Requests
from smartbackup_panel.services.schedule_choice import ScheduleChoice
from smartbackup_panel.services.scheduling import update_schedule
from smartbackup_panel.settings import load_settings

MEGABYTE = 1024 * 1024


@dataclass
class TestClock:
    """The moment that tests set."""

    moment: datetime

    __test__ = False

    def now(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> datetime:
        """Go on by a timedelta's arguments and return the new moment."""
        self.moment += timedelta(**by)
        return self.moment


@dataclass(frozen=True)
class Sent:
    """A message and when it was sent."""

    sent_at: datetime
    message: Message


@dataclass
class Mailbox:
    """Takes messages instead of sending them."""

    clock: TestClock
    sent: list[Sent] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    has_ways: bool = True

    def send(self, message: Message) -> list[str]:
        self.sent.append(Sent(self.clock.now(), message))
        return list(self.failures)

    @property
    def messages(self) -> list[Message]:
        """The messages, oldest first."""
        return [row.message for row in self.sent]


@dataclass
class Gauge:
    """A server as busy as the test says."""

    cpu: float = 0.0
    io: float = 0.0

    def read(self) -> Pressure:
        return Pressure(self.cpu, self.io)

    def working(self, *, gently: bool) -> AbstractContextManager[None]:
        return nullcontext()


class Host:
    """An installation whose clock, messages and pressure belong to the test; its state and services are the real ones."""

    def __init__(self, folder: Path, moment: datetime, settings: Mapping[str, str] | None = None) -> None:
        ours = {
            "STATE_DIR": str(folder / "state"),
            "BACKUP_ROOT": str(folder / "store"),
            "DOMAINS_ROOT": str(folder / "domains"),
            "ACCESS_LOG": str(folder / "logs" / "{domain}.access.log"),
            "CRON_DIR": str(folder / "cron.d"),
            "RESERVE_MB": "0",
            "SITE_SERVER": "",
            "PRESSURE_LIMIT": "50",
            **(settings or {}),
        }
        for name in ("store", "domains", "logs", "cron.d"):
            (folder / name).mkdir(exist_ok=True)
        self.folder = folder
        services = open_services(
            load_settings(environment={f"SMARTBACKUP_{key}": value for key, value in ours.items()})
        )
        self.clock, self.gauge = TestClock(moment), Gauge()
        self.mailbox = Mailbox(self.clock)
        real = services.installation.surroundings
        around = Surroundings(real.access_logs, self.gauge, self.mailbox, real.cron, real.sites)
        self.installation: Installation = replace(services.installation, clock=self.clock, surroundings=around)
        self.services: Services = replace(
            services,
            installation=self.installation,
            queries=Queries(self.installation),
            requests=Requests(self.installation),
            policies=Policies(self.installation),
            exclusion_previews=ExclusionPreviews(self.installation),
            left_out=RowsLeftOut(self.installation),
            schedule_choice=ScheduleChoice(self.installation),
        )

    def add_domain(self, name: str, owner: str = "alice") -> Domain:
        """Record a domain as if the panel's inventory had it."""
        found = PanelDomain(
            name,
            name,
            name,
            owner,
            20001,
            20001,
            str(self.folder / "domains" / name),
            access_log=str(self.folder / "logs" / f"{name}.access.log"),
        )
        with self.installation.state.write() as tx:
            return domains.insert_domain(tx, "directory", found, self.clock.now())

    def reload(self, domain: Domain) -> Domain:
        with self.installation.state.read() as tx:
            return domains.get_domain(tx, domain.id)

    def all_domains(self) -> list[Domain]:
        with self.installation.state.read() as tx:
            return domains.list_domains(tx, PANEL, with_deleted=True)

    def analyse(self, domain: Domain, file_changes: int, size_mb: int = 50) -> None:
        """Record an analysis of now and let the schedule follow."""
        size = size_mb * MEGABYTE
        analysis = Analysis(
            file_changes,
            activity_level(file_changes),
            0,
            float(file_changes),
            "stable",
            size,
            size_category(size),
            1000,
            "static",
            self.clock.now(),
            0.1,
        )
        with self.installation.state.write() as tx:
            schedules.insert_analysis(tx, domain.id, analysis)
            today = domains.get_domain(tx, domain.id)
        update_schedule(self.installation, today, analysis)

    def add_point(
        self,
        domain: Domain,
        *,
        kind: PointKind = PointKind.FULL,
        seconds: float = 5.0,
        archive_bytes: int = 1000,
        state: PointState = PointState.GOOD,
        warnings: tuple[str, ...] = (),
    ) -> Point:
        """Record a restore point of now."""
        now = self.clock.now()
        point = Point(
            id=f"{int(now.timestamp()):016x}{domain.id[:16]}",
            domain_id=domain.id,
            kind=kind,
            state=state,
            verified=Verified.READ_BACK,
            created_at=now,
            archive=f"backup_{now:%Y%m%d_%H%M%S}.tar.gz",
            archive_bytes=archive_bytes,
            original_bytes=archive_bytes * 4,
            file_count=10,
            added=0,
            changed=0,
            deleted=0,
            parent_id=None,
            root_digest=None,
            sha256=None,
            seconds=seconds,
            warnings=warnings,
        )
        with self.installation.state.write() as tx:
            points.insert_point(tx, point)
        return point

    def unfinished(self) -> list[Job]:
        with self.installation.state.read() as tx:
            return jobs.list_unfinished(tx)

    def finish(self, job: Job, state: JobState = JobState.DONE) -> None:
        """Run a job as the test says it went."""
        with self.installation.state.write() as tx:
            jobs.start(tx, job.id, "worker", self.clock.now())
            jobs.finish(tx, job.id, state, self.clock.now(), {}, None)


@contextmanager
def a_host(folder: Path, moment: datetime | None = None, **settings: str) -> Iterator[Host]:
    """Give a host whose clock stands at `moment` (default: Wednesday 4 March 2026, noon UTC)."""
    host = Host(folder, moment or datetime(2026, 3, 4, 12, tzinfo=UTC), settings)
    yield host
    host.installation.state.close()

"""A simulated year: growth, quiet periods, failures, reboots, daylight saving and a clock jump. Nobody is forgotten, nothing runs twice.

Time is the test's and the state lies in memory; schedules, jobs, alarms and the state are the real ones. A run is what the
worker would make of it: claimed, its point recorded, its analysis concluded. The regular run is five weeks around the
autumn change; SMARTBACKUP_LONG=1 makes it a year of 200 domains.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smartbackup_panel.adapters.db import alarms as alarm_rows
from smartbackup_panel.adapters.db import jobs, schedules
from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.core.model import Domain, Job, JobKind, JobState, Strategy
from smartbackup_panel.core.schedule import interval_of
from smartbackup_panel.services import alarms, retries, scheduling, upkeep
from tests.support.clock import Host, a_host
from tests.support.figures import Figure

IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
DOMAINS = 200 if IS_LONG else 8
DAYS = 365 if IS_LONG else 37
BEGIN = datetime(2026, 10, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=30 if IS_LONG else 60)
HERE = ZoneInfo("Europe/Berlin")
CHANGES = (150, 50, 50, 5, 5, 5)
SIZES_MB = (20, 60, 500, 950)
GROWTH_MB_A_DAY = 2
JUMP_DAY, JUMP = 33, timedelta(hours=7)
RECOVERY = timedelta(hours=8)


@dataclass(frozen=True)
class Spell:
    """A time in which something is so: the server off, a domain's backups failing."""

    begin: datetime
    end: datetime

    def holds(self, moment: datetime, after: timedelta = timedelta()) -> bool:
        return self.begin <= moment < self.end + after

    def overlap(self, begin: datetime, end: datetime) -> timedelta:
        return max(timedelta(), min(end, self.end) - max(begin, self.begin))


def day(number: float, hours: float) -> Spell:
    """Return a spell that begins at noon of a day."""
    return Spell(BEGIN + timedelta(days=number), BEGIN + timedelta(days=number, hours=hours))


@dataclass(frozen=True)
class Made:
    """A point that a run made: when, and how long a point may take before it and after it."""

    at: datetime
    before: timedelta
    after: timedelta


class Year:
    """The world outside: how busy each domain is on a day, which runs fail, when the server is off; and what was seen."""

    def __init__(self, host: Host) -> None:
        self.host = host
        dice = random.Random(7)
        self.domains = [host.add_domain(f"site{number:03d}.example") for number in range(DOMAINS)]
        self.number = {domain.id: number for number, domain in enumerate(self.domains)}
        self.known = {domain.id: domain for domain in self.domains}
        self.off = [day(10, 48), day(20.3, 1)] + [day(number + dice.random(), 1) for number in range(60, DAYS, 30)]
        failing = [self.domains[1], *dice.sample(self.domains[2:], DOMAINS // 5)]
        self.failing = {
            domain.id: day(5 if index == 0 else dice.randint(3, DAYS - 4), 40) for index, domain in enumerate(failing)
        }
        self.points: dict[str, list[Made]] = defaultdict(list)
        self.slots: set[tuple[str, str]] = set()
        self.has_failed: set[str] = set()
        self.intervals: dict[str, list[tuple[datetime, timedelta]]] = defaultdict(list)
        self.failures: list[tuple[str, datetime]] = []
        self.opened: list[tuple[str, str | None, datetime]] = []
        self.open: set[str] = set()
        self.jumped_at: datetime | None = None

    def changes(self, domain: Domain) -> int:
        """Return a day's changes: every fourth domain is quiet for two weeks of each quarter."""
        age, number = (self.host.clock.now() - BEGIN).days, self.number[domain.id]
        return 3 if number % 4 == 0 and 14 <= age % 90 < 28 else CHANGES[number % 6]

    def size_mb(self, domain: Domain) -> int:
        age = (self.host.clock.now() - BEGIN).days
        return SIZES_MB[self.number[domain.id] % 4] + age * GROWTH_MB_A_DAY

    def begin(self) -> None:
        for domain in self.domains:
            self.back_up(domain)

    def tick(self) -> None:
        """Let a step's time pass and, where the server is on, the worker do what is due: each run when its time comes."""
        end = self.host.clock.now() + STEP
        if self.is_off(end):
            self.host.clock.moment = end
            return
        while (due := self.next_due(end)) is not None and not self.is_off(due):
            self.host.clock.moment = due
            self.run_due()
        self.host.clock.moment = now = end
        if self.jumped_at is None and now >= BEGIN + timedelta(days=JUMP_DAY):
            self.host.clock.moment += JUMP
            self.jumped_at = self.host.clock.now()
            upkeep.watch_clock(self.host.installation, JUMP)
        self.work()

    def is_off(self, moment: datetime) -> bool:
        return any(spell.holds(moment) for spell in self.off)

    def next_due(self, end: datetime) -> datetime | None:
        """Return when the next run is due, at the earliest now; None where none is until `end`."""
        with self.host.installation.state.read() as tx:
            due = schedules.list_due(tx, end)
        return max(due[0][1].next_run_at or end, self.host.clock.now()) if due else None

    def run_due(self) -> None:
        self.enqueue()
        for job in self.host.unfinished():
            self.run(job, self.known[job.domain_id or ""])

    def work(self) -> None:
        installation, now = self.host.installation, self.host.clock.now()
        scheduling.review(installation)
        retries.retry_failed(installation)
        if now.hour != (now - STEP).hour:
            scheduling.confirm_changes(installation)
        self.run_due()
        upkeep.say_alive(installation)
        if now.hour != (now - STEP).hour:
            self.look()

    def look(self) -> None:
        """Look for alarms and note which are new."""
        installation, now = self.host.installation, self.host.clock.now()
        alarms.look(installation)
        with installation.state.read() as tx:
            lasting = alarm_rows.list_open(tx)
        self.opened += [(row.alarm.kind, row.alarm.domain_id, now) for row in lasting if row.alarm.key not in self.open]
        self.open = {row.alarm.key for row in lasting}

    def enqueue(self) -> None:
        """Let due runs become jobs; no slot of a domain's own clock may become one twice."""
        installation = self.host.installation
        with installation.state.read() as tx:
            due = {row[0]: row[1].next_run_at for row in schedules.list_due(tx, self.host.clock.now())}
        asked = set(scheduling.enqueue_due(installation))
        for job in self.host.unfinished():
            at = due.get(job.domain_id or "")
            if job.id in asked and at is not None and job.domain_id is not None:
                slot = (job.domain_id, at.astimezone(HERE).strftime("%Y-%m-%d %H:%M"))
                assert slot not in self.slots, f"{slot} ran twice"
                self.slots.add(slot)

    def run(self, job: Job, domain: Domain) -> None:
        """Run a job as the world has it."""
        spell, now = self.failing.get(domain.id), self.host.clock.now()
        if job.kind is JobKind.ANALYSE:
            self.host.analyse(domain, self.changes(domain), self.size_mb(domain))
            self.intervals[domain.id].append((now, self.interval(domain)))
        elif spell is not None and spell.holds(now):
            with self.host.installation.state.write() as tx:
                jobs.start(tx, job.id, "worker", now)
                jobs.finish(tx, job.id, JobState.FAILED, now, None, DumpFailed("no login"))
            if domain.id not in self.has_failed:
                self.has_failed.add(domain.id)
                self.failures.append((domain.id, now))
                self.look()
            return
        else:
            self.back_up(domain)
            self.has_failed.discard(domain.id)
        self.host.finish(job)

    def back_up(self, domain: Domain) -> None:
        before = self.interval(domain)
        self.host.add_point(domain, seconds=20)
        self.host.analyse(domain, self.changes(domain), self.size_mb(domain))
        now, after = self.host.clock.now(), self.interval(domain)
        self.points[domain.id].append(Made(now, before or after, after))

    def interval(self, domain: Domain) -> timedelta:
        with self.host.installation.state.read() as tx:
            plan = schedules.find_schedule(tx, domain.id)
        return interval_of(plan, self.host.clock.now()) if plan is not None else timedelta()

    def in_the_way(self, domain_id: str) -> list[Spell]:
        """Return when a domain's runs could not be: the server off, the domain failing, the time that the clock jumped over."""
        spells = [*self.off, *([self.failing[domain_id]] if domain_id in self.failing else [])]
        return spells if self.jumped_at is None else [*spells, Spell(self.jumped_at - JUMP, self.jumped_at)]

    def lost(self, domain_id: str, begin: datetime, end: datetime) -> timedelta:
        """Return what a gap may be longer for what stood in the way, and for catching up; a failed run's next try is within a day."""
        spells = self.in_the_way(domain_id)
        lost = [spell.overlap(begin, end) for spell in spells]
        failed = self.failing.get(domain_id)
        turns = timedelta(days=1) if failed is not None and failed.overlap(begin, end) else timedelta()
        return sum(lost, turns) + (RECOVERY if any(lost) else timedelta())

    def may_miss(self, domain_id: str, at: datetime) -> bool:
        """Return whether a missing point may be told: the server was off, the clock jumped, or the domain failed lately."""
        return self.is_failing(domain_id, at) or any(spell.holds(at, RECOVERY) for spell in self.in_the_way(domain_id))

    def is_failing(self, domain_id: str, at: datetime) -> bool:
        """Return whether a domain's runs fail, or failed and none has been tried since."""
        spell = self.failing.get(domain_id)
        if spell is None or at < spell.begin:
            return False
        since = [made.at for made in self.points[domain_id] if made.at >= spell.end]
        return not since or at <= since[0]

    def longest_interval(self, domain_id: str, point: Made, end: datetime) -> timedelta:
        """Return how long a point may take after this one at most, by the plans that held until `end`."""
        later = [interval for at, interval in self.intervals[domain_id] if point.at <= at < end]
        return max([point.after, *later])


@pytest.mark.timeout(3600)
def test_a_year_of_a_server(figure: Figure) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,  # durability is not this test's subject
        a_host(Path(folder), BEGIN, TIMEZONE="Europe/Berlin") as host,
    ):
        started = time.monotonic()
        year = Year(host)
        year.begin()
        while host.clock.now() < BEGIN + timedelta(days=DAYS):
            year.tick()
        assert_every_domain_has_its_points(year)
        assert_alarms_where_due_and_nowhere_else(year)
        assert_growth_moved_the_strategy(year)
        figure("simulated year: domains", DOMAINS, "domains")
        figure("simulated year: runs", sum(map(len, year.points.values())), "runs")
        figure("simulated year: time", time.monotonic() - started, "s")


def assert_every_domain_has_its_points(year: Year) -> None:
    """No gap is longer than the plan of its time, what the server was off and the domain failed apart."""
    end = year.host.clock.now()
    for domain in year.domains:
        made = year.points[domain.id]
        for earlier, later in pairwise([*made, Made(end, made[-1].after, timedelta())]):
            allowed = max(earlier.after, later.before) + STEP + timedelta(hours=1)
            allowed += year.lost(domain.id, earlier.at, later.at)
            assert later.at - earlier.at <= allowed, f"{domain.name}: nothing from {earlier.at} to {later.at}"
        assert len(made) >= DAYS // 7 - 1


def assert_alarms_where_due_and_nowhere_else(year: Year) -> None:
    """One alarm for each domain that began to fail, one for the clock, missing points only where something stood in the way."""
    opened = {kind: [(key, at) for name, key, at in year.opened if name == kind] for kind, _, _ in year.opened}
    assert set(opened) == {"failed backup", "missing point", "clock"}
    told, failed = sorted(opened["failed backup"], key=str), sorted(year.failures, key=str)
    assert [domain_id for domain_id, _ in told] == [domain_id for domain_id, _ in failed]
    assert all(
        timedelta() <= at - began <= timedelta(hours=1) for (_, at), (_, began) in zip(told, failed, strict=True)
    )
    assert len(opened["clock"]) == 1
    for domain_id, at in opened["missing point"]:
        assert year.may_miss(domain_id or "", at), f"{year.known[domain_id or ''].name} at {at}"
    for domain_id, spell in year.failing.items():
        made = [point for point in year.points[domain_id] if point.at < spell.begin]
        if not made:
            continue
        if made[-1].at + year.longest_interval(domain_id, made[-1], spell.end) + timedelta(hours=3) < spell.end:
            missed = [at for key, at in opened["missing point"] if key == domain_id and spell.holds(at)]
            assert len(missed) == 1, f"{year.known[domain_id].name} missed its point unsaid"
    times = [message.sent_at for message in year.host.mailbox.sent]
    assert len(times) <= len(year.opened), "success is not told"
    assert all(later - earlier >= timedelta(hours=1) for earlier, later in pairwise(times))


def assert_growth_moved_the_strategy(year: Year) -> None:
    """A busy domain that grew beyond 100 MB has increments; at a gigabyte a full point a week besides."""
    with year.host.installation.state.read() as tx:
        plans = schedules.list_schedules(tx, list(year.known))
    busy = [domain for domain in year.domains if CHANGES[year.number[domain.id] % 6] == CHANGES[0]]
    for domain in busy:
        size = year.size_mb(domain)
        if year.changes(domain) >= CHANGES[0] and abs(size - 100) > 30 and abs(size - 1024) > 30:
            expected = (Strategy.FULL, Strategy.INCREMENTAL, Strategy.MIXED)[(size >= 100) + (size >= 1024)]
            assert plans[domain.id].strategy is expected, f"{domain.name} of {size} MB"

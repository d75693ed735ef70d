"""A simulated year: growth, quiet periods, failures, reboots, daylight saving and a clock jump. Nobody is forgotten, nothing runs twice.

Time is the test's; schedules, jobs, alarms and the state are the real ones. A run is what the worker would make of it:
claimed, its point recorded, its analysis concluded. The regular run is five weeks around the autumn change; SMARTBACKUP_LONG=1
makes it a year of 200 domains.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.core.model import Domain, JobKind, JobState
from smartbackup_panel.services import alarms, scheduling, upkeep
from tests.support.clock import Host, a_host

IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
DOMAINS = 200 if IS_LONG else 9
DAYS = 365 if IS_LONG else 37
BEGIN = datetime(2026, 10, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=30 if IS_LONG else 60)


class Year:
    """The world outside: how busy each domain is on a day, which runs fail, when the server is off."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.dice = random.Random(7)
        self.domains = [host.add_domain(f"site{number:03d}.example") for number in range(DOMAINS)]
        self.level = {domain.id: (150, 50, 5)[number % 3] for number, domain in enumerate(self.domains)}
        self.failing = {self.domains[1].id: (BEGIN + timedelta(days=5), BEGIN + timedelta(days=6))}
        self.off = [
            (BEGIN + timedelta(days=10), BEGIN + timedelta(days=12)),
            (BEGIN + timedelta(days=20), BEGIN + timedelta(days=20, hours=1)),
        ]
        self.raised: Counter[str] = Counter()

    def changes(self, domain: Domain) -> int:
        """Return a day's changes: quiet from day 14 to 28, so that busy domains become quiet and busy again."""
        age = (self.host.clock.now() - BEGIN).days
        return 3 if 14 <= age < 28 else self.level[domain.id]

    def is_off(self) -> bool:
        now = self.host.clock.now()
        return any(begin <= now < end for begin, end in self.off)

    def work(self) -> None:
        """Let the worker tick once: schedule, run what waits, look for alarms."""
        installation = self.host.installation
        scheduling.review(installation)
        scheduling.enqueue_due(installation)
        known = {domain.id: domain for domain in self.domains}
        for job in self.host.unfinished():
            domain = known[job.domain_id or ""]
            begin, end = self.failing.get(domain.id, (BEGIN, BEGIN))
            if job.kind is JobKind.BACKUP and begin <= self.host.clock.now() < end:
                with installation.state.write() as tx:
                    jobs.start(tx, job.id, "worker", self.host.clock.now())
                    jobs.finish(tx, job.id, JobState.FAILED, self.host.clock.now(), None, DumpFailed("no login"))
                continue
            if job.kind is JobKind.BACKUP:
                self.host.add_point(domain, seconds=20)
            self.host.analyse(domain, self.changes(domain), 50 + (self.host.clock.now() - BEGIN).days * 2)
            self.host.finish(job)
        upkeep.say_alive(installation)
        before = len(self.host.mailbox.messages)
        alarms.look(installation)
        for message in self.host.mailbox.messages[before:]:
            for row in message.fields["alarms"]:  # type: ignore[attr-defined]  # the digest's own rows
                self.raised[row["kind"]] += 1


def test_a_year_of_a_server(tmp_path: Path) -> None:
    with a_host(tmp_path, BEGIN, TIMEZONE="Europe/Berlin", STATE_URL=f"sqlite:///{tmp_path}/state.sqlite") as host:
        with host.installation.state.write() as tx:
            tx.execute(text("SELECT 1"))
        year = Year(host)
        for domain in year.domains:
            host.add_point(domain)
            host.analyse(domain, year.changes(domain))
        while host.clock.now() < BEGIN + timedelta(days=DAYS):
            host.clock.moment += STEP
            if not year.is_off():
                year.work()
            if host.clock.now() == BEGIN + timedelta(days=35):
                host.clock.moment += timedelta(hours=7)
                upkeep.watch_clock(host.installation, timedelta(hours=7))
        assert_every_domain_has_its_points(host, year)
        assert_alarms_where_due_and_nowhere_else(year)


def assert_every_domain_has_its_points(host: Host, year: Year) -> None:
    """No run twice in its slot, and no longer gap than the plan, the two days off and the failure allow."""
    with host.installation.state.read() as tx:
        rows = tx.execute(text("SELECT domain_id, created_at FROM points ORDER BY domain_id, created_at")).all()
    moments: dict[str, list[datetime]] = {}
    for domain_id, at in rows:
        moments.setdefault(domain_id, []).append(datetime.fromisoformat(at))
    assert set(moments) == {domain.id for domain in year.domains}
    longest = {150: timedelta(days=7), 50: timedelta(days=7), 5: timedelta(days=7)}
    for domain in year.domains:
        gaps = [later - earlier for earlier, later in zip(moments[domain.id], moments[domain.id][1:], strict=False)]
        assert min(gaps) >= timedelta(minutes=30), "no run twice"
        assert max(gaps) <= longest[year.level[domain.id]] + timedelta(days=2, hours=8)
        assert len(gaps) >= DAYS // 7 - 1


def assert_alarms_where_due_and_nowhere_else(year: Year) -> None:
    """The failing domain, the domains that missed a run while the server was off, the clock; no other kind."""
    assert year.raised["failed backup"] == 1
    assert year.raised["clock"] == 1
    assert set(year.raised) <= {"failed backup", "clock", "missing point"}
    busy = sum(level >= 20 for level in year.level.values())
    assert year.raised["missing point"] <= busy + 2

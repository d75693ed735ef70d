"""The worker: takes events and requests over, runs the schedule's tick, and lets the job engine run the jobs."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from types import FrameType

from smartbackup_panel.bootstrap import Services
from smartbackup_panel.core.errors import MissingDocumentRoot
from smartbackup_panel.core.model import ALONGSIDE, PANEL, DomainState, Job, JobState
from smartbackup_panel.core.ports import JobEngine, PanelEvent
from smartbackup_panel.services import catalog, events, pacing, scheduling, upkeep
from smartbackup_panel.services.coverage import cover_new_domains
from smartbackup_panel.services.domains import reconcile
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import WORKER
from smartbackup_panel.services.tenants import keep_agent_ready

TICK_SECONDS = 0.5
BUSY_TICK_SECONDS = 0.1
"""While as many jobs run as may: the next one begins when one of them ends."""

EXPECTED_EVERY_SECONDS = 1.0
EXPECTED_FOR_SECONDS = 600.0
SCHEDULE_EVERY_SECONDS = 5.0
HEARTBEAT_EVERY_SECONDS = 10.0
MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Worker:
    """One a state folder; it runs until SIGTERM or SIGINT."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.installation = services.installation
        self._stop = threading.Event()
        self._handed_over: set[str] = set()
        self._is_busy = False
        self._due: dict[str, float] = {}
        self._expected: dict[str, float] = {}
        self._clock: tuple[datetime, float] | None = None

    def run(self) -> None:
        """Work until asked to stop. Raises WorkerUnavailable when another worker runs.

        Jobs are durable: whoever calls this ends the process after it, and what was running is resumed.
        """
        with upkeep.being_the_worker(self.installation):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._ask_to_stop)
            upkeep.clean_up(self.installation)
            engine = self.services.job_engine()
            runner = self.services.runner(WORKER)

            def run_job(job_id: str) -> None:
                with pacing.gently(self.installation, job_id):
                    runner.run(job_id)

            engine.start(run_job)
            keep_agent_ready()
            log.info("worker started", extra={"pid": os.getpid()})
            self._forget(engine)
            threading.Thread(target=self._keep_catalogs, name="catalogs", daemon=True).start()
            while not self._stop.is_set():
                try:
                    self._tick(engine)
                except Exception:  # the worker's edge: what failed is tried again at the next tick
                    log.exception("a tick failed")
                self._stop.wait(BUSY_TICK_SECONDS if self._is_busy else TICK_SECONDS)
            log.info("worker stops; what it was doing goes on at its next start")

    def _keep_catalogs(self) -> None:
        """Bring catalogs up to date that a job's own end did not: at the start and once an hour, beside the jobs."""
        while not self._stop.is_set():
            catalog.catch_up_all(self.installation)
            self._stop.wait(HOUR_SECONDS)

    def run_once(self) -> int:
        """Do what is due now, in this process, and return how many jobs ran. Raises WorkerUnavailable."""
        with upkeep.being_the_worker(self.installation):
            upkeep.clean_up(self.installation)
            events.take_events(self.installation)
            self._look_around()
            scheduling.enqueue_due(self.installation, spread=False)
            waiting = upkeep.jobs_to_run(self.installation, interrupted=True)
            runner = self.services.runner()
            for job in waiting:
                runner.run(job.id)
            self._do(upkeep.EVERY_MINUTE)
            self._do(upkeep.EVERY_HOUR)
            return len(waiting)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _tick(self, engine: JobEngine) -> None:
        taken = events.take_events(self.installation)
        self._expect(taken)
        is_waiting = bool(self._expected) and self._is_due("expected", EXPECTED_EVERY_SECONDS)
        if taken or is_waiting or self._is_due("inventory", self.installation.settings.reconcile_seconds):
            self._look_around()
        if self._is_due("schedule", SCHEDULE_EVERY_SECONDS):
            scheduling.enqueue_due(self.installation)
        if self._is_due("heartbeat", HEARTBEAT_EVERY_SECONDS):
            self._watch_clock()
            upkeep.say_alive(self.installation)
        if self._is_due("minute", MINUTE_SECONDS):
            self._do(upkeep.EVERY_MINUTE)
        if self._is_due("hour", HOUR_SECONDS):
            self._do(upkeep.EVERY_HOUR)
            self._forget(engine)
        self._hand_over(engine)

    def _do(self, steps: Iterable[Callable[[Installation], object]]) -> None:
        """Do one step after the other; one that fails is tried again at the next turn."""
        for step in steps:
            try:
                step(self.installation)
            except Exception:  # the worker's edge, as above
                log.exception("%s.%s failed", step.__module__.rpartition(".")[2], step.__name__)

    def _expect(self, taken: list[PanelEvent]) -> None:
        """Remember domains that a panel announced before their folder is there; they are looked for again and again."""
        for event in taken:
            if event.type == "domain.created":
                self._expected[event.name] = time.monotonic() + EXPECTED_FOR_SECONDS

    def _watch_clock(self) -> None:
        """Compare the clock on the wall with the one that never jumps; a jump is noted, and set back next runs are corrected."""
        wall, steady = self.installation.clock.now(), time.monotonic()
        before, self._clock = self._clock, (wall, steady)
        jump = (wall - before[0]) - timedelta(seconds=steady - before[1]) if before else timedelta()
        upkeep.watch_clock(self.installation, jump)

    def _look_around(self) -> None:
        """Reconcile and cover what is new; an inventory that cannot be read changes nothing."""
        try:
            found = reconcile(self.installation)
        except MissingDocumentRoot as error:
            log.warning("inventory unreadable: %s", error.message)
            return
        if found.created or found.deleted or found.missing or found.returned:
            log.info("inventory changed: %s", found)
        known = {domain.name for domain in self.services.queries.domains(PANEL) if domain.state is DomainState.ACTIVE}
        now = time.monotonic()
        self._expected = {name: until for name, until in self._expected.items() if name not in known and until > now}
        cover_new_domains(self.installation)
        scheduling.follow_states(self.installation)

    def _hand_over(self, engine: JobEngine, *, interrupted: bool = False) -> None:
        """Give the engine the most urgent waiting jobs, as many as may run at once, none of a domain that has one there.

        It takes domains in no order: what it was given is what it is about to do. It knows each job only once.
        """
        given = engine.unfinished()
        room = self.installation.settings.concurrency - len(given)
        self._is_busy = room <= 0
        if room <= 0 and not interrupted:
            return
        every = upkeep.jobs_to_run(self.installation, interrupted=interrupted)
        busy = {_place(job) for job in upkeep.unfinished_jobs(self.installation, given)}
        for job in pacing.ready(self.installation, every):
            if job.id in given or job.id in self._handed_over:
                continue
            is_first = job.state is JobState.QUEUED
            if is_first and (room <= 0 or _place(job) in busy):
                continue
            engine.enqueue(job.id, _place(job), job.priority)
            self._handed_over.add(job.id)
            busy.add(_place(job))
            room -= 1
        self._handed_over &= {job.id for job in every}

    def _forget(self, engine: JobEngine) -> None:
        """Drop the engine's rows of ended jobs, and hand over again what ended there but has no end in our records.

        Such a job is one whose end could not be recorded, because the state could not be written just then.
        """
        engine.forget_ended()
        self._hand_over(engine, interrupted=True)

    def _is_due(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + every_seconds
        return True


def _place(job: Job) -> str:
    """Return what one job at a time may have: its domain, or a place of its own for one that only reads finished archives."""
    assert job.domain_id is not None, "what concerns no domain is never queued"
    return f"{job.kind}:{job.id}" if job.kind in ALONGSIDE else job.domain_id

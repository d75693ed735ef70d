"""Planned work gives way: it waits while the server is busy, slows down while it runs, and never waits for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.core.model import Job, JobKind, JobState
from smartbackup_panel.services.installation import Installation

GIVES_WAY = (JobKind.BACKUP, JobKind.ANALYSE, JobKind.VERIFY, JobKind.RETENTION, JobKind.SCRUB)
LOOK_EVERY_SECONDS = 1.0
PAUSE_SECONDS = 0.5


def is_busy(installation: Installation) -> bool:
    """Return whether the server's CPU or disk pressure has reached the limit of the settings."""
    limit = installation.settings.pressure_limit
    if not limit:
        return False
    pressure = installation.surroundings.pressure.read()
    return max(pressure.cpu, pressure.io) >= limit


def is_planned(job: Job) -> bool:
    """Return whether nobody waits for a job: a schedule asked for it."""
    return job.kind in GIVES_WAY and job.actor.source == "schedule"


def _gives_way(job: Job) -> bool:
    return is_planned(job) and job.state is JobState.QUEUED


def ready(installation: Installation, waiting: list[Job]) -> list[Job]:
    """Return the jobs that may begin: while the server is busy no planned one, unless it has waited long enough.

    A job that had begun and was interrupted goes on.
    """
    if not any(_gives_way(job) for job in waiting) or not is_busy(installation):
        return waiting
    longest = timedelta(minutes=installation.settings.pressure_wait_minutes)
    now = installation.clock.now()
    return [job for job in waiting if not _gives_way(job) or job.cancel_requested or now - job.created_at >= longest]


@contextmanager
def gently(installation: Installation, job_id: str) -> Iterator[None]:
    """Run a job's thread, and the agents and clients that it starts, at low priority; a restore at the usual one."""
    with installation.state.read() as tx:
        kind = jobs.get_job(tx, job_id).kind
    with installation.surroundings.pressure.working(gently=kind in GIVES_WAY):
        yield


class Breather:
    """Slows one running planned job down while the server is busy, by pausing between its steps.

    The pauses of a job add up to at most `pressure_wait_minutes`; after that it runs on, at low priority only.
    """

    def __init__(self, installation: Installation, job: Job) -> None:
        self._installation = installation
        self._is_planned = is_planned(job)
        self._left_seconds = installation.settings.pressure_wait_minutes * 60.0 if self._is_planned else 0.0
        self._looked_at = -LOOK_EVERY_SECONDS
        self._is_busy = False

    def pause(self, rest: Callable[[float], None]) -> None:
        """Return at once; where the server is busy after half a second in which the agent stood still (`rest`)."""
        if self._left_seconds > 0 and self._server_is_busy():
            rest(PAUSE_SECONDS)
            self._left_seconds -= PAUSE_SECONDS

    def threads(self) -> int:
        """Return on how many threads a job compresses: on one while the server is busy, else 0 (one a processor)."""
        return 1 if self._is_planned and self._server_is_busy() else 0

    def _server_is_busy(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_SECONDS:
            self._looked_at, self._is_busy = now, is_busy(self._installation)
        return self._is_busy

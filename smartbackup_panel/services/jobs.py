"""Runs jobs: claims one, holds its domain's lock, calls the use case, and records how it ended."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, jobs
from smartbackup_panel.adapters.locks import held, is_locked
from smartbackup_panel.core.errors import AgentFailed, Cancelled, SmartBackupError, UnknownDomain
from smartbackup_panel.core.model import ALONGSIDE, Actor, Domain, Job, JobKind, JobState, LogLine, PointState, Progress
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.pacing import Breather

WORKER = "worker"
"""The worker's name as a runner of jobs; a command's is `this_process`."""

PROGRESS_EVERY_SECONDS = 0.5
MOST_ATTEMPTS = 3
DOMAIN_WAIT_SECONDS = 6 * 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a use case gives back: its result for pages and the command line, and whether something is missing.

    With a `failure` the job has failed, but its result says what was found.
    """

    result: dict[str, object]
    is_partial: bool = False
    failure: SmartBackupError | None = None


class JobContext:
    """What a running job may do: say where it is, write its log, and learn that it was cancelled."""

    def __init__(self, installation: Installation, job: Job, watch: Callable[[Job, Progress], None] | None) -> None:
        self.installation = installation
        self.job = job
        self.breather = Breather(installation, job)
        self._watch = watch
        self._last_written = 0.0
        self._phase = ""
        self._cancelled = False
        self._may_cancel = True

    def say(self, text: str, level: str = "info") -> None:
        """Write a line into the job's log."""
        line = LogLine(self.installation.clock.now(), level, text)
        with self.installation.state.write() as tx:
            jobs.add_log(tx, self.job.id, [line])

    def progress(self, progress: Progress) -> None:
        """Say where the job is; raises Cancelled when somebody asked for that. Written at most twice a second."""
        if self._watch is not None:
            self._watch(self.job, progress)
        now = time.monotonic()
        if progress.phase == self._phase and now - self._last_written < PROGRESS_EVERY_SECONDS:
            return
        self._phase, self._last_written = progress.phase, now
        with self.installation.state.write() as tx:
            asked = jobs.set_progress(tx, self.job.id, progress)
        if asked and self._may_cancel:
            raise Cancelled("the job was cancelled")

    def point_of_no_return(self, phase: str) -> None:
        """From here on the job is carried through; a cancellation that came in time is honoured first."""
        self._phase = ""
        self.progress(Progress(phase))
        self._may_cancel = False


UseCase = Callable[[JobContext, Domain], Outcome]


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs jobs of this installation. `name` says who works: the worker, or a command with its process id."""

    installation: Installation
    use_cases: Mapping[JobKind, UseCase]
    name: str
    afterwards: Callable[[Installation, str], None] | None = None
    """What is done for a domain after each of its jobs, which has ended by then, but still under the domain's lock."""

    def run(self, job_id: str, watch: Callable[[Job, Progress], None] | None = None) -> Job:
        """Run a job to its end and return it as it ended; an error is recorded, not raised. Once ended, nothing happens."""
        job = self._job(job_id)
        domain_id = job.domain_id
        assert domain_id is not None, "what concerns no domain is never queued"
        if job.kind in ALONGSIDE:
            return self._run(job_id, watch)
        lock = self.installation.domain_lock(domain_id)
        try:
            with held(lock, DOMAIN_WAIT_SECONDS, lambda: self._check_waiting(job_id)):
                job = self._run(job_id, watch)
                if self.afterwards is not None:
                    self.afterwards(self.installation, domain_id)
                return job
        except SmartBackupError as error:
            self._finish(job_id, _state_after(error), None, error)
            return self._job(job_id)

    def _run(self, job_id: str, watch: Callable[[Job, Progress], None] | None) -> Job:
        with self.installation.state.write() as tx:
            job = jobs.start(tx, job_id, self.name, self.installation.clock.now())
        if job is None:
            return self._job(job_id)
        context = JobContext(self.installation, job, watch)
        try:
            if job.attempts > MOST_ATTEMPTS and job.result is None:
                raise AgentFailed(f"the job was interrupted {MOST_ATTEMPTS} times; it is not tried again by itself")
            if job.attempts > 1:
                context.say(f"begun again after an interruption (attempt {job.attempts})", "warning")
            outcome = self._dispatch(context)
        except SmartBackupError as error:
            context.say(f"{error.message} {error.hint}", "error")
            self._finish(job_id, _state_after(error), None, error)
        except Exception as error:  # the worker's edge: one bad job stops nobody else (rule 24)
            log.exception("job failed", extra={"job": job_id})
            failure = SmartBackupError(f"an internal error: {type(error).__name__}: {error}")
            self._finish(job_id, JobState.FAILED, None, failure)
        else:
            self._finish(job_id, _state_of(outcome), outcome.result, outcome.failure)
        return self._job(job_id)

    def _dispatch(self, context: JobContext) -> Outcome:
        job = context.job
        assert job.domain_id is not None, "as above"
        with self.installation.state.read() as tx:
            domain = domains.get_domain(tx, job.domain_id)
        if not self.installation.panel.owns(job.actor, domain.panel_uid):
            raise UnknownDomain(f"the domain {domain.name} no longer belongs to {job.actor.login}")
        return self.use_cases[job.kind](context, domain)

    def _check_waiting(self, job_id: str) -> None:
        if self._job(job_id).cancel_requested:
            raise Cancelled("the job was cancelled before it began")

    def _job(self, job_id: str) -> Job:
        with self.installation.state.read() as tx:
            return jobs.get_job(tx, job_id)

    def _finish(
        self, job_id: str, state: JobState, result: dict[str, object] | None, error: SmartBackupError | None
    ) -> None:
        with self.installation.state.write() as tx:
            jobs.finish(tx, job_id, state, self.installation.clock.now(), result, error)


def this_process() -> str:
    """Return the runner's name of a command: its process, which others can tell from a later one of the same id."""
    return f"pid:{os.getpid()}:{_start_time(os.getpid())}"


def fail_orphans(installation: Installation) -> list[str]:
    """Mark the jobs whose command died while it ran them as failed, and return their ids.

    One that had recorded its result, together with its effect, has done its work.
    The worker's own jobs are not among them: its engine runs them again.
    """
    with installation.state.write() as tx:
        dead = [job_id for job_id, runner in jobs.list_runners(tx).items() if runner and _has_died(runner)]
        for job_id in dead:
            _end_dead(installation, tx, jobs.get_job(tx, job_id))
    return dead


def submit(
    installation: Installation,
    tx: Connection,
    kind: JobKind,
    domain_id: str,
    actor: Actor,
    params: dict[str, object],
    key: str,
) -> tuple[Job, bool]:
    """Return the job for a request and whether it is new: one of the same key that waits or runs serves it too."""
    _end_dead_of(installation, tx, key)
    return jobs.submit(tx, kind, domain_id, actor, params, key, installation.clock.now())


def _end_dead_of(installation: Installation, tx: Connection, key: str) -> None:
    """End the job of this key that a dead process had begun: what it did or tried then is no answer to a new request.

    A dead worker's job that has recorded no result is left to the next worker, which runs it again.
    """
    job = jobs.find_by_key(tx, key)
    if job is None or job.state is not JobState.RUNNING:
        return
    runner = jobs.list_runners(tx).get(job.id) or ""
    is_left_by_worker = runner == WORKER and job.result is not None and not is_locked(installation.settings.worker_lock)
    if is_left_by_worker or _has_died(runner):
        _end_dead(installation, tx, job)


def _end_dead(installation: Installation, tx: Connection, job: Job) -> None:
    now = installation.clock.now()
    if job.result is None:
        error = AgentFailed("the command that ran this job was ended before it finished")
        jobs.finish(tx, job.id, JobState.FAILED, now, None, error)
    else:
        state = JobState.PARTIAL if job.result.get("state") == PointState.PARTIAL else JobState.DONE
        jobs.finish(tx, job.id, state, now, job.result, None)


def _state_of(outcome: Outcome) -> JobState:
    if outcome.failure is not None:
        return JobState.FAILED
    return JobState.PARTIAL if outcome.is_partial else JobState.DONE


def _state_after(error: SmartBackupError) -> JobState:
    return JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED


def _has_died(runner: str) -> bool:
    kind, _, rest = runner.partition(":")
    pid, _, started = rest.partition(":")
    return kind == "pid" and _start_time(int(pid)) != started


def _start_time(pid: int) -> str:
    """Return when a process started (clock ticks since boot), "" where there is none: a pid alone may be used again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""

"""What the worker does besides running jobs: being the only one, saying that it lives, and cleaning up after the dead."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

from smartbackup_panel.adapters.db import domains, jobs, people
from smartbackup_panel.adapters.locks import if_free, is_locked, try_lock
from smartbackup_panel.core.alarms import CLOCK_JUMP
from smartbackup_panel.core.errors import SmartBackupError, WorkerUnavailable
from smartbackup_panel.core.model import PANEL, Job, JobState
from smartbackup_panel.services import (
    alarms,
    choices,
    cron_mode,
    downloads,
    nightly,
    purge,
    retries,
    scheduling,
    scratch,
)
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import WORKER, fail_orphans
from smartbackup_panel.services.restore_journal import expire_undos, recover
from smartbackup_panel.services.store import remove_leftovers

log = logging.getLogger(__name__)


@contextmanager
def being_the_worker(installation: Installation) -> Iterator[None]:
    """Hold the worker's lock; raises WorkerUnavailable when another process has it: two would run live jobs twice."""
    lock = try_lock(installation.settings.worker_lock)
    if lock is None:
        hint = "One worker is enough: the one that runs does what is due."
        raise WorkerUnavailable("another worker runs for this state folder", hint=hint)
    try:
        yield
    finally:
        os.close(lock)


def worker_runs(installation: Installation) -> bool:
    """Return whether a worker runs for this state folder now."""
    return is_locked(installation.settings.worker_lock)


def clean_up(installation: Installation) -> list[str]:
    """Finish or roll back what was cut off, remove what it left in the store, and return the ids of jobs whose command died."""
    dead = fail_orphans(installation)
    recover(installation)
    with installation.state.read() as tx:
        known = domains.list_domains(tx, PANEL, with_deleted=True)
    for domain in known:
        with if_free(installation.domain_lock(domain.id)) as is_held:
            if is_held:
                try:
                    remove_leftovers(installation, domain)
                    scratch.clear(installation, domain)
                except (SmartBackupError, OSError):
                    log.exception("what was left of %s could not be removed", domain.name)
    return dead


def say_alive(installation: Installation) -> None:
    """Note the time and the process, for the dashboard and `smartbackup check`."""
    with installation.state.write() as tx:
        people.set_note(tx, WORKER, str(os.getpid()), installation.clock.now())


EVERY_MINUTE = (
    scheduling.review,
    retries.retry_failed,
    cron_mode.sync,
    choices.write_changed,
    alarms.look,
    downloads.expire,
)
"""What is looked at once a minute: the weekly review, backups that failed, cron's files, choices to keep in the store, what needs
a person, downloads nobody fetched. One that fails holds up no other (SECURITY rule 24)."""

EVERY_HOUR = (
    scheduling.confirm_changes,
    expire_undos,
    purge.purge_due,
    nightly.enqueue,
    purge.forget_history,
)
"""What is done once an hour: changes confirmed, undos that are over, grace periods that are over, the nightly jobs, old history."""


def watch_clock(installation: Installation, jumped_by: timedelta) -> None:
    """Take note of a clock that jumped while the worker ran (`jumped_by`), or that stands before its own last note."""
    now = installation.clock.now()
    with installation.state.read() as tx:
        seen = people.find_note(tx, WORKER)
    if abs(jumped_by) < CLOCK_JUMP and seen is not None and seen[1] - now >= CLOCK_JUMP:
        jumped_by = now - seen[1]
    if abs(jumped_by) < CLOCK_JUMP:
        return
    alarms.note_clock_jump(installation, jumped_by)
    if jumped_by < timedelta():
        scheduling.reset_next_runs(installation)


def unfinished_jobs(installation: Installation, job_ids: Collection[str]) -> list[Job]:
    """Return those of some jobs that wait or run."""
    with installation.state.read() as tx:
        return [job for job_id in job_ids if (job := jobs.find_unfinished(tx, job_id)) is not None]


def jobs_to_run(installation: Installation, *, interrupted: bool = False) -> list[Job]:
    """Return the jobs that wait, most urgent first; with `interrupted` also those that a dead worker had begun."""
    with installation.state.read() as tx:
        if interrupted:
            return [job for job in jobs.list_unfinished(tx) if job.state is JobState.QUEUED] + jobs.list_unfinished(
                tx, WORKER
            )
        return jobs.list_queued(tx)

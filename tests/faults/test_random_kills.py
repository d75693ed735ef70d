"""kill -9 at random moments of the worker and its agents with twenty tenants queued: each job has one effect, none is lost.

Case T42. The regular run kills a few times; SMARTBACKUP_LONG=1 makes it a thousand.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Job, JobState
from smartbackup_panel.services.jobs import MOST_ATTEMPTS
from smartbackup_panel.settings import load_settings
from tests.support.figures import Figure
from tests.support.installation import make_installation
from tests.support.servers import Server, wait_for

KILLS = 1000 if os.environ.get("SMARTBACKUP_LONG") else 5
TENANTS = 20


def children(pid: int) -> list[int]:
    """Return the processes that a process started from any of its threads."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [int(child) for child in (thread / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def submit_all(services: Services) -> list[str]:
    """Ask for a backup of every domain; one that waits or runs already is that job."""
    every = services.queries.domains(COMMAND_LINE)
    return [services.requests.backup(COMMAND_LINE, domain.id, "full").id for domain in every]


def job_of(services: Services, job_id: str) -> Job:
    return services.queries.job(COMMAND_LINE, job_id)


def test_random_kills_lose_no_job_and_run_none_twice(figure: Figure) -> None:
    dice = random.Random(42)
    with make_installation({"RECONCILE_SECONDS": "3600"}) as installation:
        for number in range(TENANTS):
            files: dict[str, bytes | str] = {f"{name}.bin": os.urandom(300_000) for name in range(5)}
            installation.add_site(f"site{number:02d}.example.test", files)
        installation.smartbackup("reconcile")
        services = open_services(load_settings(environment=installation.environment))
        asked: set[str] = set()
        worker: Server | None = None
        for _ in range(KILLS):
            asked |= set(submit_all(services))
            if worker is None:
                worker = installation.start_worker()
                wait_for(
                    partial(any_running, services, asked), "a job to begin", timeout_seconds=60, every_seconds=0.02
                )
            time.sleep(dice.random() * 0.4)
            agents = children(worker.pid)
            if agents and dice.random() < 0.4:
                os.kill(dice.choice(agents), signal.SIGKILL)
            else:
                worker.kill()
                worker = None
        worker = worker or installation.start_worker()
        wait_for(
            lambda: all(job_of(services, job_id).state.has_ended for job_id in asked),
            "all jobs to end",
            timeout_seconds=120,
        )
        worker.stop()
        assert_one_effect_each(services, asked)
        figure("random kills of workers and agents", KILLS, "kills")
        figure("random kills: jobs, each with one effect", len(asked), "jobs")


def any_running(services: Services, asked: set[str]) -> bool:
    return any(job_of(services, job_id).state is JobState.RUNNING for job_id in asked)


def assert_one_effect_each(services: Services, asked: set[str]) -> None:
    """A job that is done has made exactly its own point; one that failed has made none; nothing else was made."""
    made = [
        point.id
        for domain in services.queries.domains(COMMAND_LINE)
        for point in services.queries.points(COMMAND_LINE, domain.id)
    ]
    assert len(made) == len(set(made))
    ended = {job_id: job_of(services, job_id) for job_id in asked}
    assert {job.state for job in ended.values()} <= {JobState.DONE, JobState.FAILED}
    assert {job_id for job_id, job in ended.items() if job.state is JobState.DONE} == set(made)
    assert max(job.attempts for job in ended.values()) <= MOST_ATTEMPTS + 1
    failed = [job for job in ended.values() if job.state is JobState.FAILED]
    assert {job.error_code for job in failed} <= {"agent.failed"}
    assert len(failed) <= KILLS

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

from sqlalchemy import text

from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Job, JobState
from smartbackup_panel.services.jobs import MOST_ATTEMPTS
from smartbackup_panel.settings import load_settings
from tests.support.figures import Figure
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB
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


def begun(services: Services) -> int:
    """Return how many times jobs were begun so far."""
    with services.installation.state.read() as tx:
        return int(tx.execute(text("SELECT coalesce(sum(attempts), 0) FROM jobs")).scalar_one())


def has_begun_more(services: Services, than: int) -> bool:
    return begun(services) > than


def assert_nobody_is_served_twice(services: Services) -> None:
    with services.installation.state.read() as tx:
        twice = text("SELECT domain_id FROM jobs WHERE state = 'running' GROUP BY domain_id HAVING count(*) > 1")
        assert tx.execute(twice).all() == []


def add_sites(installation: Installation, server: MariaDB) -> None:
    """Make twenty sites; every fourth has a database, so that there are dump programs to kill."""
    for number in range(TENANTS):
        files: dict[str, bytes | str] = {f"{name}.bin": os.urandom(300_000) for name in range(5)}
        if number % 4 == 0:
            name = server.unique("kills")
            server.create_tenant(name, name, "s3cret")
            server.admin("CREATE TABLE posts (id INT PRIMARY KEY, body TEXT)", database=name)
            server.admin("INSERT INTO posts SELECT seq, REPEAT('words ', 500) FROM seq_1_to_8000", database=name)
            login = (
                f"DB_CONNECTION=mysql\nDB_DATABASE={name}\nDB_USERNAME={name}\nDB_PASSWORD=s3cret\nDB_HOST=localhost\n"
            )
            files |= {"artisan": "", "composer.json": "{}", ".env": f"{login}DB_SOCKET={server.socket}\n"}
        installation.add_site(f"site{number:02d}.example.test", files)


def test_random_kills_lose_no_job_and_run_none_twice(mariadb_server: MariaDB, figure: Figure) -> None:
    """A worker is killed only after it has begun a job: what is killed works."""
    dice = random.Random(42)
    settings = {"RECONCILE_SECONDS": "3600", "DATABASE_HOSTS": f"localhost:{mariadb_server.socket}"}
    with make_installation(settings) as installation:
        add_sites(installation, mariadb_server)
        installation.smartbackup("reconcile")
        services = open_services(load_settings(environment=installation.environment))
        asked: set[str] = set()
        killed = {"workers": 0, "children": 0}
        worker: Server | None = None
        while sum(killed.values()) < KILLS:
            asked |= set(submit_all(services))
            if worker is None:
                before = begun(services)
                worker = installation.start_worker()
                wait_for(partial(has_begun_more, services, before), "a job to begin", timeout_seconds=60)
            time.sleep(dice.random() * 0.4)
            assert_nobody_is_served_twice(services)
            agents = children(worker.pid)
            if dice.random() < 0.7:
                for child in agents and [dice.choice(agents)]:
                    os.kill(child, signal.SIGKILL)
                    killed["children"] += 1
            else:
                worker.kill()
                worker = None
                killed["workers"] += 1
        worker = worker or installation.start_worker()
        wait_for(
            lambda: all(job_of(services, job_id).state.has_ended for job_id in asked),
            "all jobs to end",
            timeout_seconds=120,
        )
        worker.stop()
        assert_one_effect_each(services, asked)
        assert installation.smartbackup("verify", "site00.example.test")["damaged"] == []
        figure("random kills of workers", killed["workers"], "kills")
        figure("random kills of agents and dump programs", killed["children"], "kills")
        figure("random kills: jobs, each with one effect", len(asked), "jobs")


def assert_one_effect_each(services: Services, asked: set[str]) -> None:
    """A job that is done has made exactly its own point; one that failed has made none; nothing else was made."""
    made = [
        point.id
        for domain in services.queries.domains(COMMAND_LINE)
        for point in services.queries.points(COMMAND_LINE, domain.id)
    ]
    assert len(made) == len(set(made))
    ended = {job_id: job_of(services, job_id) for job_id in asked}
    assert {job.state for job in ended.values()} <= {JobState.DONE, JobState.PARTIAL, JobState.FAILED}
    assert {job_id for job_id, job in ended.items() if job.state is not JobState.FAILED} == set(made)
    partial_ones = [job for job in ended.values() if job.state is JobState.PARTIAL]
    assert all("is not in this point" in str((job.result or {}).get("warnings")) for job in partial_ones)
    assert max(job.attempts for job in ended.values()) <= MOST_ATTEMPTS + 1
    failed = [job for job in ended.values() if job.state is JobState.FAILED]
    assert {job.error_code for job in failed} <= {"agent.failed"}
    assert len(failed) <= KILLS

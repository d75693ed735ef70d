"""What a running worker keeps to: the most urgent job first whatever its domain, so many at once, and an end for who cancels."""

from __future__ import annotations

import os
import time
from itertools import combinations

from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Job, JobKind, JobState
from smartbackup_panel.settings import load_settings
from tests.support.installation import Installation, make_installation
from tests.support.servers import wait_for

NAMES = [f"site{number:02}.example.test" for number in range(14)]
AT_ONCE = 2


def services_of(installation: Installation) -> Services:
    return open_services(load_settings(environment=installation.environment))


def all_jobs(services: Services) -> list[Job]:
    return [job for job, domain in services.queries.jobs(COMMAND_LINE, limit=500) if domain]


def running(services: Services) -> list[Job]:
    return [job for job in all_jobs(services) if job.state is JobState.RUNNING]


def overlap(one: Job, other: Job) -> bool:
    assert one.started_at and one.finished_at and other.started_at and other.finished_at
    return one.started_at < other.finished_at and other.started_at < one.finished_at


def test_a_restore_goes_before_a_night_of_backups_and_so_many_run_at_once() -> None:
    content = os.urandom(12_000_000)
    with make_installation({"CONCURRENCY": str(AT_ONCE)}) as installation:
        for name in NAMES:
            installation.add_site(name, {"photo.jpg": content, "index.html": "<h1>words</h1>\n"})
        point = installation.smartbackup("backup", NAMES[-1])["point"]
        services = services_of(installation)
        ids = {domain.name: domain.id for domain in services.queries.domains(COMMAND_LINE)}
        for name in NAMES[:-1]:
            services.requests.backup(COMMAND_LINE, ids[name], "full")
        installation.start_worker()
        wait_for(lambda: len(running(services)) == AT_ONCE, "the night to begin")
        params = services.requests.restore_params(
            COMMAND_LINE, ids[NAMES[-1]], point, files=True, databases=False, exact=True, paths=(), to=None
        )
        restore = services.requests.restore_now(COMMAND_LINE, ids[NAMES[-1]], params, "k" * 32)
        wait_for(lambda: all(job.state.has_ended for job in all_jobs(services)), "all to end", timeout_seconds=120)
        ended = [job for job in all_jobs(services) if job.actor.source == "cli"]
        [restored] = [job for job in ended if job.id == restore.id]
        assert {job.state for job in ended} == {JobState.DONE}
        begun = restored.started_at
        assert begun
        before = [
            job
            for job in ended
            if job.kind is JobKind.BACKUP and job.started_at and restore.created_at < job.started_at < begun
        ]
        assert len(before) <= AT_ONCE, "what the engine had been given already"
        waited = [job for job in ended if job.kind is JobKind.BACKUP and job.started_at and job.started_at > begun]
        assert len(waited) >= len(NAMES) - 2 * AT_ONCE - 2, "the night was still long"
        for some in combinations([job for job in ended if job.finished_at != job.started_at], AT_ONCE + 1):
            assert not all(overlap(one, other) for one, other in combinations(some, 2))


def test_who_cancels_hears_the_end_at_once_and_nothing_is_left() -> None:
    with make_installation({"CONCURRENCY": "1"}) as installation:
        for name in NAMES[:3]:
            site = installation.add_site(name, {"index.html": "<h1>words</h1>\n"})
            for number in range(40):
                site.write(f"film-{number}.bin", os.urandom(4_000_000))
        installation.smartbackup("reconcile")
        services = services_of(installation)
        wanted = {domain.name: domain.id for domain in services.queries.domains(COMMAND_LINE)}
        for job in all_jobs(services):
            services.requests.cancel(COMMAND_LINE, job.id)
        assert {job.state for job in all_jobs(services)} <= {JobState.CANCELLED}
        made = [services.requests.backup(COMMAND_LINE, wanted[name], "full") for name in NAMES[:3]]
        installation.start_worker()
        wait_for(
            lambda: services.queries.job(COMMAND_LINE, made[0].id).state is JobState.RUNNING, "the first one to begin"
        )
        for job in made[:2]:
            services.requests.cancel(COMMAND_LINE, job.id)
        asked = time.monotonic()
        waiting = services.queries.job(COMMAND_LINE, made[1].id)
        assert (waiting.state, waiting.started_at) == (JobState.CANCELLED, None)
        wait_for(lambda: services.queries.job(COMMAND_LINE, made[0].id).state.has_ended, "the running one to end")
        assert time.monotonic() - asked < 5
        wait_for(
            lambda: services.queries.job(COMMAND_LINE, made[2].id).state.has_ended, "the last one", timeout_seconds=60
        )
        states = [services.queries.job(COMMAND_LINE, job.id).state for job in made]
        assert states == [JobState.CANCELLED, JobState.CANCELLED, JobState.DONE]
        left = [path.name for name in NAMES[:2] for path in (installation.backup_root / name).glob("*")]
        assert left == []
        assert installation.smartbackup("points", NAMES[0]) == []

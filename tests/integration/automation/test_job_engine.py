"""What the durable engine keeps: nothing of jobs that have ended, and every job until its end is on record."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from smartbackup_panel.adapters.db import schedules
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Analysis, Job, JobState
from smartbackup_panel.settings import load_settings
from tests.support.installation import Installation
from tests.support.servers import wait_for

DOMAIN = "shop.example.test"


def services_of(installation: Installation) -> Services:
    return open_services(load_settings(environment=installation.environment))


def run_in_worker(installation: Installation, services: Services, job: Job) -> Job:
    """Let a worker run a job, stop it when its engine knows the end too, and return the job as it ended."""
    worker = installation.start_worker()
    wait_for(lambda: services.queries.job(COMMAND_LINE, job.id).state.has_ended, "the job to end", timeout_seconds=60)
    wait_for(lambda: set(kept_by_engine(services)) <= {"SUCCESS"}, "the engine to note the end")
    worker.stop()
    return services.queries.job(COMMAND_LINE, job.id)


def kept_by_engine(services: Services) -> list[str]:
    with services.installation.state.read() as tx:
        return [row.status for row in tx.execute(text("SELECT status FROM workflow_status"))]


def test_ended_jobs_leave_the_engine_and_stay_in_the_history(installation: Installation) -> None:
    installation.add_site(DOMAIN, {"index.html": "<h1>shop</h1>\n"})
    installation.smartbackup("reconcile")
    services = services_of(installation)
    domain = services.queries.domain_named(COMMAND_LINE, DOMAIN)
    first = run_in_worker(installation, services, services.requests.backup(COMMAND_LINE, domain.id, "full"))
    second = run_in_worker(installation, services, services.requests.backup(COMMAND_LINE, domain.id, "full"))
    assert len(kept_by_engine(services)) == 1, "the first one went when the worker started again"
    assert [job.id for job, domain in services.queries.jobs(COMMAND_LINE) if domain] == [second.id, first.id]


def test_a_job_whose_end_could_not_be_recorded_is_run_again(installation: Installation) -> None:
    installation.add_site(DOMAIN, {"index.html": "<h1>shop</h1>\n"})
    installation.smartbackup("reconcile")
    services = services_of(installation)
    domain = services.queries.domain_named(COMMAND_LINE, DOMAIN)
    job = run_in_worker(installation, services, services.requests.verify(COMMAND_LINE, domain.id, None))
    with services.installation.state.write() as tx:
        tx.execute(text("UPDATE jobs SET state = 'running', finished_at = NULL WHERE id = :id"), {"id": job.id})
    again = run_in_worker(installation, services, job)
    assert (again.state, again.attempts) == (JobState.DONE, 2)


def test_a_changed_schedule_is_said_in_the_jobs_log(installation: Installation) -> None:
    installation.add_site(DOMAIN, {f"{number}.html": "<h1>shop</h1>\n" for number in range(140)})
    installation.smartbackup("reconcile")
    services = services_of(installation)
    domain = services.queries.domain_named(COMMAND_LINE, DOMAIN)
    now = services.installation.clock.now()
    with services.installation.state.write() as tx:
        for changes, level, days_ago in ((31, "medium", 3), (31, "medium", 2), (150, "high", 1)):
            analysis = Analysis(
                *(changes, level, 0, 31.0, "stable", 50 * 1024 * 1024, "small", 100, "static"),
                now - timedelta(days=days_ago),
                0.1,
            )
            schedules.insert_analysis(tx, domain.id, analysis)
    installation.smartbackup("schedule", "set", DOMAIN, "0 3 * * *")
    with services.installation.state.write() as tx:
        tx.execute(text("UPDATE schedules SET pinned = 0"))
    job = services.requests.backup(COMMAND_LINE, domain.id, "full")
    services.runner().run(job.id)
    said = [line.text for line in services.queries.job_page(COMMAND_LINE, job.id).log]
    assert any(
        line.startswith("activity medium → high: 31 → 140 files a day; now every 6 hours from ") for line in said
    ), said


def test_averages_and_trends_are_of_thirty_days_however_often_a_domain_is_looked_at(installation: Installation) -> None:
    installation.add_site(DOMAIN, {"index.html": "<h1>shop</h1>\n"})
    installation.smartbackup("reconcile")
    services = services_of(installation)
    domain = services.queries.domain_named(COMMAND_LINE, DOMAIN)
    now = services.installation.clock.now()
    with services.installation.state.write() as tx:
        for hours in range(20 * 24, 0, -1):
            changes = 100 if hours >= 10 * 24 else 0
            facts = (changes, "medium", 0, 31.0, "stable", 50 * 1024 * 1024, "small", 100, "static")
            schedules.insert_analysis(tx, domain.id, Analysis(*facts, now - timedelta(hours=hours), 0.1))
    found = installation.smartbackup("analyze", DOMAIN)
    assert 40 < found["average_daily_changes"] < 60
    assert found["trend"] == "falling"

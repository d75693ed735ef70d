"""A backup that is killed after its point was recorded has made that point: once, and its job is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Domain, Job, JobState
from smartbackup_panel.services import sidecars
from smartbackup_panel.services.jobs import fail_orphans, this_process
from smartbackup_panel.settings import load_settings
from tests.support.installation import make_installation

DOMAIN = "shop.example.test"


class Killed(BaseException):
    """Ends a job as SIGKILL would: nothing of the product catches it."""


@dataclass
class Shop:
    """A domain with a full point, its store, and files to change."""

    services: Services
    domain: Domain
    store: Path
    root: Path

    def backup(self) -> Job:
        return self.services.requests.backup(COMMAND_LINE, self.domain.id, "incremental")

    def points(self) -> list[str]:
        return [point.id for point in self.services.queries.points(COMMAND_LINE, self.domain.id)]

    def job(self, job: Job) -> Job:
        return self.services.queries.job(COMMAND_LINE, job.id)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with make_installation() as installation:
        site = installation.add_site(DOMAIN, {"index.html": "<h1>shop</h1>\n", "a.txt": "one\n"})
        installation.smartbackup("backup", DOMAIN)
        services = open_services(load_settings(environment=installation.environment))
        domain = services.queries.domain_named(COMMAND_LINE, DOMAIN)
        site.write("a.txt", "two\n")
        yield Shop(services, domain, installation.backup_root, site.root)


def kill_after_recording(shop: Shop, job: Job, monkeypatch: pytest.MonkeyPatch, runner: str) -> None:
    """Run a job and end it when its point is recorded and nothing was done since."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sidecars, "write_lists", die)
        shop.services.runner(runner).run(job.id)
    assert shop.job(job).state is JobState.RUNNING
    assert job.id in shop.points()


def test_the_worker_finishes_it_without_a_second_point(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shop.backup()
    kill_after_recording(shop, job, monkeypatch, "worker")
    files = {path.name for path in (shop.store / DOMAIN).iterdir()}
    ended = shop.services.runner("worker").run(job.id)
    assert (ended.state, ended.attempts) == (JobState.DONE, 2)
    assert ended.result is not None and ended.result["point"] == job.id
    assert len(shop.points()) == 2
    assert {path.name for path in (shop.store / DOMAIN).iterdir()} == files
    assert job.id in (shop.store / ".metadata" / f"{DOMAIN}_backups.json").read_text()
    [changed] = (shop.store / ".incremental" / DOMAIN).glob("changed_files_*.txt")
    assert changed.read_text() == "a.txt\n"


def test_a_command_that_died_then_has_done_its_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shop.backup()
    kill_after_recording(shop, job, monkeypatch, "pid:1:0")
    assert job.id in fail_orphans(shop.services.installation)
    ended = shop.job(job)
    assert (ended.state, ended.error_code) == (JobState.DONE, None)
    assert ended.result is not None and ended.result["point"] == job.id


@pytest.mark.parametrize("runner", ["pid:1:0", "worker"])
def test_whoever_asks_again_gets_a_point_of_that_moment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    job = shop.backup()
    kill_after_recording(shop, job, monkeypatch, runner)
    again = shop.backup()
    assert again.id != job.id
    assert shop.job(job).state is JobState.DONE
    assert shop.services.runner("worker").run(again.id).state is JobState.DONE
    assert shop.points()[:2] == [again.id, job.id]


def test_a_new_request_does_not_go_on_with_what_a_dead_command_had_begun(shop: Shop) -> None:
    def verify() -> Job:
        return shop.services.requests.verify(COMMAND_LINE, shop.domain.id, None)

    def begin(job: Job, runner: str) -> None:
        with shop.services.installation.state.write() as tx:
            jobs.start(tx, job.id, runner, shop.services.installation.clock.now())

    dead = verify()
    begin(dead, "pid:1:0")
    living = verify()
    assert living.id != dead.id
    assert (shop.job(dead).state, shop.job(dead).error_code) == (JobState.FAILED, "agent.failed")
    begin(living, this_process())
    assert verify().id == living.id
    begin(living, "worker")
    assert verify().id == living.id, "the next worker goes on with it"


def test_a_cancellation_that_came_too_late_does_not_deny_the_point(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shop.backup()
    kill_after_recording(shop, job, monkeypatch, "worker")
    with shop.services.installation.state.write() as tx:
        jobs.request_cancel(tx, job.id, shop.services.installation.clock.now())
    assert shop.services.runner("worker").run(job.id).state is JobState.DONE


def test_lists_that_cannot_be_written_are_said_and_cost_no_point(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecars, "write_lists", fail)
    job = shop.backup()
    assert shop.services.runner("worker").run(job.id).state is JobState.DONE
    said = [line.text for line in shop.services.queries.job_page(COMMAND_LINE, job.id).log]
    assert "the lists beside the archives could not be renewed: No space left on device" in said

"""What happens by itself: hooks, the inventory, schedules, one job a domain."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from smartbackup_panel.bootstrap import open_services
from smartbackup_panel.core.model import COMMAND_LINE, Actor, JobKind, JobState, Role
from smartbackup_panel.settings import load_settings
from smartbackup_panel.worker import Worker
from tests.support.clock import a_host
from tests.support.installation import Installation, make_installation
from tests.support.servers import wait_for
from tests.support.sites import ALICE, BOB, differences

FILES = {"index.html": "<h1>shop</h1>\n"}


def states(installation: Installation) -> dict[str, str]:
    return {row["domain"]: row["state"] for row in installation.smartbackup("domains")}


def test_a_hook_leads_to_a_first_point_and_a_schedule_without_a_click() -> None:
    with make_installation({"RECONCILE_SECONDS": "3600"}) as installation:
        installation.start_worker()
        installation.wait_for_worker()
        installation.add_site("shop.example.test", FILES)
        assert installation.hook("domain-created", "shop.example.test") == 0
        started = time.monotonic()
        wait_for(lambda: os.listdir(installation.spool) == [], "the event to be taken over", every_seconds=0.05)
        assert time.monotonic() - started < 2.0
        [point] = installation.wait_for_points("shop.example.test", 1)
        assert (point["type"], point["state"]) == ("full", "good")
        assert len(installation.smartbackup("schedule", "show", "shop.example.test")["next_runs"]) == 5


def test_a_hook_that_comes_before_its_folder_is_not_forgotten() -> None:
    with make_installation({"RECONCILE_SECONDS": "3600"}) as installation:
        installation.start_worker()
        installation.wait_for_worker()
        assert installation.hook("domain-created", "slow.example.test") == 0
        wait_for(lambda: os.listdir(installation.spool) == [], "the event to be taken over")
        time.sleep(1.5)
        installation.add_site("slow.example.test", FILES)
        installation.wait_for_points("slow.example.test", 1, timeout_seconds=20)


def test_a_folder_without_a_hook_is_found() -> None:
    with make_installation({"RECONCILE_SECONDS": "5"}) as installation:
        installation.start_worker()
        installation.add_site("quiet.example.test", FILES)
        installation.wait_for_points("quiet.example.test", 1)


def test_folders_that_are_no_domains_are_left_alone(installation: Installation) -> None:
    for name in ("shop.example.test", "html", ".hidden", "with space", "-rf", ".smartbackup-01234567-shop"):
        (installation.domains_root / name).mkdir()
    (installation.domains_root / "link.example.test").symlink_to("shop.example.test")
    (installation.domains_root / "file.example.test").write_text("")
    assert installation.smartbackup("reconcile")["created"] == ["shop.example.test"]


def test_a_deleted_domain_keeps_its_points_and_its_name_can_be_used_by_somebody_else(
    installation: Installation,
) -> None:
    site = installation.add_site("shop.example.test", FILES)
    made = installation.smartbackup("backup", "shop.example.test")
    first = installation.smartbackup("domains", "show", "shop.example.test")
    assert installation.hook("domain-deleted", "shop.example.test") == 0
    shutil.rmtree(site.root)
    installation.smartbackup("worker", "--once")
    assert states(installation) == {}
    [point] = installation.smartbackup("points", "shop.example.test")
    assert point["point"] == made["point"]
    installation.add_site("shop.example.test", FILES, tenant=BOB)
    installation.hook("domain-created", "shop.example.test")
    installation.smartbackup("worker", "--once")
    second = installation.smartbackup("domains", "show", "shop.example.test")
    assert second["id"] != first["id"]
    assert made["point"] not in [row["point"] for row in installation.smartbackup("points", "shop.example.test")]


def test_a_hook_alone_deletes_nothing_while_the_folder_is_there(installation: Installation) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    installation.hook("domain-deleted", "shop.example.test")
    installation.smartbackup("worker", "--once")
    assert states(installation) == {"shop.example.test": "active"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_that_comes_back_with_another_owner_is_another_domain(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    first = installation.smartbackup("domains", "show", "shop.example.test")["id"]
    shutil.rmtree(site.root)
    installation.smartbackup("reconcile")
    assert states(installation) == {"shop.example.test": "missing"}
    installation.add_site("shop.example.test", FILES, tenant=BOB)
    installation.smartbackup("reconcile")
    assert installation.smartbackup("domains", "show", "shop.example.test")["id"] != first


def test_a_folder_that_comes_back_with_its_owner_is_the_same_domain(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    first = installation.smartbackup("domains", "show", "shop.example.test")["id"]
    os.rename(site.root, installation.folder / "away")
    installation.smartbackup("reconcile")
    os.rename(installation.folder / "away", site.root)
    found = installation.smartbackup("reconcile")
    assert found["returned"] == ["shop.example.test"]
    assert installation.smartbackup("domains", "show", "shop.example.test")["id"] == first


def test_a_due_run_is_made_once_however_many_were_missed(installation: Installation) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    installation.smartbackup("schedule", "set", "shop.example.test", "17 4 * * *=incremental")
    services = open_services(load_settings(environment=installation.environment))
    with services.installation.state.write() as tx:
        missed = datetime.now(UTC) - timedelta(hours=9)
        tx.execute(text("UPDATE schedules SET next_run_at = :at"), {"at": missed.isoformat(timespec="microseconds")})
    installation.smartbackup("worker", "--once")
    made = installation.points("shop.example.test")
    assert [row["type"] for row in made] == ["incremental", "full"]
    installation.smartbackup("worker", "--once")
    assert len(installation.points("shop.example.test")) == 2
    schedule = services.queries.schedule(COMMAND_LINE, installation.smartbackup("domains")[0]["id"])
    assert schedule is not None and schedule.next_run_at is not None and schedule.next_run_at > datetime.now(UTC)


def test_the_same_click_twice_makes_one_job(installation: Installation) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.smartbackup("reconcile")
    services = open_services(load_settings(environment=installation.environment))
    domain_id = installation.smartbackup("domains")[0]["id"]
    first = services.requests.backup(COMMAND_LINE, domain_id)
    assert services.requests.backup(COMMAND_LINE, domain_id).id == first.id
    installation.smartbackup("worker", "--once")
    assert [job.kind for job, domain in services.queries.jobs(COMMAND_LINE) if domain] == [JobKind.BACKUP]


def test_a_second_worker_leaves_at_once(installation: Installation) -> None:
    installation.start_worker()
    installation.wait_for_worker()
    refused = installation.smartbackup("worker", "--once", exit_code=1)
    assert refused["error"]["code"] == "worker.unavailable"


def test_with_a_worker_the_command_hands_the_work_over_and_waits(installation: Installation) -> None:
    installation.add_site("shop.example.test", FILES)
    installation.start_worker()
    installation.wait_for_points("shop.example.test", 1)
    made = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    assert made["type"] == "incremental"
    services = open_services(load_settings(environment=installation.environment))
    jobs = [job for job, domain in services.queries.jobs(COMMAND_LINE) if domain]
    assert [job.state for job in jobs] == [JobState.DONE, JobState.DONE]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_the_worker_asks_again_whether_the_domain_is_still_the_customers(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", FILES)
    installation.smartbackup("backup", "shop.example.test")
    services = open_services(load_settings(environment=installation.environment))
    domain_id = installation.smartbackup("domains")[0]["id"]
    alice = Actor("alice", Role.CUSTOMER, owner=str(ALICE.uid))
    job = services.requests.backup(alice, domain_id)
    os.chown(site.root, BOB.uid, BOB.gid)
    installation.smartbackup("worker", "--once")
    ended = services.queries.job(COMMAND_LINE, job.id)
    assert (ended.state, ended.error_code) == (JobState.FAILED, "domain.unknown")


def test_ten_domains_are_backed_up_together(installation: Installation) -> None:
    sites = [installation.add_site(f"site{number}.example.test", FILES) for number in range(10)]
    made = installation.smartbackup("backup", "--all")
    assert [row["domain"] for row in made] == sorted(site.domain for site in sites)
    assert {row["verified"] for row in made} == {"read back"}
    then = sites[0].tree()
    (sites[0].root / "index.html").unlink()
    installation.smartbackup("restore", sites[0].domain, "--point", "latest", "--yes")
    assert not differences(then, sites[0].tree())


def test_a_step_that_fails_holds_up_no_other_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def broken(_: object) -> None:
        raise OSError("a disk that is gone")

    with a_host(tmp_path) as host:
        Worker(host.services)._do([broken, lambda there: done.append(there.settings.backup_root)])
    assert done == [str(tmp_path / "store")]
    assert "broken failed" in caplog.text

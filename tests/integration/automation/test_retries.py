"""A backup that failed by itself is tried again after a quarter of an hour, an hour, four hours, then daily."""

from __future__ import annotations

from pathlib import Path

from smartbackup_panel.adapters.db import domains
from smartbackup_panel.core.model import COMMAND_LINE, Domain, DomainState, Job, JobState
from smartbackup_panel.services import scheduling
from smartbackup_panel.services.coverage import cover_new_domains
from smartbackup_panel.services.retries import retry_failed
from tests.support.clock import Host, a_host


def fail_the_first_one(host: Host) -> Domain:
    """Record a new domain whose first backup fails; without an analysis it has no schedule."""
    domain = host.add_domain("shop.example")
    [job] = cover_new_domains(host.installation)
    host.finish(job, JobState.FAILED)
    return domain


def waiting(host: Host) -> Job:
    [job] = host.unfinished()
    return job


def test_the_first_backup_of_a_new_domain_is_tried_until_it_ends_well(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        fail_the_first_one(host)
        for minutes in (15, 60, 240, 1440, 1440):
            host.clock.move(minutes=minutes - 1)
            assert retry_failed(host.installation) == []
            host.clock.move(minutes=1)
            assert len(retry_failed(host.installation)) == 1
            assert retry_failed(host.installation) == [], "one that waits is enough"
            host.finish(waiting(host), JobState.FAILED)
        host.clock.move(days=1)
        retry_failed(host.installation)
        host.finish(waiting(host), JobState.DONE)
        host.clock.move(days=1)
        assert retry_failed(host.installation) == []


def test_it_is_the_same_backup_and_its_log_says_why(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        fail_the_first_one(host)
        host.clock.move(minutes=15)
        [again] = retry_failed(host.installation)
        assert waiting(host).params == {"type": "auto", "files": True, "databases": True}
        [line] = host.services.queries.job_page(COMMAND_LINE, again).log
        assert line.text == "tried again after it failed once: without a word"


def test_a_planned_run_is_made_up_for_before_its_next_turn(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 3)
        host.add_point(domain)
        host.clock.move(days=7)
        [planned] = scheduling.enqueue_due(host.installation)
        host.finish(waiting(host), JobState.FAILED)
        host.clock.move(minutes=15)
        [again] = retry_failed(host.installation)
        assert again != planned


def test_what_a_person_asked_for_is_not_repeated(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        job = host.services.requests.backup(COMMAND_LINE, domain.id)
        host.finish(job, JobState.FAILED)
        host.clock.move(days=2)
        assert retry_failed(host.installation) == []


def test_a_domain_whose_folder_is_gone_is_not_tried(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = fail_the_first_one(host)
        with host.installation.state.write() as tx:
            domains.set_state(tx, domain.id, DomainState.MISSING, host.clock.now())
        host.clock.move(days=1)
        assert retry_failed(host.installation) == []


def test_nothing_is_tried_in_a_blackout(tmp_path: Path) -> None:
    with a_host(tmp_path, BLACKOUT_HOURS="12:00-13:00") as host:
        fail_the_first_one(host)
        host.clock.move(minutes=30)
        assert retry_failed(host.installation) == []
        host.clock.move(minutes=30)
        assert len(retry_failed(host.installation)) == 1

"""What a look at the panel's inventory changed is kept as a job, whoever looked; a look that changes nothing leaves none."""

from __future__ import annotations

import os
from pathlib import Path

from smartbackup_panel.core.model import COMMAND_LINE, PANEL, Actor, JobKind, JobState, Role
from smartbackup_panel.services.domains import reconcile
from smartbackup_panel.services.purge import forget_history
from tests.support.clock import Host, a_host

ALICE = Actor("alice", Role.CUSTOMER, "alice", "web")


def looks(host: Host) -> list[tuple[str, JobState, list[str]]]:
    """Return (who, state, log) of the jobs of this kind, newest first."""
    page = host.services.queries.job_page
    found = [job for job, domain in host.services.queries.jobs(PANEL) if job.kind is JobKind.RECONCILE and not domain]
    return [(job.actor.login, job.state, [line.text for line in page(PANEL, job.id).log]) for job in found]


def test_what_changed_is_a_job_with_its_names(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        for name in ("one.example.test", "two.example.test"):
            (tmp_path / "domains" / name).mkdir()
        reconcile(host.installation, COMMAND_LINE)
        reconcile(host.installation)
        (tmp_path / "domains" / "two.example.test").rename(tmp_path / "two.example.test")
        host.clock.move(minutes=2)
        reconcile(host.installation)
        host.clock.move(minutes=2)
        (tmp_path / "two.example.test").rename(tmp_path / "domains" / "two.example.test")
        reconcile(host.installation)
        assert looks(host) == [
            (PANEL.login, JobState.DONE, ["back again: two.example.test"]),
            (PANEL.login, JobState.DONE, ["not in the inventory any more, the points are kept: two.example.test"]),
            (COMMAND_LINE.login, JobState.DONE, ["new: one.example.test, two.example.test"]),
        ]
        assert [job for job, _ in host.services.queries.jobs(ALICE) if job.kind is JobKind.RECONCILE] == []
        assert host.unfinished() == []


def test_many_names_are_counted(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        for number in range(23):
            os.mkdir(tmp_path / "domains" / f"site{number:02}.example.test")
        reconcile(host.installation)
        [(_, _, [text])] = looks(host)
        assert text.startswith("new: site00.example.test, ")
        assert text.endswith("site19.example.test and 3 more")


def test_these_jobs_go_with_the_history(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        os.mkdir(tmp_path / "domains" / "one.example.test")
        reconcile(host.installation)
        host.clock.move(days=400)
        forget_history(host.installation)
        assert looks(host) == []

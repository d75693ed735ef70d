"""The dashboard over the real services: alarms, several backups at once, figures for Prometheus; each for whom it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartbackup_panel.adapters.db import domains, jobs
from smartbackup_panel.core.errors import DumpFailed, NotAllowed, UnknownDomain, WrongUsage
from smartbackup_panel.core.model import SCHEDULER, Actor, DomainState, JobKind, JobState, Role
from tests.support.clock import a_host

ROSA = Actor("rosa", Role.ADMIN)
ALICE = Actor("alice", Role.CUSTOMER, owner="alice")
BOB = Actor("bob", Role.CUSTOMER, owner="bob")


def test_the_dashboard_shows_the_alarms_of_whoever_looks(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        shop, blog = host.add_domain("shop.example"), host.add_domain("blog.example", owner="bob")
        for domain in (shop, blog):
            host.analyse(domain, 50)
            host.add_point(domain)
        queries = host.services.queries
        assert queries.dashboard(ROSA).problems == ()
        assert queries.dashboard(ROSA).sentence == "All 2 domains are protected."
        with host.installation.state.write() as tx:
            job, _ = jobs.submit(tx, JobKind.BACKUP, shop.id, SCHEDULER, {}, "backup", host.clock.now())
            jobs.start(tx, job.id, "worker", host.clock.now())
            jobs.finish(tx, job.id, JobState.FAILED, host.clock.now(), None, DumpFailed("no login"))
        [problem] = queries.dashboard(ALICE).problems
        assert (problem.sentence, problem.job_id) == ("The last backup of shop.example failed: no login", job.id)
        assert queries.dashboard(ALICE).sentence == "0 of 1 domain is protected; 1 needs you."
        assert queries.dashboard(BOB).problems == ()
        host.clock.move(days=2)
        sentences = [row.sentence for row in queries.dashboard(ROSA).problems]
        assert len(sentences) == 3 and "blog.example should have a restore point since" in " ".join(sentences)
        assert queries.dashboard(ROSA).protected_count == 0


def test_the_servers_own_alarms_are_the_administrators(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        shop = host.add_domain("shop.example")
        host.add_point(shop, archive_bytes=10**15)
        with host.installation.state.write() as tx:
            domains.set_state(tx, shop.id, DomainState.ACTIVE, host.clock.now())
        host.clock.move(days=1)
        kinds = [row.kind for row in host.services.queries.dashboard(ROSA).problems]
        assert "space" in kinds and "worker" not in kinds, "the page has a place of its own for the worker"
        assert "space" not in [row.kind for row in host.services.queries.dashboard(ALICE).problems]


def test_several_domains_are_backed_up_with_one_click_and_a_foreign_one_stops_all(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        every = [host.add_domain(f"site{number}.example") for number in range(3)]
        foreign = host.add_domain("bob.example", owner="bob")
        requests = host.services.requests
        with pytest.raises(UnknownDomain):
            requests.backup_many(ALICE, [every[0].id, foreign.id])
        with pytest.raises(WrongUsage):
            requests.backup_many(ALICE, [])
        assert host.unfinished() == []
        made = requests.backup_many(ALICE, [domain.id for domain in every] + [every[0].id])
        assert sorted(str(job.domain_id) for job in made) == sorted(domain.id for domain in every)
        assert {job.id for job in requests.backup_many(ROSA, [every[1].id])} < {job.id for job in made}
        assert len(host.unfinished()) == 3


def test_the_figures_for_prometheus_name_every_domain_and_are_the_administrators(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        host.add_point(host.add_domain("shop.example"), archive_bytes=1000)
        text = host.services.queries.metrics(ROSA)
        assert 'smartbackup_last_point_bytes{domain="shop.example"} 4000.0' in text
        with pytest.raises(NotAllowed):
            host.services.queries.metrics(ALICE)

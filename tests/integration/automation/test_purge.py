"""Deleted domains: a grace period, a last warning, then nothing is left; and nothing goes while the clock is suspect."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from smartbackup_panel.adapters.db import domains, jobs, points, schedules
from smartbackup_panel.core.model import (
    COMMAND_LINE,
    SCHEDULER,
    Actor,
    Domain,
    DomainState,
    JobKind,
    JobState,
    PanelDomain,
    Role,
)
from smartbackup_panel.services import alarms, purge
from smartbackup_panel.services.domains import reconcile
from tests.support.clock import Host, a_host


def a_deleted_domain(host: Host) -> Domain:
    domain = host.add_domain("old.example")
    host.analyse(domain, 5)
    point = host.add_point(domain)
    folder = Path(host.installation.store_folder(domain))
    folder.mkdir(parents=True)
    (folder / str(point.archive)).write_bytes(b"archive")
    with host.installation.state.write() as tx:
        domains.set_state(tx, domain.id, DomainState.DELETED, host.clock.now())
    return host.reload(domain)


def count_points(host: Host, domain: Domain) -> int:
    with host.installation.state.read() as tx:
        return len(points.list_points(tx, domain.id))


def test_points_go_after_the_grace_period_and_a_last_warning(tmp_path: Path) -> None:
    with a_host(tmp_path, GRACE_DAYS="30") as host:
        domain = a_deleted_domain(host)
        host.clock.move(days=26)
        alarms.look(host.installation)
        assert host.mailbox.messages == []
        host.clock.move(days=1)
        alarms.look(host.installation)
        [message] = host.mailbox.messages
        assert (
            "The restore points of old.example, deleted 2026-03-04, are about to be removed for good."
            in message.subject
        )
        assert purge.purge_due(host.installation) == []
        host.clock.move(days=3)
        assert purge.purge_due(host.installation) == ["old.example"]
        assert count_points(host, domain) == 0
        assert not os.path.exists(host.installation.store_folder(domain))
        assert purge.purge_due(host.installation) == []
        host.clock.move(hours=2)
        alarms.look(host.installation)
        assert len(host.mailbox.messages) == 1


def test_a_worker_that_was_off_warns_before_it_removes(tmp_path: Path) -> None:
    with a_host(tmp_path, GRACE_DAYS="30") as host:
        domain = a_deleted_domain(host)
        host.clock.move(days=90)
        assert purge.purge_due(host.installation) == []
        alarms.look(host.installation)
        host.clock.move(days=2)
        assert purge.purge_due(host.installation) == []
        host.clock.move(days=1)
        assert purge.purge_due(host.installation) == ["old.example"]
        assert count_points(host, domain) == 0


def test_nothing_is_removed_while_the_clock_is_suspect(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = a_deleted_domain(host)
        host.clock.move(days=28)
        alarms.look(host.installation)
        host.clock.move(days=3650)
        alarms.note_clock_jump(host.installation, timedelta(days=3650))
        assert purge.purge_due(host.installation) == []
        assert purge.forget_history(host.installation) == 0
        assert count_points(host, domain) == 1


def test_history_is_kept_a_year(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        for _ in range(2):
            with host.installation.state.write() as tx:
                job, _ = jobs.submit(tx, JobKind.BACKUP, domain.id, SCHEDULER, {}, "backup", host.clock.now())
            host.finish(job, JobState.DONE)
            host.analyse(domain, 50)
            host.clock.move(days=300)
        assert purge.forget_history(host.installation) == 1
        with host.installation.state.read() as tx:
            assert len(schedules.list_analyses(tx, domain.id)) == 1
        assert len(host.services.queries.jobs(COMMAND_LINE)) == 1


class Panel:
    """A panel with immutable ids, whose inventory the test writes."""

    id = "directory"

    def __init__(self) -> None:
        self.domains: list[PanelDomain] = []

    def list_domains(self) -> list[PanelDomain]:
        return self.domains


def look_at(host: Host, panel: Panel, *found: PanelDomain) -> list[Domain]:
    from dataclasses import replace

    panel.domains = list(found)
    reconcile(replace(host.installation, panel=panel))  # type: ignore[arg-type]  # reconcile asks for the inventory only
    return host.all_domains()


def test_a_rename_and_a_move_keep_the_history(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        panel = Panel()
        [domain] = look_at(
            host, panel, PanelDomain("17", "old.example", "old.example", "alice", 20001, 20001, "/srv/a/old")
        )
        host.add_point(domain)
        [renamed] = look_at(
            host, panel, PanelDomain("17", "new.example", "new.example", "alice", 20001, 20001, "/srv/b/new")
        )
        assert (renamed.id, renamed.name, renamed.root) == (domain.id, "new.example", "/srv/b/new")
        assert count_points(host, renamed) == 1
        assert renamed.store_folder == "old.example"


def test_a_new_owner_does_not_see_the_old_owners_points(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        panel = Panel()
        [old] = look_at(
            host, panel, PanelDomain("17", "shop.example", "shop.example", "alice", 20001, 20001, "/srv/shop")
        )
        host.add_point(old)
        look_at(host, panel, PanelDomain("17", "shop.example", "shop.example", "bob", 20002, 20002, "/srv/shop"))
        [seen] = host.services.queries.domains(Actor("bob", Role.CUSTOMER, "bob"))
        assert seen.id != old.id
        assert host.services.queries.points(Actor("bob", Role.CUSTOMER, "bob"), seen.id) == []
        assert count_points(host, old) == 1
        assert host.reload(old).state is DomainState.DELETED


def test_a_folder_that_is_given_away_right_after_it_was_made_is_one_domain(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        panel = Panel()
        [first] = look_at(host, panel, PanelDomain("17", "shop.example", "shop.example", "root", 0, 0, "/srv/shop"))
        [second] = look_at(
            host, panel, PanelDomain("17", "shop.example", "shop.example", "alice", 20001, 20001, "/srv/shop")
        )
        assert (second.id, second.owner) == (first.id, "alice")

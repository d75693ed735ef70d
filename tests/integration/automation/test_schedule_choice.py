"""A schedule that somebody chooses: looked at first, pinned with a record of who did it, given back to the analysis."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from smartbackup_panel.adapters.db.tables import audit
from smartbackup_panel.core.cron_words import in_words
from smartbackup_panel.core.errors import NotAllowed, UnknownDomain, WrongUsage
from smartbackup_panel.core.model import Actor, JobKind, Role, ScheduleLine, Strategy
from smartbackup_panel.core.schedule import check_cron
from smartbackup_panel.services.schedule_choice import Wish
from tests.support.clock import Host, a_host

ROSA = Actor("rosa", Role.ADMIN)
ALICE = Actor("alice", Role.CUSTOMER, "alice")
BOB = Actor("bob", Role.CUSTOMER, "bob")
WISH = Wish(("15 1 * * 1-5", "15 1 * * 0=full"), "Europe/Berlin", "mixed")


def audited(host: Host) -> list[tuple[str, str, dict[str, object]]]:
    with host.installation.state.read() as tx:
        return [(row.login, row.action, row.detail) for row in tx.execute(select(audit).order_by(audit.c.at))]


def test_a_wish_is_told_in_words_with_its_runs_and_changes_nothing(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain, choice = host.add_domain("shop.example"), host.services.schedule_choice
        host.analyse(domain, 5)
        before, audits = choice.of(ROSA, domain.id), audited(host)
        told = choice.look(ROSA, domain.id, WISH)
        assert told.in_words == ("Monday to Friday at 01:15", "Sundays at 01:15 (full)")
        assert told.next_runs[0] == datetime(2026, 3, 5, 0, 15, tzinfo=UTC)
        assert (len(told.next_runs), told.warning) == (5, None)
        often = choice.look(ROSA, domain.id, Wish(("7 * * * *",))).warning
        assert often == "this makes 24 restore points a day; most sites are served by one every six hours"
        assert choice.of(ROSA, domain.id) == before
        assert audited(host) == audits


def test_a_chosen_schedule_is_pinned_audited_and_given_back(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain, choice = host.add_domain("shop.example"), host.services.schedule_choice
        host.analyse(domain, 5)
        by_itself = choice.of(ROSA, domain.id).schedule
        assert by_itself is not None and not by_itself.pinned
        choice.choose(ROSA, domain.id, WISH)
        host.clock.move(days=7)
        host.analyse(domain, 500, 5000)
        pinned = choice.of(ROSA, domain.id).schedule
        assert pinned is not None
        assert (pinned.pinned, pinned.timezone, pinned.strategy) == (True, "Europe/Berlin", Strategy.MIXED)
        login, action, detail = audited(host)[-1]
        assert (login, action, detail["after"]) == ("rosa", "set schedule", ["15 1 * * 1-5", "15 1 * * 0=full"])
        assert detail["before"] == [line.cron for line in by_itself.lines]

        job = choice.choose_by_itself(ROSA, domain.id)
        assert (job.kind, job.domain_id) == (JobKind.ANALYSE, domain.id)
        after = choice.of(ROSA, domain.id).schedule
        assert after is not None and not after.pinned
        assert after.lines != pinned.lines
        assert ("rosa", "unpin schedule") in [row[:2] for row in audited(host)]


def test_what_cannot_be_used_and_who_may_not_change_nothing(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain, choice = host.add_domain("shop.example"), host.services.schedule_choice
        host.analyse(domain, 5)
        before, audits = choice.of(ROSA, domain.id), audited(host)
        bad = Wish(("0 0 31 2 *", "0 3 * * *=weekly", "0 3 * * *"), "Mars/Olympus", "yearly")
        assert [field for field, _ in choice.look(ROSA, domain.id, bad).wrong] == [
            "expressions",
            "expressions",
            "timezone",
            "strategy",
        ]
        with pytest.raises(WrongUsage, match="never comes"):
            choice.choose(ROSA, domain.id, bad)
        for refused, actor in ((NotAllowed, ALICE), (UnknownDomain, BOB)):
            with pytest.raises(refused):
                choice.choose(actor, domain.id, WISH)
            with pytest.raises(refused):
                choice.choose_by_itself(actor, domain.id)
        with pytest.raises(UnknownDomain):
            choice.look(BOB, domain.id, WISH)
        assert choice.of(ROSA, domain.id) == before
        assert audited(host) == audits


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "H 3 * * *", "@daily", "0 0 0 1 *"])
def test_expressions_that_never_come_or_are_none_are_refused(expression: str) -> None:
    with pytest.raises(WrongUsage):
        check_cron(expression)


def test_the_29th_of_february_comes() -> None:
    assert check_cron("0 0 29 2 *") == "0 0 29 2 *"


def test_a_weekday_of_the_month_is_not_read_as_every_week() -> None:
    assert in_words(ScheduleLine("0 3 * * 5#2")) == "by the cron expression 0 3 * * 5#2"
    assert in_words(ScheduleLine("0 3 * * 1-6")) == "Monday to Saturday at 03:00"
    assert in_words(ScheduleLine("0 3 * * 5,6,0")) == "Friday to Sunday at 03:00"

"""Schedules that change by themselves: slowly, in words, and never where an administrator pinned them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from smartbackup_panel.adapters.db import domains, schedules, traffic
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Domain, DomainState, JobKind, PointKind, Schedule, ScheduleLine, Strategy
from smartbackup_panel.core.traffic import Hours
from smartbackup_panel.services import scheduling
from tests.support.clock import Host, a_host


def plan_of(host: Host, domain: Domain) -> Schedule:
    with host.installation.state.read() as tx:
        found = schedules.find_schedule(tx, domain.id)
    assert found is not None
    return found


def texts(host: Host, domain: Domain) -> list[str]:
    return [said for _, said in scheduling.last_changes(host.installation, domain.id)]


def due_now(host: Host, *every: Domain) -> None:
    """Let a domain's next run have come."""
    with host.installation.state.write() as tx:
        for domain in every:
            schedules.set_next_run(tx, domain.id, host.clock.now(), None)


def test_one_busy_day_changes_nothing_and_two_readings_do_in_words(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 31)
        before = plan_of(host, domain)
        host.clock.move(days=1)
        host.analyse(domain, 140)
        assert plan_of(host, domain).lines == before.lines
        host.clock.move(days=1)
        host.analyse(domain, 33)
        assert plan_of(host, domain).lines == before.lines
        for _ in range(2):
            host.clock.move(days=1)
            host.analyse(domain, 140)
        assert "-23/6" in plan_of(host, domain).lines[0].cron
        [said] = texts(host, domain)
        assert said.startswith("activity medium → high: 33 → 140 files a day; now every 6 hours")


def test_two_clicks_are_one_reading(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 5)
        host.clock.move(days=1)
        host.analyse(domain, 140)
        host.clock.move(minutes=10)
        host.analyse(domain, 140)
        assert plan_of(host, domain).lines[0].cron.endswith("* * 0")


def test_growth_across_100_mb_and_1_gb_moves_the_strategy(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        seen = []
        for size_mb in (50, 500, 500, 5000, 5000):
            host.analyse(domain, 150, size_mb)
            seen.append(plan_of(host, domain).strategy)
            host.clock.move(days=1)
        assert seen == [Strategy.FULL, Strategy.FULL, Strategy.INCREMENTAL, Strategy.INCREMENTAL, Strategy.MIXED]
        assert texts(host, domain)[0].startswith("size medium → large: 500 → 5000 MB; now every day at ")


def test_a_pinned_schedule_stays(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 5)
        with host.installation.state.write() as tx:
            scheduling.set_schedule(host.installation, tx, domain, ["15 1 * * 1-5"], "Europe/Berlin")
        for _ in range(3):
            host.clock.move(days=7)
            host.analyse(domain, 500, 5000)
        found = plan_of(host, domain)
        assert ([line.cron for line in found.lines], found.timezone) == (["15 1 * * 1-5"], "Europe/Berlin")
        assert found.next_run_at is not None and found.next_run_at.hour == 0
        with host.installation.state.write() as tx, pytest.raises(WrongUsage, match="no time zone"):
            scheduling.set_schedule(host.installation, tx, domain, ["15 1 * * *"], "Mars/Olympus")


def test_the_hour_comes_from_the_access_log_after_seven_days(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        for days, expected in ((6, "near 3 AM"), (8, "quiet hour")):
            with host.installation.state.write() as tx:
                traffic.forget_domain(tx, domain.id)
                for day in range(days):
                    begin = datetime(2026, 2, 10, tzinfo=UTC) + timedelta(days=day)
                    busy = {begin + timedelta(hours=hour): 500 for hour in range(24) if hour != 5}
                    traffic.add_hours(tx, domain.id, Hours(requests=busy))
            host.analyse(domain, 30 if days == 6 else 5)
            host.clock.move(days=1)
            host.analyse(domain, 30 if days == 6 else 5)
            assert expected in plan_of(host, domain).reason
        assert plan_of(host, domain).lines[0].cron.split()[1] == "5"
        assert "0 requests an hour then and 500 at its busiest (8 days of traffic)" in plan_of(host, domain).reason


def test_missed_runs_are_caught_up_once_and_spread(tmp_path: Path) -> None:
    with a_host(tmp_path, CONCURRENCY="4") as host:
        every = [host.add_domain(f"site{number}.example") for number in range(20)]
        for domain in every:
            host.analyse(domain, 50)
            host.add_point(domain, seconds=300)
        host.clock.move(days=3)
        first = scheduling.enqueue_due(host.installation)
        assert len(first) == 4
        assert scheduling.enqueue_due(host.installation) == []
        made = list(first)
        for _ in range(40):
            for job in host.unfinished():
                host.finish(job)
            host.clock.move(minutes=1)
            made += scheduling.enqueue_due(host.installation)
        assert len(made) == 20
        with host.installation.state.read() as tx:
            rows = tx.execute(text("SELECT domain_id, count(*) FROM jobs GROUP BY domain_id")).all()
        assert {count for _, count in rows} == {1}


def test_a_missed_weekly_full_point_is_made_up_as_a_full_point(tmp_path: Path) -> None:
    with a_host(tmp_path, datetime(2026, 3, 6, 12, tzinfo=UTC)) as host:
        domain = host.add_domain("big.example")
        host.analyse(domain, 500, 5000)
        assert plan_of(host, domain).strategy is Strategy.MIXED
        host.clock.move(days=3)
        scheduling.enqueue_due(host.installation)
        [job] = host.unfinished()
        assert job.params["type"] == PointKind.FULL


def test_nothing_begins_in_a_blackout_and_all_follows_after_it(tmp_path: Path) -> None:
    with a_host(tmp_path, BLACKOUT_HOURS="11:00-13:00") as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        due_now(host, domain)
        assert scheduling.enqueue_due(host.installation) == []
        host.clock.move(hours=1)
        assert len(scheduling.enqueue_due(host.installation)) == 1


def test_the_weekly_review_asks_for_analyses_once_and_levels_the_hours(tmp_path: Path) -> None:
    with a_host(tmp_path, datetime(2026, 3, 7, 20, tzinfo=UTC)) as host:
        every = [host.add_domain(f"site{number}.example") for number in range(30)]
        for domain in every:
            host.analyse(domain, 50)
            host.add_point(domain, seconds=600)
        assert scheduling.review(host.installation) == []
        host.clock.move(hours=5, minutes=59)
        assert scheduling.review(host.installation) == []
        host.clock.move(minutes=1)
        asked = scheduling.review(host.installation)
        assert len(asked) == 30
        assert {job.kind for job in host.unfinished()} == {JobKind.ANALYSE}
        host.clock.move(hours=1)
        assert scheduling.review(host.installation) == []
        starts = sorted(
            int(hour) * 60 + int(minute)
            for minute, hour, *_ in (plan_of(host, domain).lines[0].cron.split() for domain in every)
        )
        assert max(sum(other <= start < other + 10 for other in starts) for start in range(60, 360)) <= 3


def test_a_review_missed_on_sunday_is_made_on_monday(tmp_path: Path) -> None:
    with a_host(tmp_path, datetime(2026, 3, 6, 12, tzinfo=UTC)) as host:
        host.analyse(host.add_domain("shop.example"), 50)
        scheduling.review(host.installation)
        host.clock.move(days=3)
        assert len(scheduling.review(host.installation)) == 1
        assert scheduling.review(host.installation) == []


def test_a_reading_that_differs_is_confirmed_a_day_later(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 5)
        host.clock.move(days=2)
        host.analyse(domain, 150)
        assert scheduling.confirm_changes(host.installation) == []
        host.clock.move(days=1)
        assert len(scheduling.confirm_changes(host.installation)) == 1


def test_a_suspended_domain_is_backed_up_weekly_and_goes_on_as_before_afterwards(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 200)
        assert "-23/6" in plan_of(host, domain).lines[0].cron
        for state, ending in ((DomainState.SUSPENDED, "* * 0"), (DomainState.ACTIVE, "-23/6 * * *")):
            with host.installation.state.write() as tx:
                domains.set_state(tx, domain.id, state, host.clock.now())
            assert scheduling.follow_states(host.installation) == ["shop.example"]
            assert scheduling.follow_states(host.installation) == []
            assert plan_of(host, domain).lines[0].cron.endswith(ending)


def test_a_clock_set_back_does_not_leave_domains_waiting_for_years(tmp_path: Path) -> None:
    with a_host(tmp_path, datetime(2036, 3, 4, 12, tzinfo=UTC)) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        host.clock.moment = datetime(2026, 3, 4, 12, tzinfo=UTC)
        assert scheduling.reset_next_runs(host.installation) == 1
        planned = plan_of(host, domain).next_run_at
        assert planned is not None and planned.date() == date(2026, 3, 5)
        assert scheduling.reset_next_runs(host.installation) == 0


def test_a_weekly_run_is_not_skipped_when_its_hour_moves_to_one_that_has_passed(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 5)
        host.add_point(domain, seconds=20)
        before = plan_of(host, domain)
        planned = before.next_run_at
        assert planned is not None
        host.clock.moment = planned - timedelta(hours=1)
        earlier = planned - timedelta(hours=2)
        moved = replace(before, lines=(ScheduleLine(f"{earlier.minute} {earlier.hour} * * 0"),), next_run_at=None)
        for is_fresh in (False, True):
            if is_fresh:
                host.add_point(domain, seconds=20)
            with host.installation.state.write() as tx:
                schedules.save_schedule(tx, domain.id, before, PointKind.FULL)
                scheduling._save(host.installation, tx, domain, moved, before)
            assert plan_of(host, domain).next_run_at == (earlier + timedelta(days=7) if is_fresh else planned)
            with host.installation.state.read() as tx:
                assert schedules.find_next_kind(tx, domain.id) is (None if is_fresh else PointKind.FULL)


def test_an_analysis_leaves_a_due_full_point_a_full_one(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        for _ in range(2):
            host.analyse(domain, 150, 5000)
            host.clock.move(days=1)
        assert plan_of(host, domain).strategy is Strategy.MIXED
        with host.installation.state.write() as tx:
            schedules.set_next_run(tx, domain.id, host.clock.now(), PointKind.FULL)
        host.clock.move(minutes=1)
        host.analyse(domain, 150, 5000)
        [job_id] = scheduling.enqueue_due(host.installation)
        [job] = host.unfinished()
        assert (job.id, job.params["type"]) == (job_id, PointKind.FULL)

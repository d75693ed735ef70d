"""Alarms: where they are due and nowhere else, told once, as a digest."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from smartbackup_panel.adapters.db import jobs, people, schedules
from smartbackup_panel.adapters.notify import Notifications
from smartbackup_panel.core.alarms import Growth, days_until_full, space_alarm
from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.core.model import (
    SCHEDULER,
    Domain,
    JobKind,
    JobState,
    PointState,
)
from smartbackup_panel.core.surroundings import Message
from smartbackup_panel.services import alarms, scheduling, upkeep
from smartbackup_panel.services.metrics import prometheus_text
from tests.support.clock import Host, a_host

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def kinds(host: Host) -> list[str]:
    return sorted(alarm.kind for alarm in alarms.find_alarms(host.installation, worker_is_looking=True))


def end_job(host: Host, domain: Domain, kind: JobKind, state: JobState) -> None:
    with host.installation.state.write() as tx:
        job, _ = jobs.submit(tx, kind, domain.id, SCHEDULER, {}, f"{kind}:{domain.id}", host.clock.now())
        jobs.start(tx, job.id, "worker", host.clock.now())
        error = DumpFailed("the dump of shop_wp failed") if state is JobState.FAILED else None
        jobs.finish(tx, job.id, state, host.clock.now(), None, error)


def test_a_missing_point_is_told_after_its_interval_and_fifteen_minutes(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        host.add_point(domain)
        host.clock.move(hours=24, minutes=14)
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]
        host.add_point(domain)
        assert kinds(host) == []


def test_a_night_with_a_doubled_hour_is_no_missing_point(tmp_path: Path) -> None:
    with a_host(tmp_path, datetime(2026, 10, 24, 1, 5, tzinfo=UTC), TIMEZONE="Europe/Berlin") as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        host.add_point(domain)
        host.clock.move(hours=24, minutes=45)
        assert kinds(host) == []
        host.clock.move(minutes=30)
        assert kinds(host) == ["missing point"]


def test_a_point_made_as_the_clock_is_put_back_is_due_at_the_next_days_slot(tmp_path: Path) -> None:
    """The run of 02:45 ends at 01:00 UTC, when the clock shows 02:00 again; the next one is at 01:45 UTC."""
    with a_host(tmp_path, datetime(2026, 10, 25, 1, 0, tzinfo=UTC), TIMEZONE="Europe/Berlin") as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        host.add_point(domain)
        host.clock.move(hours=25, minutes=14)
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]


def test_a_new_domain_without_a_point_is_told_after_an_hour(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        host.add_domain("new.example")
        host.clock.move(hours=1, minutes=14)
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]


def test_a_schedule_that_became_denser_is_no_missing_point(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 5)
        host.add_point(domain)
        for _ in range(2):
            host.clock.move(days=1)
            host.analyse(domain, 200)
        with host.installation.state.read() as tx:
            plan = schedules.find_schedule(tx, domain.id)
        assert plan is not None and plan.next_run_at is not None
        host.clock.moment = plan.next_run_at + timedelta(minutes=14)
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]


def test_a_plan_whose_hour_moves_does_not_put_off_what_is_missing(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("quiet.example")
        set_cron(host, domain, "0 12 * * 3")
        host.add_point(domain)  # of a Wednesday noon
        host.clock.move(days=6)
        set_cron(host, domain, "0 13 * * 3")
        host.clock.move(days=1, hours=1, minutes=14)
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]


def test_a_plan_that_begins_later_than_a_point_may_be_old_is_waited_for(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("quiet.example")
        host.add_point(domain)
        host.clock.move(days=8)
        set_cron(host, domain, "0 3 * * 0")
        host.clock.move(days=2, hours=15, minutes=14)  # Sunday 03:14
        assert kinds(host) == []
        host.clock.move(minutes=1)
        assert kinds(host) == ["missing point"]


def test_a_missing_point_stays_told_when_the_hour_moves(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        set_cron(host, domain, "0 12 * * *")
        host.add_point(domain)
        host.clock.move(days=1, minutes=15)
        said = alarms.find_alarms(host.installation, worker_is_looking=True)
        assert [alarm.kind for alarm in said] == ["missing point"]
        set_cron(host, domain, "0 14 * * *")
        assert alarms.find_alarms(host.installation, worker_is_looking=True) == said
        host.add_point(domain)
        assert kinds(host) == []


def set_cron(host: Host, domain: Domain, cron: str) -> None:
    with host.installation.state.write() as tx:
        scheduling.set_schedule(host.installation, tx, domain, [cron])


def test_failed_and_partial_points_and_failed_verifications_are_alarms(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.add_point(domain, state=PointState.PARTIAL, warnings=("2 paths could not be read.",))
        assert kinds(host) == ["partial point"]
        end_job(host, domain, JobKind.BACKUP, JobState.FAILED)
        end_job(host, domain, JobKind.VERIFY, JobState.FAILED)
        assert kinds(host) == ["failed backup", "failed verification", "partial point"]
        host.clock.move(minutes=1)
        host.add_point(domain)
        for kind in (JobKind.BACKUP, JobKind.VERIFY):
            end_job(host, domain, kind, JobState.DONE)
        assert kinds(host) == []


def test_a_cancelled_backup_is_no_alarm(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.add_point(domain)
        end_job(host, domain, JobKind.BACKUP, JobState.CANCELLED)
        assert kinds(host) == []


@pytest.mark.parametrize(
    ("added", "free_gb", "days"),
    [((1, 1, 1), 19, 19), ((0, 0, 3), 19, 19), ((0, 0), 5, None), ((1,), 0, 0), ((), 5, None)],
)
def test_a_store_that_fills_up_is_forecast(added: tuple[int, ...], free_gb: int, days: int | None) -> None:
    gigabyte = 1024**3
    growth = Growth(tuple(count * gigabyte for count in added), free_gb * gigabyte, 0)
    assert days_until_full(growth) == days


def test_the_forecast_is_said_in_days() -> None:
    alarm = space_alarm(Growth((1024**3,) * 14, 19 * 1024**3 + 5, 0), NOW)
    assert alarm is not None and alarm.sentence == "The store is full in 19 days: 19456 MB free."
    assert space_alarm(Growth((1024**3,) * 14, 31 * 1024**3, 0), NOW) is None


def test_a_clock_that_jumped_is_told_for_a_day(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        upkeep.watch_clock(host.installation, timedelta(minutes=4))
        assert kinds(host) == []
        upkeep.watch_clock(host.installation, timedelta(days=3650))
        assert kinds(host) == ["clock"]
        host.clock.move(hours=25)
        assert kinds(host) == []


def test_a_clock_behind_the_workers_last_note_has_jumped(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        upkeep.say_alive(host.installation)
        host.clock.move(hours=-2)
        upkeep.watch_clock(host.installation, timedelta())
        [alarm] = alarms.find_alarms(host.installation, worker_is_looking=True)
        assert alarm.sentence == "The server's clock jumped back by 2 hours at 2026-03-04 10:00 UTC."


def test_a_dead_worker_is_seen_by_everybody_else(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        host.add_point(host.add_domain("shop.example"))
        upkeep.say_alive(host.installation)
        host.clock.move(minutes=30)
        [problem] = alarms.find_problems(host.installation)
        assert problem.sentence == "No worker runs: nothing was backed up by itself since 2026-03-04 12:00 UTC."
        with upkeep.being_the_worker(host.installation):
            [stuck] = alarms.find_problems(host.installation)
            assert stuck.sentence.startswith("The worker is stuck")
            upkeep.say_alive(host.installation)
            assert alarms.find_problems(host.installation) == []


def test_a_hundred_failures_are_one_message_and_success_is_none(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        every = [host.add_domain(f"site{number:03d}.example") for number in range(100)]
        for domain in every:
            host.add_point(domain)
            end_job(host, domain, JobKind.BACKUP, JobState.DONE)
        alarms.look(host.installation)
        assert host.mailbox.messages == []
        host.clock.move(minutes=1)
        for domain in every:
            end_job(host, domain, JobKind.BACKUP, JobState.FAILED)
        for _ in range(5):
            alarms.look(host.installation)
            host.clock.move(minutes=5)
        [message] = host.mailbox.messages
        assert message.subject == "Smart Backup: 100 things need you"
        assert "and 50 more" in message.text


def test_what_is_new_waits_for_the_next_digest_and_flapping_is_not_told_again(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        one, two = host.add_domain("one.example"), host.add_domain("two.example")
        for domain in (one, two):
            host.add_point(domain)
        end_job(host, one, JobKind.BACKUP, JobState.FAILED)
        alarms.look(host.installation)
        host.clock.move(minutes=10)
        end_job(host, two, JobKind.BACKUP, JobState.FAILED)
        alarms.look(host.installation)
        assert len(host.mailbox.messages) == 1
        host.clock.move(minutes=30)
        for state in (JobState.DONE, JobState.FAILED):
            end_job(host, one, JobKind.BACKUP, state)
            alarms.look(host.installation)
            host.clock.move(minutes=10)
        host.clock.move(minutes=5)
        alarms.look(host.installation)
        first, second = host.mailbox.messages
        assert "one.example" in first.subject and "two.example" in second.subject
        assert "1 other told before still needs you." in second.text


def test_the_dead_way_is_said_by_check(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        host.mailbox.failures = ["webhook: URLError: refused"]
        domain = host.add_domain("shop.example")
        end_job(host, domain, JobKind.BACKUP, JobState.FAILED)
        assert alarms.look(host.installation) == ["webhook: URLError: refused"]
        with host.installation.state.read() as tx:
            note = people.find_note(tx, alarms.NOTIFIED)
        assert note is not None and note[0] == "webhook: URLError: refused"


def test_prometheus_reads_the_same_facts(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.add_point(domain)
        end_job(host, domain, JobKind.BACKUP, JobState.FAILED)
        said = prometheus_text(host.installation).splitlines()
    assert "smartbackup_domains 1.0" in said
    assert 'smartbackup_backups_last_day{state="failed"} 1.0' in said
    assert 'smartbackup_alarms{kind="failed backup"} 1.0' in said
    assert 'smartbackup_last_point_timestamp_seconds{domain="shop.example"} 1.7726256e+09' in said


class _Smtp(socketserver.StreamRequestHandler):
    """As much of a mail server as a client needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        lines: list[str] = self.server.lines  # type: ignore[attr-defined]  # set by the test
        is_body = False
        for raw in self.rfile:
            text = raw.decode().rstrip("\r\n")
            lines.append(text)
            if is_body:
                is_body = text != "."
                if not is_body:
                    self.wfile.write(b"250 taken\r\n")
            elif text.upper() == "DATA":
                is_body = True
                self.wfile.write(b"354 go on\r\n")
            elif text.upper() == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


class _Hook(BaseHTTPRequestHandler):
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))  # type: ignore[attr-defined]  # set by the test
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield int(server.server_address[1])  # type: ignore[index]  # an IPv4 address
    server.shutdown()
    server.server_close()


MESSAGE = Message("Smart Backup: shop.example\nBcc: x@y", "The last backup of bücher.example failed.\n", {"alarms": []})


def test_mail_goes_out_with_its_headers_intact() -> None:
    server = socketserver.TCPServer(("127.0.0.1", 0), _Smtp)
    server.lines = []  # type: ignore[attr-defined]  # read by the handler
    with serving(server) as port:
        ways = Notifications(("rosa@example.test",), "backup@example.test", f"smtp://127.0.0.1:{port}", "", ())
        assert ways.send(MESSAGE) == []
    lines: list[str] = server.lines  # type: ignore[attr-defined]  # as above
    assert "Subject: Smart Backup: shop.example Bcc: x@y" in lines
    assert "To: rosa@example.test" in lines
    assert not any(said.startswith("Bcc:") for said in lines)


def test_a_webhook_gets_json_and_may_not_redirect() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.bodies = []  # type: ignore[attr-defined]  # read by the handler
    with serving(server) as port:
        ways = Notifications((), "", "", f"http://127.0.0.1:{port}/alarm", ())
        assert ways.send(MESSAGE) == []
        _Hook.status = 302
        [failure] = ways.send(MESSAGE)
        _Hook.status = 200
    assert server.bodies[0]["text"] == "The last backup of bücher.example failed.\n"  # type: ignore[attr-defined]  # as above
    assert "redirect" in failure


def test_apprise_reaches_what_it_knows() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.bodies = []  # type: ignore[attr-defined]  # read by the handler
    with serving(server) as port:
        ways = Notifications((), "", "", "", (f"json://127.0.0.1:{port}/",))
        assert ways.send(MESSAGE) == []
        [failure] = Notifications((), "", "", "", ("nonsense://token@host",)).send(MESSAGE)
    assert server.bodies[0]["message"].startswith("The last backup")  # type: ignore[attr-defined]  # as above
    assert "token" not in failure


def test_a_way_that_is_down_does_not_stop_the_others() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.bodies = []  # type: ignore[attr-defined]  # read by the handler
    with serving(server) as port:
        ways = Notifications(("rosa@example.test",), "x@y.test", "smtp://127.0.0.1:1", f"http://127.0.0.1:{port}/", ())
        [failure] = ways.send(MESSAGE)
    assert failure.startswith("e-mail: ConnectionRefusedError")
    assert len(server.bodies) == 1  # type: ignore[attr-defined]  # as above

"""Slow thinking holds nobody up: logs are read and hours chosen while others write the state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smartbackup_panel.adapters.db import people, traffic
from smartbackup_panel.core import spread
from smartbackup_panel.core.surroundings import LogPosition, LogReading
from smartbackup_panel.core.traffic import Hours
from smartbackup_panel.services import planning, scheduling
from smartbackup_panel.services.analysis import read_traffic
from tests.support.clock import Host, a_host


def writes(host: Host) -> bool:
    """Return whether somebody else can write the state within two seconds."""

    def note() -> None:
        with host.installation.state.write() as tx:
            people.set_note(tx, "somebody else", "wrote", host.clock.now())

    other = threading.Thread(target=note)
    other.start()
    other.join(2.0)
    return not other.is_alive()


class SlowLogs:
    """Logs that take their time: `meanwhile` is what happens while they are read."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile

    def read_new(self, path: str, positions: Sequence[LogPosition]) -> LogReading:
        assert path and not positions
        self.meanwhile()
        hours = Hours(requests={datetime(2026, 3, 4, 11, tzinfo=UTC): 7})
        return LogReading(hours, (LogPosition(1, 2, "line", 30, 30, 5),))


def test_a_large_log_is_read_while_others_write(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain, seen = host.add_domain("shop.example"), []
        around = replace(host.installation.surroundings, access_logs=SlowLogs(lambda: seen.append(writes(host))))
        assert read_traffic(replace(host.installation, surroundings=around), domain) == 7
        assert seen == [True]


def test_lines_that_another_reader_took_over_meanwhile_do_not_count_twice(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")

        def read_by_another() -> None:
            with host.installation.state.write() as tx:
                traffic.add_hours(tx, domain.id, Hours(requests={datetime(2026, 3, 4, 11, tzinfo=UTC): 7}))
                traffic.save_positions(tx, domain.id, (LogPosition(1, 2, "line", 30, 30, 5),))

        around = replace(host.installation.surroundings, access_logs=SlowLogs(read_by_another))
        assert read_traffic(replace(host.installation, surroundings=around), domain) == 7


def test_an_hour_is_chosen_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_host(tmp_path, datetime(2026, 3, 7, 20, tzinfo=UTC)) as host:
        seen: list[bool] = []
        chosen = spread.choose_minute

        def choose_slowly(*arguments: Any) -> int:  # Any: handed on as they came
            seen.append(writes(host))
            return chosen(*arguments)

        monkeypatch.setattr("smartbackup_panel.services.planning.choose_minute", choose_slowly)
        host.analyse(host.add_domain("shop.example"), 50)
        assert seen == [True]
        scheduling.review(host.installation)
        host.clock.move(hours=6)
        assert len(scheduling.review(host.installation)) == 1
        assert seen == [True, True]


def test_a_schedule_that_an_admin_pins_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        host.clock.move(days=1)
        chosen = planning.choose_start

        def choose_while_an_admin_pins(*arguments: Any) -> Any:  # Any: handed on as they came
            with host.installation.state.write() as tx:
                scheduling.set_schedule(host.installation, tx, domain, ["15 1 * * *"])
            return chosen(*arguments)

        monkeypatch.setattr(planning, "choose_start", choose_while_an_admin_pins)
        host.analyse(domain, 500)
        with host.installation.state.read() as tx:
            [row] = planning.list_planned(host.installation, tx)
        assert row.schedule.pinned and row.schedule.lines[0].cron == "15 1 * * *"

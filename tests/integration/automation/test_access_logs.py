"""Access logs: each line counts once, however the log is rotated, and bots are counted apart."""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

from smartbackup_panel.adapters.access_logs import LogFiles
from smartbackup_panel.adapters.db import traffic
from smartbackup_panel.core.surroundings import LogPosition
from smartbackup_panel.services.analysis import read_traffic
from tests.support.clock import a_host

AGENT = '"Mozilla/5.0 (X11; Linux x86_64)"'
ROBOT = '"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"'


def line(at: str, number: int = 0, agent: str = AGENT) -> bytes:
    return f'192.0.2.7 - - [{at}] "GET /page/{number} HTTP/1.1" 200 5123 "-" {agent}\n'.encode()


class Log:
    """A log and how far it was read; `read()` returns the new requests, bots included."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop.example.access.log"
        self.positions: tuple[LogPosition, ...] = ()

    def append(self, *lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.writelines(lines)

    def read(self) -> int:
        reading = LogFiles().read_new(str(self.path), self.positions)
        self.positions = reading.positions
        return sum(reading.hours.requests.values()) + sum(reading.hours.bots.values())


def test_a_log_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(*(line("01/Mar/2026:10:00:00 +0000", number) for number in range(100)))
    assert log.read() == 100
    assert log.read() == 0
    log.append(line("01/Mar/2026:11:00:00 +0000"), b"192.0.2.7 - - [01/Mar/2026:11:00:01 +00")
    assert log.read() == 1
    log.append(b'00] "GET / HTTP/1.1" 200 5\n')
    assert log.read() == 1


def test_no_line_counts_twice_through_rotation_and_compression(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(*(line("01/Mar/2026:10:00:00 +0000", number) for number in range(50)))
    assert log.read() == 50
    log.append(line("01/Mar/2026:12:00:00 +0000", 50))
    os.rename(log.path, f"{log.path}.1")
    log.append(line("02/Mar/2026:10:00:00 +0000", 51), line("02/Mar/2026:10:00:01 +0000", 52))
    assert log.read() == 3
    with open(f"{log.path}.1", "rb") as plain, gzip.open(f"{log.path}.2.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.unlink(f"{log.path}.1")
    os.rename(log.path, f"{log.path}.1")
    log.append(line("03/Mar/2026:10:00:00 +0000", 53))
    assert log.read() == 1
    assert log.read() == 0


def test_copying_and_truncating_keeps_the_place(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(*(line("01/Mar/2026:10:00:00 +0000", number) for number in range(20)))
    assert log.read() == 20
    log.append(line("01/Mar/2026:11:00:00 +0000", 20))
    shutil.copy(log.path, f"{log.path}.1")
    log.path.write_bytes(line("02/Mar/2026:09:00:00 +0000", 21))
    assert log.read() == 2


def test_the_first_reading_takes_the_compressed_history_too(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for number in (2, 3):
        with gzip.open(f"{log.path}.{number}.gz", "wb") as packed:
            packed.write(line(f"0{5 - number}/Feb/2026:10:00:00 +0000", number) * 10)
    Path(f"{log.path}.1").write_bytes(line("04/Feb/2026:10:00:00 +0000") * 10)
    log.append(line("05/Feb/2026:10:00:00 +0000") * 10)
    assert log.read() == 40


def test_a_link_and_a_broken_file_are_passed_over(tmp_path: Path) -> None:
    log = Log(tmp_path)
    (tmp_path / "secret").write_bytes(line("05/Feb/2026:10:00:00 +0000"))
    log.path.symlink_to("secret")
    Path(f"{log.path}.2.gz").write_bytes(b"\x1f\x8bno gzip at all")
    os.mkfifo(f"{log.path}.3")
    assert log.read() == 0


def test_bots_are_apart_and_hours_are_of_the_lines_own_zone(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(line("01/Mar/2026:01:30:00 +0200"), line("28/Feb/2026:18:59:59 -0500"))
    log.append(line("01/Mar/2026:01:45:00 +0200", 1, ROBOT), line("01/Mar/2026:01:45:00 +0200", 1, '"curl/8.1"'))
    log.append(b'192.0.2.7 - - [01/Mar/2026:05:10:00 +0530] "GET / HTTP/1.0" 200 5\n')
    hours = LogFiles().read_new(str(log.path), ()).hours
    assert hours.requests == {datetime(2026, 2, 28, 23, tzinfo=UTC): 3}
    assert hours.bots == {datetime(2026, 2, 28, 23, tzinfo=UTC): 2}


def test_the_state_keeps_positions_and_hours_and_forgets_after_a_year(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        assert domain.access_log is not None
        log = Path(domain.access_log)
        log.write_bytes(line("04/Mar/2026:09:00:00 +0000") * 6 + line("03/Mar/2026:11:59:59 +0000") * 3)
        assert read_traffic(host.installation, domain) == 6
        assert read_traffic(host.installation, domain) == 6
        with host.installation.state.write() as tx:
            assert traffic.list_days(tx, domain.id, date(2026, 1, 1))[date(2026, 3, 3)][11] == 3
            assert traffic.forget_days(tx, date(2026, 3, 4)) == 1


def test_a_log_in_the_tenants_own_folder_is_not_opened_by_the_worker(tmp_path: Path) -> None:
    with a_host(tmp_path, ACCESS_LOG=str(tmp_path / "domains" / "{domain}" / "logs" / "{domain}.log")) as host:
        domain = host.add_domain("shop.example")
        inside = tmp_path / "domains" / "shop.example" / "access.log"
        inside.parent.mkdir()
        inside.write_bytes(line("04/Mar/2026:09:00:00 +0000"))
        with host.installation.state.write() as tx:
            from sqlalchemy import text

            tx.execute(text("UPDATE domains SET access_log = :log"), {"log": str(inside)})
        assert read_traffic(host.installation, host.reload(domain)) == 0

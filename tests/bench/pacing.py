"""How much four planned backups slow a loaded web server down: its p95 latency with them beside its latency alone.

python -m tests.bench.pacing [PAIRS]

PHP's own server with four workers answers a page that costs a few milliseconds, asked for at fixed moments whether or not
the last answer came (an open loop, so that waiting is not hidden). Short spells alternate in one run: the worker and all
that it started work, or stand still (SIGSTOP), so that what else the machine does falls on both alike. The median of the
pairs' ratios counts. Budget: 1.5 (the original design has none).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, JobKind, JobState
from smartbackup_panel.settings import load_settings
from tests.bench.table import Bench, Row, most_row
from tests.support.installation import Installation, make_installation
from tests.support.servers import answers_http, free_port, start_server, wait_for

BUDGET_RATIO = 1.5
SPELL_SECONDS = 3.0
REQUESTS_A_SECOND = 60
SITES = 4
SITE_MEGABYTES = 60
PAGE = '<?php for ($n = 0, $text = ""; $n < 20000; $n++) { $text = md5($text . $n); } echo $text;\n'


async def _ask(port: int, begins_at: float, seconds: list[float]) -> None:
    await asyncio.sleep(begins_at - time.monotonic())
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
    answer = await reader.read()
    writer.close()
    if b"200 OK" not in answer[:20]:
        raise RuntimeError(f"the server answered {answer[:60]!r}")
    seconds.append(time.monotonic() - started)


async def _load(port: int, duration_seconds: float) -> list[float]:
    seconds: list[float] = []
    begin = time.monotonic()
    count = int(duration_seconds * REQUESTS_A_SECOND)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_ask(port, begin + number / REQUESTS_A_SECOND, seconds))
    return seconds


def latencies(port: int, duration_seconds: float = SPELL_SECONDS) -> list[float]:
    """Return how long each request of a spell took (seconds)."""
    return asyncio.run(_load(port, duration_seconds))


def p95(seconds: list[float]) -> float:
    """Return the latency that 95 of 100 requests do not pass (seconds)."""
    return sorted(seconds)[int(len(seconds) * 0.95)]


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """Give the port of PHP's server with four workers."""
    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder), free_port()
        (root / "index.php").write_text(PAGE)
        server = start_server(
            "php",
            ["/usr/bin/php", "-S", f"127.0.0.1:{port}", "-t", root, root / "index.php"],
            log=root / "php.log",
            environment={"PHP_CLI_SERVER_WORKERS": "4", "PATH": "/usr/bin:/bin"},
            ready=lambda: answers_http(f"http://127.0.0.1:{port}/"),
        )
        try:
            yield port
        finally:
            server.stop()


def add_sites(installation: Installation) -> None:
    """Make sites of text that compresses about as PHP does, and pictures that do not."""
    dice = random.Random(3)
    words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 10))) for _ in range(5000)]
    for site in range(SITES):
        files: dict[str, bytes | str] = {}
        for number in range(SITE_MEGABYTES * 2):
            text = b" ".join(dice.choices(words, k=60_000))
            files[f"{number % 40}/{number}.php"] = text[:400_000]
        files |= {f"pictures/{number}.jpg": os.urandom(1_000_000) for number in range(SITE_MEGABYTES // 5)}
        installation.add_site(f"site{site}.example.test", files)


class Backups:
    """Four planned backups at any moment between `begin` and `end`."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.state = services.installation.state
        self.ids = [domain.id for domain in services.queries.domains(COMMAND_LINE)]

    def _ask(self) -> None:
        now = self.services.installation.clock.now()
        with self.state.write() as tx:
            for key in self.ids:
                jobs.submit(tx, JobKind.BACKUP, key, SCHEDULER, {"type": "full"}, f"backup:{key}", now)

    @contextlib.contextmanager
    def keep_running(self) -> Iterator[None]:
        """Ask for the next backups as they end, and cancel what is left at the end."""
        over = threading.Event()

        def keep_asking() -> None:
            while not over.wait(0.3):
                self._ask()

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            wait_for(lambda: self.running() == SITES, "four backups to run", timeout_seconds=60)
            yield
        finally:
            over.set()
            asking.join()

    def running(self) -> int:
        with self.state.read() as tx:
            return sum(job.state is JobState.RUNNING for job in jobs.list_unfinished(tx))


def family(pid: int) -> list[int]:
    """Return a process and all that it started, itself first."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (thread / "children").read_text().split():
                found += family(int(child))
    return found


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process and all that it started for a while."""
    stopped = []
    for one in family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
            stopped.append(one)
    try:
        yield
    finally:
        for one in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def measure(pairs: int) -> float:
    """Print each pair and return the median ratio of the p95 with backups to the p95 without."""
    ratios = []
    with make_installation({"RECONCILE_SECONDS": "3600"}) as installation, web_server() as port:
        add_sites(installation)
        installation.smartbackup("reconcile")
        backups = Backups(open_services(load_settings(environment=installation.environment)))
        worker = installation.start_worker()
        installation.wait_for_worker()
        with backups.keep_running():
            latencies(port)
            for number in range(pairs):
                with_backups = p95(latencies(port))
                with standing_still(worker.pid):
                    alone = p95(latencies(port))
                ratios.append(with_backups / alone)
                print(
                    f"pair {number + 1}: alone {alone * 1000:.1f} ms, with {with_backups * 1000:.1f} ms, {ratios[-1]:.2f} x"
                )
    return statistics.median(ratios)


def rows(bench: Bench) -> list[Row]:
    """Return the table's row of this measurement."""
    ratio = measure(2 * bench.rounds)
    return [
        most_row("a loaded web server's p95 while four backups run, beside its p95 alone", ratio, BUDGET_RATIO, "×")
    ]


def main() -> int:
    """Print the row of this measurement; 1 where it misses its budget."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    ratio = measure(pairs)
    verdict = "met" if ratio <= BUDGET_RATIO else "MISSED"
    print(f"web server's p95 while four backups run: {ratio:.2f} x its p95 alone (budget {BUDGET_RATIO} x: {verdict})")
    return 0 if ratio <= BUDGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

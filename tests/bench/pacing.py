"""How much four planned backups slow a loaded web server down: its p95 latency with them beside its latency alone.

python -m tests.bench.pacing [ROUNDS]

PHP's own server with four workers answers a page that costs a few milliseconds, asked for at fixed moments whether or not
the last answer came (an open loop, so that waiting is not hidden). Quiet and busy spells alternate in one run, the order
turning each round; the median of the rounds' ratios counts. Budget: 1.5 (the original design has none).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
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
from tests.support.installation import Installation, make_installation
from tests.support.servers import answers_http, free_port, start_server, wait_for

BUDGET_RATIO = 1.5
SPELL_SECONDS = 6.0
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
        self.made = 0

    def _ask(self) -> list[str]:
        now = self.services.installation.clock.now()
        with self.state.write() as tx:
            asked = [
                jobs.submit(tx, JobKind.BACKUP, key, SCHEDULER, {"type": "full"}, f"backup:{key}", now)
                for key in self.ids
            ]
        self.made += sum(is_new for _, is_new in asked)
        return [job.id for job, _ in asked]

    def running(self) -> int:
        with self.state.read() as tx:
            return sum(job.state is JobState.RUNNING for job in jobs.list_unfinished(tx))

    def waiting(self) -> int:
        with self.state.read() as tx:
            return len(jobs.list_unfinished(tx))

    def during(self, port: int) -> list[float]:
        """Return the latencies while four backups run; a thread asks for the next ones as they end."""
        over = threading.Event()

        def keep_asking() -> None:
            while not over.wait(0.3):
                self._ask()

        self._ask()
        wait_for(lambda: self.running() == SITES, "four backups to run", timeout_seconds=60)
        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            return latencies(port)
        finally:
            over.set()
            asking.join()

    def end(self) -> None:
        """Cancel what runs and return when nothing does."""
        with self.state.read() as tx:
            unfinished = jobs.list_unfinished(tx)
        with self.state.write() as tx:
            for job in unfinished:
                jobs.request_cancel(tx, job.id)
        wait_for(lambda: self.waiting() == 0, "the backups to end", timeout_seconds=120)


def measure(rounds: int) -> float:
    """Print each round and return the median ratio of the p95 with backups to the p95 without."""
    ratios = []
    with make_installation({"RECONCILE_SECONDS": "3600"}) as installation, web_server() as port:
        add_sites(installation)
        installation.smartbackup("reconcile")
        backups = Backups(open_services(load_settings(environment=installation.environment)))
        installation.start_worker()
        installation.wait_for_worker()
        backups.end()
        latencies(port, 3.0)
        for number in range(rounds):
            order = (False, True) if number % 2 == 0 else (True, False)
            found = {}
            for with_backups in order:
                found[with_backups] = p95(backups.during(port) if with_backups else latencies(port))
                if with_backups:
                    backups.end()
            ratios.append(found[True] / found[False])
            print(
                f"round {number + 1}: alone {found[False] * 1000:.1f} ms, with {found[True] * 1000:.1f} ms, {ratios[-1]:.2f} x"
            )
    return statistics.median(ratios)


def main() -> int:
    """Print the row of this measurement; 1 where it misses its budget."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratio = measure(rounds)
    verdict = "met" if ratio <= BUDGET_RATIO else "MISSED"
    print(f"web server's p95 while four backups run: {ratio:.2f} x its p95 alone (budget {BUDGET_RATIO} x: {verdict})")
    return 0 if ratio <= BUDGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

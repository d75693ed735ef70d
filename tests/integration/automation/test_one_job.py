"""Case T46: schedule, five clicks, hook and command line start the same domain at once; one job does it."""

from __future__ import annotations

import threading
from pathlib import Path

from smartbackup_panel.adapters.db import schedules
from smartbackup_panel.core.model import COMMAND_LINE, JobKind
from smartbackup_panel.services import scheduling
from smartbackup_panel.services.coverage import cover_new_domains
from tests.support.clock import a_host


def test_everything_at_once_is_one_job(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        with host.installation.state.write() as tx:
            schedules.set_next_run(tx, domain.id, host.clock.now(), None)
        requests = host.services.requests
        starters = [lambda: requests.backup(COMMAND_LINE, domain.id)] * 5
        threads = [threading.Thread(target=starter) for starter in starters]
        threads.append(threading.Thread(target=lambda: scheduling.enqueue_due(host.installation)))
        threads.append(threading.Thread(target=lambda: cover_new_domains(host.installation)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [job] = host.unfinished()
        assert job.kind is JobKind.BACKUP


def test_a_restore_is_more_urgent_than_the_night(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        backup = host.services.requests.backup(COMMAND_LINE, host.add_domain("a.example").id)
        domain = host.add_domain("b.example")
        point = host.add_point(domain)
        params = host.services.requests.restore_params(
            COMMAND_LINE, domain.id, point.id, files=True, databases=False, exact=False, paths=(), to=None
        )
        restore = host.services.requests.restore_now(COMMAND_LINE, domain.id, params, "key")
        assert [job.id for job in host.unfinished()] == [restore.id, backup.id]

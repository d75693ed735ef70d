"""Planned work gives way to the server's visitors; what a person asked for does not wait."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.adapters.pressure import KernelPressure
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, Actor, Domain, Job, JobKind
from smartbackup_panel.core.surroundings import Pressure
from smartbackup_panel.services import pacing
from tests.support.clock import Host, a_host


def ask(host: Host, domain: Domain, kind: JobKind, actor: Actor) -> Job:
    with host.installation.state.write() as tx:
        return jobs.submit(tx, kind, domain.id, actor, {}, f"{kind}:{actor.source}", host.clock.now())[0]


def test_a_busy_server_holds_planned_runs_back_but_not_for_ever(tmp_path: Path) -> None:
    with a_host(tmp_path, PRESSURE_WAIT_MINUTES="60") as host:
        domain = host.add_domain("shop.example")
        planned = ask(host, domain, JobKind.BACKUP, SCHEDULER)
        clicked = ask(host, domain, JobKind.BACKUP, COMMAND_LINE)
        restore = ask(host, domain, JobKind.RESTORE, COMMAND_LINE)
        every = [planned, clicked, restore]
        assert pacing.ready(host.installation, every) == every
        host.gauge.io = 50.0
        assert pacing.ready(host.installation, every) == [clicked, restore]
        host.clock.move(minutes=59)
        assert planned not in pacing.ready(host.installation, every)
        host.clock.move(minutes=1)
        assert pacing.ready(host.installation, every) == every
        host.gauge.io, host.gauge.cpu = 49.9, 0.0
        assert pacing.ready(host.installation, every) == every


def test_a_limit_of_zero_never_waits(tmp_path: Path) -> None:
    with a_host(tmp_path, PRESSURE_LIMIT="0") as host:
        host.gauge.cpu = 100.0
        planned = ask(host, host.add_domain("shop.example"), JobKind.BACKUP, SCHEDULER)
        assert pacing.ready(host.installation, [planned]) == [planned]


def test_a_running_planned_job_slows_down_and_a_clicked_one_does_not(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.gauge.cpu = 90.0
        for actor, least, most in ((SCHEDULER, 1.0, 5.0), (COMMAND_LINE, 0.0, 0.2)):
            breather = pacing.Breather(host.installation, ask(host, domain, JobKind.BACKUP, actor))
            started = time.monotonic()
            for _ in range(2):
                breather.pause()
            assert least <= time.monotonic() - started <= most


def test_a_jobs_thread_and_its_children_run_at_low_priority_and_others_do_not(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        gauge = KernelPressure()
        seen: dict[str, str] = {}

        def work() -> None:
            gauge.yield_to_others()
            seen["child"] = subprocess.run(["/usr/bin/nice"], capture_output=True, text=True, check=True).stdout.strip()
            seen["disk"] = subprocess.run(
                ["/usr/bin/ionice"], capture_output=True, text=True, check=True
            ).stdout.strip()
            gauge.work_as_usual()
            seen["afterwards"] = subprocess.run(
                ["/usr/bin/nice"], capture_output=True, text=True, check=True
            ).stdout.strip()

        before = os.nice(0)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert os.nice(0) == before
        assert (seen["child"], seen["disk"]) == ("15", "best-effort: prio 7")
        assert os.geteuid() != 0 or seen["afterwards"] == "0"
        assert host.gauge.read() == Pressure(0.0, 0.0)


def test_pressure_is_read_from_the_kernels_files(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text(
        "some avg10=12.34 avg60=1.00 avg300=0.50 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    (tmp_path / "io").write_text("some avg10=99.00 avg60=1.00 avg300=0.50 total=1\n")
    assert KernelPressure(str(tmp_path)).read() == Pressure(12.34, 99.0)
    assert KernelPressure(str(tmp_path / "missing")).read() == Pressure(0.0, 0.0)

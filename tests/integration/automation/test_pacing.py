"""Planned work gives way to the server's visitors; what a person asked for does not wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.adapters.pressure import KernelPressure
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, Actor, Domain, Job, JobKind
from smartbackup_panel.core.surroundings import Pressure
from smartbackup_panel.core.tree import Progress, ScanOptions
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import analysis, pacing
from smartbackup_panel.services.jobs import JobContext
from tests.support.clock import Host, a_host
from tests.support.servers import wait_for


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
        for actor, least, most, threads in ((SCHEDULER, 1.0, 5.0, 1), (COMMAND_LINE, 0.0, 0.9, 0)):
            job = ask(host, domain, JobKind.BACKUP, actor)
            with host.installation.state.write() as tx:
                jobs.start(tx, job.id, "worker", host.clock.now())
            context = JobContext(host.installation, job, None)
            with Agent.start(str(tmp_path)) as agent:
                agent.inspect()
                on_step = analysis.on_step(context, "writing", agent)
                began, used = time.monotonic(), processor_seconds(agent.pid)
                for _ in range(2):
                    on_step(Progress("write", 1, 1))
                assert least <= time.monotonic() - began <= most
                assert processor_seconds(agent.pid) - used <= 0.1
            assert context.breather.threads() == threads


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_agent_stands_still_while_it_rests_and_goes_on_afterwards(tmp_path: Path) -> None:
    with Agent.start(str(tmp_path)) as agent:
        resting = threading.Thread(target=agent.rest, args=(0.4,))
        resting.start()
        wait_for(
            lambda: state_of(agent.pid) == "T", "the agent to stand still", timeout_seconds=0.3, every_seconds=0.01
        )
        resting.join()
        assert agent.scan(ScanOptions()).file_count == 0


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_jobs_pauses_add_up_to_the_limit_over_all_its_phases(tmp_path: Path) -> None:
    with a_host(tmp_path, PRESSURE_WAIT_MINUTES="1") as host:
        host.gauge.io = 90.0
        breather = pacing.Breather(
            host.installation, ask(host, host.add_domain("shop.example"), JobKind.BACKUP, SCHEDULER)
        )
        rests: list[float] = []
        for _ in range(500):
            breather.pause(rests.append)
        assert sum(rests) == 60.0


def test_a_jobs_thread_and_its_children_run_at_low_priority_and_others_do_not(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        gauge = KernelPressure()
        seen: dict[str, str] = {}

        def work() -> None:
            with gauge.working(gently=True):
                seen["child"] = subprocess.run(
                    ["/usr/bin/nice"], capture_output=True, text=True, check=True
                ).stdout.strip()
                seen["disk"] = subprocess.run(
                    ["/usr/bin/ionice"], capture_output=True, text=True, check=True
                ).stdout.strip()
            seen["afterwards"] = subprocess.run(
                ["/usr/bin/nice"], capture_output=True, text=True, check=True
            ).stdout.strip()

        before = os.nice(0)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert os.nice(0) == before
        assert (seen["child"], seen["disk"]) == ("19", "idle")
        assert os.geteuid() != 0 or seen["afterwards"] == "0"
        assert host.gauge.read() == Pressure(0.0, 0.0)


WEIGHTS = """
import json
from contextlib import ExitStack
from pathlib import Path
from smartbackup_panel.adapters.pressure import KernelPressure

def weigh():
    weights.append(Path("/proc/self/autogroup").read_text().split()[-1:])

gauge, weights = KernelPressure(), []
with ExitStack() as jobs:
    jobs.enter_context(gauge.working(gently=True))
    weigh()
    with gauge.working(gently=False):
        weigh()
        with gauge.working(gently=True):
            weigh()
    weigh()
weigh()
print(json.dumps(weights))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/proc/self/autogroup"), reason="only root can take a weight back"
)
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "in-a-shell"])
def test_the_workers_session_is_gentle_while_all_its_jobs_are(leads: bool) -> None:
    """A session that somebody else leads, such as a shell's, is left alone; the first one of a system has no group to show."""
    here = Path("/proc/self/autogroup").read_text().split()[-1:]
    ran = subprocess.run(
        [sys.executable, "-c", WEIGHTS], capture_output=True, text=True, check=True, start_new_session=leads
    )
    assert json.loads(ran.stdout) == ([["19"], ["0"], ["0"], ["19"], ["0"]] if leads else [here] * 5)


def test_pressure_is_read_from_the_kernels_files(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text(
        "some avg10=12.34 avg60=1.00 avg300=0.50 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    (tmp_path / "io").write_text("some avg10=99.00 avg60=1.00 avg300=0.50 total=1\n")
    counters = tmp_path / "stat"
    counters.write_text("cpu  1000 1000 1000 1000 0 0 0 0 0 0\n")
    gauge = KernelPressure(str(tmp_path), str(counters))
    assert gauge.read() == Pressure(0.0, 99.0), "what was used is not known yet"
    counters.write_text("cpu  1800 1000 1000 1200 0 0 0 0 0 0\n")
    time.sleep(2.1)
    assert gauge.read() == Pressure(12.34, 99.0)
    assert KernelPressure(str(tmp_path / "missing"), str(tmp_path / "none")).read() == Pressure(0.0, 0.0)


def test_our_own_gentle_work_is_no_pressure(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text("some avg10=97.00 avg60=1.00 avg300=0.50 total=1\n")
    counters = tmp_path / "stat"
    counters.write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
    gauge = KernelPressure(str(tmp_path), str(counters))
    counters.write_text("cpu  100 800 90 10 0 0 0 0 0 0\n")
    time.sleep(2.1)
    assert gauge.read().cpu == 11.0


def test_an_agents_whole_session_gives_way_when_its_thread_does(tmp_path: Path) -> None:
    seen: dict[str, tuple[str, int, str]] = {}

    def start(name: str, niceness: int) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        with Agent.start(str(tmp_path)) as agent:
            agent.inspect()
            ionice = subprocess.run(
                ["/usr/bin/ionice", "-p", str(agent.pid)], capture_output=True, text=True, check=True
            )
            session = Path(f"/proc/{agent.pid}/autogroup").read_text().split()[-1]
            seen[name] = (session, os.sched_getscheduler(agent.pid), ionice.stdout.split(":")[0].strip())

    for name, niceness in (("gentle", 19), ("usual", 0)):
        thread = threading.Thread(target=start, args=(name, niceness))
        thread.start()
        thread.join()
    assert seen == {"gentle": ("19", os.SCHED_BATCH, "idle"), "usual": ("0", os.SCHED_OTHER, "none")}

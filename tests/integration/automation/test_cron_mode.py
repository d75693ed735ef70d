"""Schedules as cron files: what Debian's cron really runs, and what it silently would not."""

from __future__ import annotations

import os
import re
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartbackup_panel.adapters.cron_files import CronFiles
from smartbackup_panel.adapters.db import domains, schedules
from smartbackup_panel.bootstrap import open_services
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, Domain, DomainState, JobState
from smartbackup_panel.services import cron_mode, pacing, scheduling
from smartbackup_panel.settings import load_settings
from tests.support.clock import Host, a_host
from tests.support.installation import Installation

CRON = Path("/usr/sbin/cron")
FOREIGN = "# somebody else's\n0 4 * * * root /bin/true\n"


def test_a_domains_file_has_the_header_and_one_line_a_run(tmp_path: Path) -> None:
    with a_host(tmp_path, SCHEDULE_MODE="cron") as host:
        domain = host.add_domain("big.example")
        host.analyse(domain, 500, 5000)
        assert cron_mode.sync(host.installation) == [f"smartbackup-{domain.id}"]
        file = tmp_path / "cron.d" / f"smartbackup-{domain.id}"
        lines = file.read_text().splitlines()
        assert lines[:3] == ["# Smart Backup - big.example", "# Strategy: mixed", "# Activity: high"]
        runs = [line for line in lines if " root " in line]
        assert len(runs) == 2
        assert re.fullmatch(
            r"\d+ \d \* \* \* root /\S+/smartbackup backup big\.example --type incremental --scheduled > /dev/null 2>&1",
            runs[0],
        )
        assert re.fullmatch(
            r"\d+ \d \* \* 0 root /\S+/smartbackup backup big\.example --type full --scheduled > /dev/null 2>&1",
            runs[1],
        )
        status = file.stat()
        assert (status.st_mode & 0o777, status.st_uid, file.read_bytes()[-1:]) == (0o644, os.geteuid(), b"\n")
        assert "." not in file.name
        assert cron_mode.sync(host.installation) == []
        assert cron_mode.problems(host.installation) == [] or time.timezone != 0


def test_what_cron_starts_is_planned_work(installation: Installation) -> None:
    installation.add_site("shop.example.test", {"index.html": "<h1>shop</h1>\n"})
    made = installation.smartbackup("backup", "shop.example.test", "--scheduled")
    services = open_services(load_settings(environment=installation.environment))
    job = services.queries.job(COMMAND_LINE, made["point"])
    assert (job.actor, job.state) == (SCHEDULER, JobState.DONE)
    assert pacing.is_planned(job)


def next_run(host: Host, domain: Domain) -> datetime:
    with host.installation.state.read() as tx:
        plan = schedules.find_schedule(tx, domain.id)
    assert plan is not None and plan.next_run_at is not None
    return plan.next_run_at


def test_the_worker_makes_no_runs_of_its_own_where_cron_does(tmp_path: Path) -> None:
    with a_host(tmp_path, SCHEDULE_MODE="cron") as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        for _ in range(3):
            host.clock.moment = next_run(host, domain)
            assert scheduling.enqueue_due(host.installation) == []
            host.services.requests.backup(COMMAND_LINE, domain.id, "auto")
            host.clock.move(minutes=30)
            assert scheduling.enqueue_due(host.installation) == []
            assert next_run(host, domain) > host.clock.now()
            for job in host.unfinished():
                host.finish(job)


@pytest.mark.parametrize("shift_hours", [-7, -1, 1, 5, 11])
def test_cron_in_another_time_zone_is_not_taken_for_one_that_missed_a_run(tmp_path: Path, shift_hours: int) -> None:
    with a_host(tmp_path, SCHEDULE_MODE="cron") as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        first = next_run(host, domain)
        cron_at = first + timedelta(hours=shift_hours)
        host.clock.moment = min(first, cron_at) - timedelta(hours=1)
        host.services.requests.backup(COMMAND_LINE, domain.id, "auto")
        for job in host.unfinished():
            host.finish(job)
        made = 0
        while host.clock.now() < first + timedelta(days=4):
            host.clock.move(minutes=5)
            if host.clock.now() >= cron_at:
                host.services.requests.backup(COMMAND_LINE, domain.id, "auto")
                cron_at += timedelta(days=1)
            made += len(scheduling.enqueue_due(host.installation))
            for job in host.unfinished():
                host.finish(job)
        assert made == 0


def test_what_cron_missed_is_made_up_once_and_spread(tmp_path: Path) -> None:
    """Case T47: the server was off for three windows, or cron, or its file."""
    with a_host(tmp_path, SCHEDULE_MODE="cron", CONCURRENCY="4") as host:
        every = [host.add_domain(f"site{number}.example") for number in range(20)]
        for domain in every:
            host.analyse(domain, 50)
            host.add_point(domain, seconds=300)
        host.clock.moment = min(next_run(host, domain) for domain in every) + timedelta(minutes=14)
        assert scheduling.enqueue_due(host.installation) == []
        host.clock.move(days=3, hours=8)
        made = scheduling.enqueue_due(host.installation)
        assert len(made) == 4
        for _ in range(80):
            for job in host.unfinished():
                host.finish(job)
            host.clock.move(minutes=1)
            made += scheduling.enqueue_due(host.installation)
        assert len(made) == len(set(made)) == 20


def test_files_go_with_the_domain_and_with_the_mode_and_foreign_ones_stay(tmp_path: Path) -> None:
    with a_host(tmp_path, SCHEDULE_MODE="cron") as host:
        folder = tmp_path / "cron.d"
        for name in ("php", "smartbackup-other", "smartbackup-" + "0" * 32):
            (folder / name).write_text(FOREIGN)
        one, two = host.add_domain("one.example"), host.add_domain("two.example")
        for domain in (one, two):
            host.analyse(domain, 50)
        cron_mode.sync(host.installation)
        with host.installation.state.write() as tx:
            domains.set_state(tx, one.id, DomainState.DELETED, host.clock.now())
            schedules.delete_schedule(tx, one.id)
        assert cron_mode.sync(host.installation) == [f"smartbackup-{one.id}"]
    with a_host(tmp_path, SCHEDULE_MODE="worker") as host:
        assert cron_mode.sync(host.installation) == [f"smartbackup-{two.id}"]
    assert sorted(os.listdir(folder)) == ["php", "smartbackup-" + "0" * 32, "smartbackup-other"]
    assert {file.read_text() for file in folder.iterdir()} == {FOREIGN}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("mode", "mode 0664"),
        ("end", "does not end"),
        ("link", "no plain file"),
        ("hard link", "2 links"),
        ("owner", "belongs to user"),
    ],
)
def test_what_cron_would_not_run_is_said_and_put_right(tmp_path: Path, damage: str, words: str) -> None:
    cron = CronFiles(str(tmp_path))
    cron.write("smartbackup-a", FOREIGN)
    file = tmp_path / "smartbackup-a"
    if damage == "mode":
        file.chmod(0o664)
    elif damage == "end":
        file.write_text(FOREIGN.rstrip("\n"))
    elif damage == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to("elsewhere")
    elif damage == "hard link":
        os.link(file, tmp_path / "twin")
    elif os.geteuid() == 0:
        os.chown(file, 20001, 20001)
    else:
        return
    assert any(words in said for said in cron.problems("smartbackup-a"))
    assert cron.write("smartbackup-a", FOREIGN)
    assert cron.problems("smartbackup-a") == []


@pytest.mark.parametrize(
    "name", ["smartbackup-a.example", "../smartbackup-a", "smartbackup-", "php", "smartbackup-a/b"]
)
def test_a_name_that_cron_passes_over_or_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        CronFiles(str(tmp_path)).write(name, FOREIGN)
    assert any("never runs" in said for said in CronFiles(str(tmp_path)).problems(name))


@pytest.mark.skipif(os.geteuid() != 0, reason="cron's daemon has to be root")
def test_debians_cron_runs_the_file_within_its_minute(tmp_path: Path) -> None:
    """In mount and process namespaces of its own: this machine's /etc/cron.d and cron stay as they are."""
    folder, crontabs, mark = tmp_path / "cron.d", tmp_path / "crontabs", tmp_path / "ran"
    for made in (folder, crontabs, tmp_path / "run"):
        made.mkdir()
    line = f"* * * * * root /usr/bin/touch {mark}"
    CronFiles(str(folder)).write("smartbackup-" + "a" * 32, f'# Smart Backup - shop.example\nMAILTO=""\n\n{line}\n')
    (folder / "smartbackup-dotted.example").write_text(line.replace(str(mark), f"{mark}-dotted") + "\n")
    (folder / "smartbackup-open").write_text(line.replace(str(mark), f"{mark}-open") + "\n")
    (folder / "smartbackup-open").chmod(0o666)
    script = (
        f"mount --bind {folder} /etc/cron.d && mount --bind {crontabs} /var/spool/cron/crontabs"
        f" && mount --bind {tmp_path}/run /run && echo > {tmp_path}/crontab && mount --bind {tmp_path}/crontab /etc/crontab"
        f" && exec {CRON} -f"
    )
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 80
        while not mark.exists() and time.monotonic() < deadline and daemon.poll() is None:
            time.sleep(0.5)
        assert mark.exists(), (
            daemon.stderr.read() if daemon.stderr and daemon.poll() is not None else "cron ran nothing"
        )
    finally:
        daemon.kill()  # unshare waits for its child when it is asked to end; killed, it takes cron along
        daemon.wait()
    assert not Path(f"{mark}-dotted").exists()
    assert not Path(f"{mark}-open").exists()

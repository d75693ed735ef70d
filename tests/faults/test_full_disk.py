"""Case T44: store and state on one small filesystem that fills up. The failure is recorded, the last good point kept, told once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.bootstrap import open_services
from smartbackup_panel.core.model import COMMAND_LINE, JobState
from smartbackup_panel.services.alarms import find_alarms
from smartbackup_panel.settings import load_settings
from tests.support.installation import SMARTBACKUP, Installation, make_installation
from tests.support.sites import differences

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
SMALL, LARGE = "small.example.test", "large.example.test"


@pytest.fixture
def cramped() -> Iterator[Installation]:
    """Give an installation whose store and state share 12 MB; a quarter of it is kept in reserve."""
    with make_installation({"RESERVE_MB": "3"}) as installation:
        room = installation.folder / "room"
        room.mkdir()
        subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=12m,mode=0711", "tmpfs", room], check=True)
        installation.environment["SMARTBACKUP_STATE_DIR"] = str(room / "state")
        installation.environment["SMARTBACKUP_BACKUP_ROOT"] = str(room / "store")
        try:
            yield installation
        finally:
            installation.stop()
            subprocess.run(["/usr/bin/umount", room], check=True)


def archives(installation: Installation, domain: str) -> list[str]:
    folder = Path(installation.environment["SMARTBACKUP_BACKUP_ROOT"]) / domain
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_full_disk_is_a_recorded_failure_and_the_other_domains_go_on(cramped: Installation) -> None:
    site = cramped.add_site(LARGE, {"a.bin": os.urandom(1_000_000)})
    cramped.add_site(SMALL, {"index.html": "<h1>small</h1>\n"})
    good = cramped.smartbackup("backup", LARGE)
    kept = archives(cramped, LARGE)
    site.write("b.bin", os.urandom(12_000_000))
    for _ in range(2):
        refused = cramped.smartbackup("backup", LARGE, exit_code=1)
        assert refused["error"]["code"] == "space.none"
    assert archives(cramped, LARGE) == kept
    assert [row["point"] for row in cramped.points(LARGE)] == [good["point"]]
    assert cramped.smartbackup("verify", LARGE)["damaged"] == []
    assert cramped.smartbackup("backup", SMALL)["verified"] == "read back"
    services = open_services(load_settings(environment=cramped.environment))
    states = [job.state for job, domain in services.queries.jobs(COMMAND_LINE) if domain and domain.name == LARGE]
    assert states.count(JobState.FAILED) == 2
    told = [
        alarm for alarm in find_alarms(services.installation, worker_is_looking=True) if alarm.kind == "failed backup"
    ]
    assert len(told) == 1
    services.installation.state.close()


def test_a_tenant_past_its_quota_keeps_its_site(installation: Installation) -> None:
    """strace says EDQUOT for the agent's third folder and all later ones, as the kernel does where a user has no room left."""
    site = installation.add_site(LARGE, {f"folder-{number}/index.html": "<h1>words</h1>\n" for number in range(9)})
    made = installation.smartbackup("backup", LARGE)
    backed_up = site.tree()
    site.write("folder-0/index.html", "<h1>newer</h1>\n")
    newer, beside = site.tree(), sorted(os.listdir(installation.domains_root))
    command = ["restore", LARGE, "--point", made["point"], "--yes"]
    traced = ["/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=mkdirat"]
    refused = subprocess.run(
        [*traced, "-e", "inject=mkdirat:error=EDQUOT:when=3+", str(SMARTBACKUP), *command, "--json"],
        env=installation.environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode != 0
    assert json.loads(refused.stdout)["error"]["code"] == "space.none", refused.stdout
    assert not differences(newer, site.tree())
    assert sorted(os.listdir(installation.domains_root)) == beside
    installation.smartbackup(*command)
    assert not differences(backed_up, site.tree())

"""Figures of a domain and of the server, from literals."""

from __future__ import annotations

from pathlib import Path

from smartbackup_panel.adapters.db import jobs
from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER, JobKind, JobState, PointKind
from smartbackup_panel.services.statistics import domain_figures, server_figures
from tests.support.clock import a_host
from tests.support.installation import Installation


def test_a_domains_figures(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        domain = host.add_domain("shop.example")
        host.analyse(domain, 50)
        for kind, archive_bytes, seconds, hours in (
            (PointKind.FULL, 1000, 10.0, 24),
            (PointKind.INCREMENTAL, 100, 2.0, 30),
            (PointKind.INCREMENTAL, 100, 4.0, 1),
        ):
            host.add_point(domain, kind=kind, archive_bytes=archive_bytes, seconds=seconds)
            host.clock.move(hours=hours)
        for state in (JobState.DONE, JobState.DONE, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED):
            with host.installation.state.write() as tx:
                job, _ = jobs.submit(tx, JobKind.BACKUP, domain.id, SCHEDULER, {}, "backup", host.clock.now())
            host.finish(job, state)
        found = domain_figures(host.installation, COMMAND_LINE, domain.id)
        assert (found.runs, found.success_ratio, found.points, found.stored_bytes) == (4, 0.75, 3, 1200)
        assert (found.planned_interval_seconds, found.achieved_interval_seconds) == (86400, 108000)
        assert (found.mean_seconds, found.forecast_seconds) == (5.333, 3.0)
        assert found.saved_by_compression == 0.75
        assert found.original_bytes == 400
        whole = server_figures(host.installation)
        assert (whole.runs, whole.points, whole.stored_bytes) == (4, 3, 1200)


def test_a_domain_without_points_has_no_figures_made_up(tmp_path: Path) -> None:
    with a_host(tmp_path) as host:
        found = domain_figures(host.installation, COMMAND_LINE, host.add_domain("new.example").id)
        assert (found.success_ratio, found.forecast_seconds, found.growth_bytes_a_day) == (None, None, None)


def test_the_command_shows_each_domain_and_the_server(installation: Installation) -> None:
    site = installation.add_site("shop.example.test", {"index.html": "<h1>shop</h1>\n" * 400})
    made = installation.smartbackup("backup", "shop.example.test", "--type", "full")
    site.write("new.html", "<h1>new</h1>\n")
    second = installation.smartbackup("backup", "shop.example.test", "--type", "incremental")
    found = installation.smartbackup("stats")
    [row] = found["domains"]
    stored = made["archive_bytes"] + second["archive_bytes"]
    for figures in (row, found["server"]):
        assert (figures["points"], figures["runs"], figures["success_ratio"], figures["stored_bytes"]) == (
            2,
            2,
            1.0,
            stored,
        )
        assert figures["saved_by_increments"] is not None and figures["mean_seconds"] > 0
    assert (row["full"], row["incremental"], row["planned_interval_seconds"]) == (1, 1, 604_800.0)
    assert b"server: success_ratio" in installation.run("stats").stdout

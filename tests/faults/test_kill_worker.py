"""kill -9 of the worker at ten moments of a backup and ten of a restore: nothing half is ever good, nothing stays behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, Job, JobState
from smartbackup_panel.settings import load_settings
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB
from tests.support.servers import wait_for
from tests.support.sites import Site, differences

DOMAIN = "shop.example.test"
MOMENTS = 10
ENDED_SECONDS = 60.0


class Shop:
    """A site of some size with a WordPress database, in an installation whose worker the test kills."""

    def __init__(self, installation: Installation, site: Site, mariadb: MariaDB, database: str) -> None:
        self.installation = installation
        self.site = site
        self.mariadb = mariadb
        self.database = database
        self.services: Services = open_services(load_settings(environment=installation.environment))
        self.domain_id = installation.smartbackup("domains", "show", DOMAIN)["id"]

    def rows(self) -> list[tuple[str, ...]]:
        return self.mariadb.admin("SELECT id, note FROM wp_notes ORDER BY id", database=self.database)

    def tables(self) -> list[str]:
        return [name for (name,) in self.mariadb.admin("SHOW TABLES", database=self.database)]

    def job(self, job_id: str) -> Job:
        return self.services.queries.job(COMMAND_LINE, job_id)

    def kill_after(self, job: Job, seconds: float) -> None:
        """Start a worker, wait until it runs the job, and kill it `seconds` later."""
        worker = self.installation.start_worker()
        wait_for(lambda: self.job(job.id).state is not JobState.QUEUED, "the job to begin", every_seconds=0.01)
        time.sleep(seconds)
        worker.kill()

    def finish(self, job: Job) -> Job:
        """Start a worker again and return the job when it has ended; then that worker is killed too."""
        worker = self.installation.start_worker()
        wait_for(lambda: self.job(job.id).state.has_ended, "the job to end", timeout_seconds=ENDED_SECONDS)
        worker.kill()
        return self.job(job.id)

    def measure(self, job: Job) -> float:
        """Let a job run undisturbed and return how long it took (seconds)."""
        ended = self.finish(job)
        assert ended.state is JobState.DONE, ended.error_message
        assert ended.started_at is not None and ended.finished_at is not None
        return (ended.finished_at - ended.started_at).total_seconds()

    def assert_nothing_left(self) -> None:
        """No temporary file or table, and no archive that is not a point."""
        store = self.installation.folder / "store" / DOMAIN
        points = self.installation.points(DOMAIN)
        known = {row["archive"] for row in points} | {row["archive"] + ".meta" for row in points}
        recorded = self.services.queries.points(COMMAND_LINE, self.domain_id)
        dumps = {dump.archive for point in recorded for dump in point.databases}
        assert len(dumps) >= len(points) - 1, "nothing but the first repetition finds the database unchanged"
        assert set(os.listdir(store)) == known | dumps
        assert [name for name in self.tables() if name.startswith("_sb")] == []


@pytest.fixture
def shop(mariadb_server: MariaDB) -> Iterator[Shop]:
    database, user = mariadb_server.unique("wp"), mariadb_server.unique("alice")
    mariadb_server.create_tenant(database, user, "secret")
    mariadb_server.admin("CREATE TABLE wp_notes (id INT PRIMARY KEY, note TEXT)", database=database)
    mariadb_server.admin("INSERT INTO wp_notes SELECT seq, REPEAT('x', 900) FROM seq_1_to_20000", database=database)
    config = (
        f"<?php define('DB_NAME', '{database}'); define('DB_USER', '{user}'); define('DB_PASSWORD', 'secret');"
        f" define('DB_HOST', 'localhost:{mariadb_server.socket}'); $table_prefix = 'wp_';\n"
    )
    settings = {"DATABASE_HOSTS": f"localhost:{mariadb_server.socket}", "RECONCILE_SECONDS": "3600"}
    with make_installation(settings) as installation:
        files: dict[str, bytes | str] = {f"code/{number}.php": f"<?php // {number}\n" * 50 for number in range(1500)}
        files |= {f"images/{number}.jpg": os.urandom(1_000_000) for number in range(40)}
        files |= {
            "wp-config.php": config,
            "wp-load.php": "<?php\n",
            "wp-includes/version.php": "<?php $wp_version = '6.1';\n",
        }
        site = installation.add_site(DOMAIN, files)
        installation.smartbackup("backup", DOMAIN)
        yield Shop(installation, site, mariadb_server, database)
    mariadb_server.drop_tenant(database, user)


def test_a_backup_survives_ten_kills(shop: Shop) -> None:
    duration = shop.measure(shop.services.requests.backup(COMMAND_LINE, shop.domain_id, "full"))
    for moment in range(MOMENTS):
        before = {row["point"] for row in shop.installation.points(DOMAIN)}
        shop.mariadb.admin(f"UPDATE wp_notes SET note = '{moment}' WHERE id = 7", database=shop.database)
        job = shop.services.requests.backup(COMMAND_LINE, shop.domain_id, "full")
        shop.kill_after(job, duration * (moment + 0.5) / MOMENTS)
        half = [row for row in shop.installation.points(DOMAIN) if row["point"] not in before]
        assert all(row["verified"] == "read back" for row in half)
        ended = shop.finish(job)
        assert ended.state is JobState.DONE, (moment, ended.error_message)
        after = {row["point"] for row in shop.installation.points(DOMAIN)}
        assert after - before == {job.id}
        shop.assert_nothing_left()
    assert shop.installation.smartbackup("verify", DOMAIN, timeout_seconds=300)["damaged"] == []


def test_a_restore_survives_ten_kills_as_the_old_site_or_the_new_one(shop: Shop) -> None:
    [point] = shop.installation.points(DOMAIN)
    good_tree, good_rows = shop.site.tree(), shop.rows()

    def break_it() -> None:
        for number in range(0, 40, 3):
            (shop.site.root / f"images/{number}.jpg").unlink(missing_ok=True)
        shop.site.write("code/0.php", "<?php die('hacked');\n")
        shop.site.write("evil.php", "<?php\n")
        shop.mariadb.admin("DELETE FROM wp_notes WHERE id > 5", database=shop.database)

    params = shop.services.requests.restore_params(
        COMMAND_LINE, shop.domain_id, point["point"], files=True, databases=True, exact=True, paths=(), to=None
    )
    break_it()
    duration = shop.measure(shop.services.requests.restore_now(COMMAND_LINE, shop.domain_id, params, "measure"))
    assert shop.rows() == good_rows
    for moment in range(MOMENTS):
        break_it()
        bad_tree, bad_rows = shop.site.tree(), shop.rows()
        job = shop.services.requests.restore_now(COMMAND_LINE, shop.domain_id, params, f"moment {moment}")
        shop.kill_after(job, duration * (moment + 0.5) / MOMENTS)
        tree, rows = shop.site.tree(), shop.rows()
        assert not differences(bad_tree, tree) or not differences(good_tree, tree), moment
        assert rows in (bad_rows, good_rows), moment
        ended = shop.finish(job)
        assert ended.state is JobState.DONE, (moment, ended.error_message)
        assert not differences(good_tree, shop.site.tree())
        assert shop.rows() == good_rows
        names = sorted(os.listdir(shop.installation.domains_root))
        assert names == sorted([DOMAIN, *(name for name in names if name.startswith(f".smartbackup-{job.id[:8]}"))])
        assert len(names) == 2, "the site and its one undo"
    shop.installation.smartbackup("undo", DOMAIN)
    assert os.listdir(shop.installation.domains_root) == [DOMAIN]
    assert [name for name in shop.tables() if name.startswith("_sb")] == []
    assert not differences(bad_tree, shop.site.tree())
    assert shop.rows() == bad_rows

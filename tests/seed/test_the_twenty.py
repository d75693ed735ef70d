"""The twenty tests of the original design, each with its number and name, against this product's own services.

Numbers 18 and 19 are measurements; here they hold their targets, tests/bench measures them beside others.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartbackup_panel.core.activity import activity_level, size_category
from smartbackup_panel.core.model import PointKind
from smartbackup_panel.core.tree import Codec, ScanOptions
from tests.integration.engine.store import Store
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB
from tests.support.sites import Site

DOMAIN = "example.test"
MEGABYTE = 1024 * 1024
PATTERNS = (
    *(
        "*/cache/*",
        "*/tmp/*",
        "*/temp/*",
        "*/.cache/*",
        "*/logs/*",
        "*.log",
        "*/node_modules/*",
        "*/vendor/*",
        "*/.git/*",
    ),
    *("*/wp-content/cache/*", "*/wp-content/uploads/cache/*", "*/storage/framework/cache/*"),
    *("*/storage/framework/sessions/*", "*/storage/framework/views/*", "*/storage/logs/*"),
)


class Example:
    """One domain with a first full point and an increment, for the tests that only look."""

    def __init__(self, installation: Installation, site: Site) -> None:
        self.installation = installation
        self.site = site
        self.full: dict[str, Any] = installation.smartbackup("backup", DOMAIN, "--type", "full")
        site.write("index.html", "<h1>changed</h1>\n")
        site.write("new.html", "<h1>new</h1>\n")
        self.increment: dict[str, Any] = installation.smartbackup("backup", DOMAIN, "--type", "incremental")
        self.store = installation.backup_root / DOMAIN


@pytest.fixture(scope="module")
def example() -> Iterator[Example]:
    with make_installation() as installation:
        files: dict[str, bytes | str] = {f"pages/{number}.html": f"<p>{number}</p>\n" * 200 for number in range(60)}
        yield Example(installation, installation.add_site(DOMAIN, files | {"index.html": "<h1>first</h1>\n"}))


def test_01_module_initialization(example: Example) -> None:
    assert example.installation.run("--version").returncode == 0
    assert {path.name for path in example.installation.backup_root.iterdir()} >= {
        DOMAIN,
        ".metadata",
        ".incremental",
        ".tracking",
    }


def test_02_activity_analysis(example: Example) -> None:
    found = example.installation.smartbackup("analyze", DOMAIN)
    assert (found["file_changes"], found["activity_level"]) == (62, "medium")
    assert [activity_level(changes) for changes in (0, 19, 20, 99, 100)] == ["low", "low", "medium", "medium", "high"]


def test_03_size_detection(example: Example) -> None:
    assert example.installation.smartbackup("analyze", DOMAIN)["size_category"] == "small"
    sizes = [99 * MEGABYTE, 100 * MEGABYTE, 1023 * MEGABYTE, 1024 * MEGABYTE]
    assert [size_category(size) for size in sizes] == ["small", "medium", "medium", "large"]


def test_04_strategy_selection(example: Example) -> None:
    found = example.installation.smartbackup("analyze", DOMAIN)
    assert found["strategy"] == "full"
    assert "small enough" in found["strategy_reason"]


def test_05_schedule_recommendation(example: Example) -> None:
    [line] = example.installation.smartbackup("analyze", DOMAIN)["schedule"]
    minute, hour, *rest = line["cron"].split()
    assert rest == ["*", "*", "*"]
    assert 1 <= int(hour) < 6 and 0 <= int(minute) < 60


def test_06_full_backup_creation(example: Example) -> None:
    archive = example.store / example.full["archive"]
    assert example.full["archive"].startswith("backup_") and example.full["archive"].endswith(".tar.gz")
    with tarfile.open(archive) as listing:
        assert sum(member.isfile() for member in listing) == 61


def test_07_changed_files_detection(example: Example) -> None:
    assert (example.increment["added"], example.increment["changed"], example.increment["deleted"]) == (1, 2, 0)
    [listed] = (example.installation.backup_root / ".incremental" / DOMAIN).glob("changed_files_*.txt")
    assert sorted(listed.read_text().splitlines()) == ["index.html", "new.html"]


def test_08_incremental_backup_creation(example: Example) -> None:
    assert example.increment["archive"].endswith("_incremental.tar.gz")
    assert example.increment["archive_bytes"] < example.full["archive_bytes"]
    meta = json.loads((example.store / f"{example.increment['archive']}.meta").read_text())
    assert (meta["type"], meta["base_backup"]) == ("incremental", example.full["archive"])


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (
            {"wp-config.php": "<?php define('DB_NAME', 'a');", "wp-includes/version.php": "<?php $wp_version = '6.8';"},
            "wordpress",
        ),
        (
            {".env": "DB_CONNECTION=mysql\nDB_DATABASE=a\n", "artisan": "#!/usr/bin/env php\n", "composer.json": "{}"},
            "laravel",
        ),
        ({"composer.json": "{}", "index.php": "<?php"}, "php"),
        ({"index.html": "<h1>plain</h1>"}, "static"),
    ],
)
def test_09_database_type_detection(installation: Installation, files: dict[str, str], kind: str) -> None:
    installation.add_site(DOMAIN, files)
    assert kind in installation.smartbackup("analyze", DOMAIN)["application"].lower()


def test_10_smart_database_backup(mariadb_server: MariaDB) -> None:
    database, user = mariadb_server.unique("wp"), mariadb_server.unique("alice")
    mariadb_server.create_tenant(database, user, "secret")
    for statement in (
        "CREATE TABLE wp_options (option_id INT AUTO_INCREMENT PRIMARY KEY, option_name VARCHAR(191) UNIQUE, option_value TEXT)",
        "CREATE TABLE wp_comments (comment_ID INT PRIMARY KEY, comment_content TEXT)",
        "INSERT INTO wp_comments VALUES (1, 'a customers words')",
        "INSERT INTO wp_options (option_name, option_value) VALUES ('siteurl', 'https://example.test'), ('_transient_feed', 'made again')",
    ):
        mariadb_server.admin(statement, database=database)
    config = (
        f"<?php define('DB_NAME', '{database}'); define('DB_USER', '{user}'); define('DB_PASSWORD', 'secret');"
        f" define('DB_HOST', 'localhost:{mariadb_server.socket}'); $table_prefix = 'wp_';\n"
    )
    files = {
        "wp-config.php": config,
        "wp-load.php": "<?php\n",
        "wp-includes/version.php": "<?php $wp_version = '6.8';\n",
    }
    with make_installation({"DATABASE_HOSTS": f"localhost:{mariadb_server.socket}"}) as installation:
        installation.add_site(DOMAIN, files)
        made = installation.smartbackup("backup", DOMAIN)
        [dump] = made["databases"]
        text = gzip.decompress((installation.backup_root / DOMAIN / dump["archive"]).read_bytes()).decode()
        mariadb_server.admin("DROP TABLE wp_comments", database=database)
        mariadb_server.admin("UPDATE wp_options SET option_value = 'hacked'", database=database)
        installation.smartbackup("restore", DOMAIN, "--point", made["point"], "--databases-only", "--yes")
        comments = mariadb_server.admin("SELECT comment_content FROM wp_comments", database=database)
        address = mariadb_server.admin(
            "SELECT option_value FROM wp_options WHERE option_name = 'siteurl'", database=database
        )
    mariadb_server.drop_tenant(database, user)
    assert (comments, address) == ([("a customers words",)], [("https://example.test",)])
    assert "https://example.test" in text
    assert "a customers words" in text, "comments are the customers' own: they are kept (docs/design.md)"
    assert "-- Dump completed" in text


def test_11_backup_schedule_setup(example: Example) -> None:
    found = example.installation.smartbackup("schedule", "show", DOMAIN)
    assert len(found["next_runs"]) == 5
    assert found["in_words"].startswith("every day at ")
    with make_installation({"SCHEDULE_MODE": "cron", "CRON_DIR": "/nonexistent"}) as installation:
        assert installation.smartbackup("check", exit_code=1)["settings"]["schedule_mode"] == "cron"


def test_12_backup_tracking(example: Example) -> None:
    tracking = example.installation.backup_root / ".tracking"
    activity = json.loads((tracking / f"{DOMAIN}_activity.json").read_text())
    assert {
        "domain",
        "last_check",
        "file_changes",
        "activity_level",
        "traffic_requests",
        "average_daily_changes",
        "trend",
        "updated",
    } <= set(activity)
    totals = json.loads((tracking / f"{DOMAIN}_backup.json").read_text())
    assert (totals["total_backups"], totals["total_full"], totals["total_incremental"]) == (2, 1, 1)


def test_13_backup_verification(example: Example) -> None:
    assert example.increment["verified"] == "read back"
    assert example.installation.smartbackup("verify", DOMAIN)["damaged"] == []
    subprocess.run(["/usr/bin/tar", "-tzf", example.store / example.full["archive"]], check=True, capture_output=True)


def test_14_backup_statistics(example: Example) -> None:
    found = example.installation.smartbackup("stats", DOMAIN)
    assert (found["points"], found["full"], found["incremental"], found["success_ratio"]) == (2, 1, 1, 1.0)


def test_15_list_backups(example: Example) -> None:
    listed = example.installation.smartbackup("points", DOMAIN)
    assert [row["type"] for row in listed] == ["incremental", "full"]


def test_16_exclude_patterns(site: Path, store: Store) -> None:
    for path in ("app/cache/a", "app/node_modules/b/index.js", "error.log", "index.php", "storage/logs/laravel.log"):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text("x")
    store.back_up(scan=ScanOptions(exclude=PATTERNS))
    with tarfile.open(store.path()) as listing:
        assert [member.name for member in listing if member.isfile()] == ["index.php"]


def test_17_compression_optimization(site: Path, store: Store) -> None:
    words = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("[a-m]*.py")))
    (site / "page.html").write_bytes(words)
    sizes = [store.back_up(codec=Codec.GZIP, level=level).archive_bytes for level in (1, 6)]
    assert sizes[1] < sizes[0] < len(words) // 2


def test_18_performance_activity_analysis_speed(site: Path, store: Store) -> None:
    for folder in range(50):
        (site / str(folder)).mkdir()
        for number in range(100):
            (site / str(folder) / f"{number}.txt").write_bytes(b"x")
    with store.agent() as agent:
        started = time.monotonic()
        summary = agent.scan(ScanOptions())
        seconds = time.monotonic() - started
    assert summary.file_count == 5000
    assert seconds < 1.0


def test_19_performance_backup_speed(site: Path, store: Store) -> None:
    for number in range(50):
        (site / f"{number}.html").write_bytes(f"<p>{number}</p>\n".encode() * 100_000)
    started = time.monotonic()
    made = store.back_up()
    assert made.original_bytes > 45 * MEGABYTE
    assert time.monotonic() - started < 10.0


def test_20_integration_complete_smart_backup_flow(installation: Installation) -> None:
    site = installation.add_site(DOMAIN, {"index.html": "<h1>first</h1>\n"})
    assert installation.hook("domain-created", DOMAIN) == 0
    installation.smartbackup("worker", "--once")
    [first] = installation.points(DOMAIN)
    assert (first["type"], first["verified"]) == (PointKind.FULL, "read back")
    site.write("index.html", "<h1>defaced</h1>\n")
    installation.smartbackup("backup", DOMAIN)
    installation.smartbackup("restore", DOMAIN, "--point", first["point"], "--yes")
    assert (site.root / "index.html").read_text() == "<h1>first</h1>\n"

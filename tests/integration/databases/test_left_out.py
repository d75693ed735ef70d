"""What is left out of a domain's dumps is the admin's choice, for all domains and for one."""

from __future__ import annotations

import pytest

from tests.integration.databases.laravel_site import DOMAIN, add_laravel
from tests.integration.databases.tenant import Tenant
from tests.support.installation import make_installation

SCHEMA = (
    "CREATE TABLE sessions (id VARCHAR(255) PRIMARY KEY, payload LONGTEXT NOT NULL, last_activity INT NOT NULL)",
    "INSERT INTO sessions SELECT seq, REPEAT('x', 500), 1 FROM seq_1_to_100",
    "CREATE TABLE log_2025 (id INT PRIMARY KEY, note TEXT)",
    "INSERT INTO log_2025 SELECT seq, REPEAT('n', 200) FROM seq_1_to_50",
    "CREATE TABLE visits (id INT PRIMARY KEY)",
    "INSERT INTO visits SELECT seq FROM seq_1_to_9",
    "CREATE TABLE users (id INT PRIMARY KEY)",
    "INSERT INTO users VALUES (1)",
    "ANALYZE TABLE sessions, log_2025, visits, users",
)


def test_a_domains_own_choice_comes_on_top_of_the_settings_and_is_measured(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    settings = {"DATABASE_HOSTS": f"localhost:{alice.server.socket}", "TABLES_WITHOUT_ROWS": "log_*"}
    with make_installation(settings) as installation:
        login = alice.login
        site = add_laravel(installation, "mysql", login.name, login.user, login.password)
        site.back_up()
        told = installation.smartbackup("databases", DOMAIN)
        assert (told["rows"], told["without_rows"], told["own"]) == ("expired", ["log_*"], False)
        [database] = told["databases"]
        assert [(row["table"], row["rows"], row["rows_left_out"]) for row in database["tables"]] == [
            ("log_2025", 0, 50),
            ("sessions", 0, 100),
        ]
        assert database["bytes_left_out"] >= 60_000
        assert database["saved_ratio"] > 0.9
        figures = installation.smartbackup("stats", DOMAIN)
        assert figures["saved_by_tables"] == pytest.approx(database["saved_ratio"], abs=0.05)
        assert figures["tables_left_out"] == 2
        told = installation.smartbackup("databases", DOMAIN, "--rows", "nothing", "--without-rows", "visit?")
        assert (told["rows"], told["without_rows"], told["own"]) == ("nothing", ["log_*", "visit?"], True)
        site.back_up()
        [database] = installation.smartbackup("databases", DOMAIN)["databases"]
        assert [row["table"] for row in database["tables"]] == ["log_2025", "visits"]
        assert installation.smartbackup("databases", DOMAIN, "--default")["own"] is False
        installation.smartbackup("databases", DOMAIN, "--without-rows", "a`b", exit_code=2)

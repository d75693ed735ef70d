"""A site may name a login; where it is used, the admin's setting decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartbackup_panel.core.database_hosts import (
    Address,
    AllowedHost,
    DatabaseLogin,
    choose_address,
    parse_database_hosts,
)
from smartbackup_panel.core.databases import is_reserved
from smartbackup_panel.core.errors import BadSetting, DatabaseRefused

DEFAULT = parse_database_hosts("")


def login(host: str = "localhost", port: int | None = None, socket: str | None = None) -> DatabaseLogin:
    return DatabaseLogin("alice_wp", "alice", "s3cret", host, port, socket)


def test_the_default_is_the_local_server() -> None:
    assert (
        AllowedHost("localhost", socket="/run/mysqld/mysqld.sock"),
        AllowedHost("127.0.0.1", 3306),
        AllowedHost("localhost", socket="/run/postgresql/.s.PGSQL.5432"),
        AllowedHost("127.0.0.1", 5432),
    ) == DEFAULT


def test_each_kind_of_server_has_its_own_socket_and_port() -> None:
    postgres = DatabaseLogin("alice_pg", "alice", "s3cret", kind="pgsql")
    assert choose_address(postgres, DEFAULT) == Address(socket="/run/postgresql/.s.PGSQL.5432")
    assert choose_address(replace(postgres, host="127.0.0.1"), DEFAULT) == Address(host="127.0.0.1", port=5432)
    with pytest.raises(DatabaseRefused, match="db:5432"):
        choose_address(replace(postgres, host="db"), parse_database_hosts("db"))


def test_the_setting_lists_hosts_ports_and_sockets() -> None:
    assert parse_database_hosts(" DB1 ,db2:3307,localhost:/srv/my.sock,[::1]:3308,localhost") == (
        AllowedHost("db1", 3306),
        AllowedHost("db2", 3307),
        AllowedHost("localhost", socket="/srv/my.sock"),
        AllowedHost("::1", 3308),
        AllowedHost("localhost", socket="/run/mysqld/mysqld.sock"),
    )


@pytest.mark.parametrize(
    "text", ["a b", "db:0", "db:99999", "db1,,db2", "host:/path", "localhost:/a/../b", "x;y", "db:port"]
)
def test_an_unreadable_setting_is_named(text: str) -> None:
    with pytest.raises(BadSetting, match="SMARTBACKUP_DATABASE_HOSTS"):
        parse_database_hosts(text)


@pytest.mark.parametrize(
    ("site", "address"),
    [
        (login(), Address(socket="/run/mysqld/mysqld.sock")),
        (login("LOCALHOST", 3306), Address(socket="/run/mysqld/mysqld.sock")),
        (login("127.0.0.1"), Address(host="127.0.0.1", port=3306)),
        (login(socket="/var/run/mysqld/mysqld.sock"), Address(socket="/run/mysqld/mysqld.sock")),
    ],
)
def test_a_local_login_is_used_where_the_admin_allows(site: DatabaseLogin, address: Address) -> None:
    assert choose_address(site, DEFAULT) == address


@pytest.mark.parametrize(
    ("site", "wanted"),
    [
        (login("10.0.0.5"), "10.0.0.5:3306"),
        (login("db.evil.example", 3306), "db.evil.example:3306"),
        (login("127.0.0.1", 3307), "127.0.0.1:3307"),
        (login("localhost", 3307), "localhost:3307"),
        (login("::1"), "[::1]:3306"),
        (login("127.1"), "127.1:3306"),
        (login(socket="/home/alice/fake.sock"), "localhost:/home/alice/fake.sock"),
        (login(socket="/run/mysqld/../../home/alice/s"), "localhost:/run/mysqld/../../home/alice/s"),
    ],
)
def test_any_other_place_is_refused_and_the_hint_says_what_to_set(site: DatabaseLogin, wanted: str) -> None:
    with pytest.raises(DatabaseRefused) as refusal:
        choose_address(site, DEFAULT)
    assert f"add {wanted} to SMARTBACKUP_DATABASE_HOSTS" in refusal.value.hint


def test_localhost_is_the_loopback_port_where_no_socket_is_allowed() -> None:
    assert choose_address(login(), parse_database_hosts("127.0.0.1")) == Address(host="127.0.0.1", port=3306)
    assert choose_address(login("localhost", 3307), parse_database_hosts("localhost:3307")) == Address(
        host="127.0.0.1", port=3307
    )


@pytest.mark.parametrize("name", ["mysql", "Information_Schema", "performance_schema", "sys", "", "a\0b", "x" * 1025])
def test_the_servers_own_databases_and_odd_names_are_no_sites(name: str) -> None:
    with pytest.raises(DatabaseRefused):
        DatabaseLogin(name, "alice", "x")


def test_an_incomplete_login_is_refused() -> None:
    for fields in ({}, {"name": "a", "user": "b"}, {"name": "a", "user": "b", "password": "c", "port": "x"}):
        with pytest.raises(DatabaseRefused):
            DatabaseLogin.from_fields(fields)


def test_the_password_is_not_in_the_text_of_a_login() -> None:
    assert "s3cret" not in f"{login()!r} {login()} {login().label()}"


def test_reserved_names_are_known_in_any_case() -> None:
    assert [is_reserved(name) for name in ("_sbn_1", "_SBO_x", "_sb_restore", "_sb", "wp_sbn_1")] == [
        True,
        True,
        True,
        False,
        False,
    ]

"""Only the tenant's own login, only where the admin allows, and its password is nowhere to be seen."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import replace

import pymysql
import pytest

from smartbackup_panel.adapters.databases.mariadb import MariaDBServer
from smartbackup_panel.adapters.process import Account
from smartbackup_panel.core.database_hosts import DatabaseLogin, parse_database_hosts
from smartbackup_panel.core.errors import DatabaseRefused, DumpFailed
from tests.integration.databases.schemas import WORDPRESS
from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant
from tests.support.mariadb import MariaDB

TENANT_UID = 20_001


def test_a_wrong_password_is_refused_with_a_clear_sentence(alice: Tenant) -> None:
    wrong = replace(alice.login, password="wrong-secret")
    with pytest.raises(DatabaseRefused, match=f"does not let {alice.login.user} into {alice.login.name}") as refusal:
        list(alice.adapter.dump(wrong).pieces())
    assert "wrong-secret" not in f"{refusal.value!r} {refusal.value.hint} {refusal.value.__cause__!r}"


def test_a_database_of_another_tenant_is_refused(alice: Tenant, bob: Tenant) -> None:
    for name in (bob.login.name, "missing_database"):
        with pytest.raises(DatabaseRefused, match=f"does not let {alice.login.user} into {name}"):
            alice.adapter.probe(replace(alice.login, name=name))


def test_a_server_that_is_not_there_is_a_failed_dump(alice: Tenant, mariadb_server: MariaDB) -> None:
    adapter = MariaDBServer(parse_database_hosts(f"localhost:{mariadb_server.folder}/nothing,127.0.0.1:1"))
    for login in (alice.login, replace(alice.login, host="127.0.0.1", port=1)):
        with pytest.raises(DumpFailed, match="does not answer"):
            adapter.probe(login)


def test_tcp_works_like_the_socket(alice: Tenant, mariadb_server: MariaDB) -> None:
    alice.sql(*WORDPRESS)
    run = alice.adapter.dump(replace(alice.login, host="127.0.0.1", port=mariadb_server.port))
    over_tcp = b"".join(piece.chunk for piece in run.pieces())
    assert over_tcp.replace(b"-- Host: 127.0.0.1", b"-- Host: localhost") == alice.dump()[0]


def test_root_of_the_machine_is_nobody_to_the_database(alice: Tenant, mariadb_server: MariaDB) -> None:
    """Debian's MariaDB lets uid 0 in as its admin without a password; a tenant may write that login into its site."""
    mariadb_server.admin("CREATE DATABASE IF NOT EXISTS secrets")
    user = "root" if os.geteuid() == 0 else "nobody"
    via = f"IDENTIFIED VIA mysql_native_password USING PASSWORD('{mariadb_server.admin_password}') OR unix_socket"
    mariadb_server.admin(f"ALTER USER IF EXISTS '{user}'@'localhost' {via}")
    if os.geteuid() == 0:
        pymysql.connect(unix_socket=mariadb_server.socket, user="root", password=b"").close()
    for account in (None, Account(0, 0), Account(TENANT_UID, TENANT_UID)):
        adapter = MariaDBServer(parse_database_hosts(f"localhost:{mariadb_server.socket}"), account)
        with pytest.raises(DatabaseRefused):
            adapter.probe(DatabaseLogin("secrets", user, ""))


def test_clients_run_as_the_tenant_and_show_no_secret(mariadb_server: MariaDB) -> None:
    secret = "hunter2-läuft-nicht-über-argv"
    tenant = create_tenant(mariadb_server, "quiet", secret)
    tenant.sql(
        *WORDPRESS, *(["INSERT INTO wp_posts (post_content, post_title) SELECT REPEAT('x', 99), '' FROM wp_posts"] * 16)
    )
    account = Account(TENANT_UID, TENANT_UID) if os.geteuid() == 0 else None
    adapter = MariaDBServer(parse_database_hosts(f"localhost:{mariadb_server.socket}"), account)
    seen: list[bytes] = []
    uids = set()
    for piece in adapter.dump(tenant.login).pieces():
        if piece.section == "table:wp_posts":
            for pid, command, environment in _processes():
                seen += [command, environment]
                if b"mariadb-dump" in command and b"--hex-blob" in command:
                    uids.add(os.stat(f"/proc/{pid}").st_uid)
    assert uids == {TENANT_UID if account is not None else os.geteuid()}
    assert len(seen) > 10
    assert not [text for text in seen if secret.encode() in text]
    drop_tenant(tenant)


def _processes() -> Iterator[tuple[str, bytes, bytes]]:
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{folder}/cmdline", "rb") as command, open(f"{folder}/environ", "rb") as environment:
                yield os.path.basename(folder), command.read(), environment.read()
        except OSError:
            continue

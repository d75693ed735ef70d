"""An account of the job's own with rights on exactly one database, and what it leaves behind: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from smartbackup_panel.adapters.databases.admin_logins import read_admin_logins
from smartbackup_panel.adapters.databases.job_account import DUMP_RIGHTS, LOAD_RIGHTS
from smartbackup_panel.adapters.databases.mariadb import MariaDBServer
from smartbackup_panel.core.database_hosts import AdminLogin, AllowedHost, parse_database_hosts
from smartbackup_panel.core.databases import DumpReport, LoadPart
from smartbackup_panel.core.errors import BadSetting, LoadFailed
from tests.integration.databases.schemas import LONG_NAME, RICH, WORDPRESS
from tests.integration.databases.tenant import Tenant, in_chunks
from tests.integration.databases.test_crashes import killed_at
from tests.support.mariadb import MariaDB


@pytest.fixture(scope="module")
def rosas_login(mariadb_server: MariaDB) -> Iterator[AdminLogin]:
    mariadb_server.admin(
        "CREATE USER rosa@localhost IDENTIFIED BY 'rosas-secret';"
        "GRANT ALL PRIVILEGES ON *.* TO rosa@localhost WITH GRANT OPTION"
    )
    yield AdminLogin(AllowedHost("localhost", socket=mariadb_server.socket), "rosa", "rosas-secret")
    mariadb_server.admin("DROP USER rosa@localhost")


@pytest.fixture
def poor_login(mariadb_server: MariaDB) -> Iterator[AdminLogin]:
    """An admin's login that has no right yet."""
    mariadb_server.admin("CREATE USER poor@localhost IDENTIFIED BY 'new-secret'")
    yield AdminLogin(AllowedHost("localhost", socket=mariadb_server.socket), "poor", "new-secret")
    mariadb_server.admin("DROP USER poor@localhost")


@pytest.fixture
def two(alice: Tenant, rosas_login: AdminLogin) -> Tenant:
    """Alice, on a server whose admin gave a login."""
    hosts = parse_database_hosts(f"localhost:{alice.server.socket}")
    return replace(alice, adapter=MariaDBServer(hosts, None, lambda: (rosas_login,)))


def left_behind(server: MariaDB) -> list[str]:
    """Accounts of jobs and databases of restores on the whole server."""
    accounts = server.admin("SELECT User FROM mysql.user WHERE User LIKE 'sbj%'")
    databases = server.admin("SHOW DATABASES LIKE '\\_sb%'")
    return [name for (name,) in [*accounts, *databases]]


@pytest.mark.parametrize("schema", [WORDPRESS, RICH], ids=["wordpress", "rich"])
def test_a_restore_through_a_scratch_database_equals_its_moment(schema: tuple[str, ...], two: Tenant) -> None:
    two.sql(*schema)
    then = two.facts()
    text, report = two.dump()
    two.sql("SET foreign_key_checks = 0", *(f"DROP TABLE {name}" for name in tables_of(report)[:3]))
    wreck = two.facts()
    two.restore(text, report)
    assert two.facts() == then
    two.adapter.undo(two.login, "restore-1")
    assert two.facts() == wreck
    two.adapter.discard(two.login, "restore-1")
    assert (two.reserved_tables(), left_behind(two.server)) == ([], [])


def test_the_dump_client_and_the_load_are_accounts_of_the_job(two: Tenant) -> None:
    two.sql(
        *WORDPRESS, *(["INSERT INTO wp_posts (post_content, post_title) SELECT REPEAT('x', 99), '' FROM wp_posts"] * 15)
    )
    seen: set[str] = set()

    def look(_done: int = 0) -> None:
        rows = two.server.admin(
            "SELECT USER, DB FROM information_schema.PROCESSLIST WHERE USER NOT IN ('root', 'rosa')"
        )
        seen.update(user for user, database in rows if database == two.login.name)

    chunks = []
    for piece in (run := two.adapter.dump(two.login)).pieces():
        chunks.append(piece.chunk)
        if piece.section == "table:wp_posts" and len(chunks) % 20 == 0:
            look()
    dumpers = {user for user in seen if user.startswith("sbj_")}
    assert len(dumpers) == 1
    seen.clear()
    two.adapter.load(two.login, chunks, "seen", run.report, look)
    assert len({user for user in seen if user.startswith("sbj_")} - dumpers) == 1
    assert left_behind(two.server) == []
    assert two.adapter.state_of(two.login, "seen").value == "loaded"


def test_the_account_reaches_the_one_database_and_no_neighbour_with_a_similar_name(two: Tenant, bob: Tenant) -> None:
    """`_` in a database's name is a wildcard in a GRANT."""
    neighbour = two.login.name.replace("_", "x")
    two.server.admin(f"CREATE DATABASE {neighbour}")
    two.sql(*WORDPRESS)
    grants: list[str] = []

    def look(_done: int) -> None:
        for user, host in two.server.admin("SELECT User, Host FROM mysql.user WHERE User LIKE 'sbj%'"):
            grants.extend(grant for (grant,) in two.server.admin(f"SHOW GRANTS FOR '{user}'@'{host}'"))

    text, report = two.dump()
    two.adapter.load(two.login, [text], "r", report, look)
    two.server.admin(f"DROP DATABASE {neighbour}")
    escaped = two.login.name.replace("_", "\\_")
    on = {grant.partition(" ON ")[2].partition(" TO ")[0] for grant in grants}
    assert f"`{escaped}`.*" in on
    assert len(on) == 3
    assert all(place in ("*.*", f"`{escaped}`.*") or place.startswith("`\\_sbn\\_") for place in on)
    assert not [grant for grant in grants if "*.*" in grant and not grant.startswith("GRANT USAGE")]


def test_a_login_that_may_only_read_a_neighbour_stays_a_reader(two: Tenant, bob: Tenant) -> None:
    two.server.admin(f"GRANT SELECT ON `{bob.login.name}`.* TO '{two.login.user}'@'localhost'")
    two.sql(*WORDPRESS)
    text, report = two.dump()
    before = bob.facts()
    with pytest.raises(LoadFailed, match="command denied"):
        two.adapter.load(replace(two.login, name=bob.login.name), [text], "grab", report)
    assert bob.facts() == before
    assert left_behind(two.server) == []


def test_a_load_killed_at_any_statement_leaves_no_account_and_no_database(two: Tenant) -> None:
    two.sql(*WORDPRESS)
    text, report = two.dump()
    live, left = two.facts(), set()
    for step in range(0, 40, 3):
        killed = killed_at(step, lambda: two.adapter.load(two.login, in_chunks(text), "r", report))
        left.add(len(left_behind(two.server)))
        assert two.facts() == live
        two.adapter.discard(two.login, "r")
        assert (two.reserved_tables(), left_behind(two.server)) == ([], [])
        if not killed:
            break
    assert not killed
    assert left == {0, 1, 2}


def test_a_refused_dump_leaves_no_account_and_no_database(two: Tenant) -> None:
    two.sql(*WORDPRESS)
    text, report = two.dump()
    with pytest.raises(LoadFailed):
        two.adapter.load(two.login, [text[: len(text) // 2]], "r", report)
    assert (two.reserved_tables(), left_behind(two.server)) == ([], [])


def test_one_table_goes_through_the_scratch_database_too(two: Tenant) -> None:
    two.sql(*RICH)
    then = two.facts()
    text, report = two.dump()
    two.sql(f"DELETE FROM {LONG_NAME}", "UPDATE children SET self = NULL", "DELETE FROM children")
    part = LoadPart(frozenset({LONG_NAME, "children"}))
    two.adapter.load(two.login, [text], "part", report, None, part)
    two.adapter.swap(two.login, "part")
    assert two.facts() == then


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (None, (1, 1, 1)),
        ("USAGE ON *.* TO poor@localhost", (1, 1, 1)),
        ("SELECT ON mysql.* TO poor@localhost", (1, 1, 1)),
        ("CREATE USER, SELECT, INSERT ON *.* TO poor@localhost", (1, 1, 1)),
        # An account for the dump can be made, a scratch database cannot.
        (
            f"CREATE USER, RELOAD, {', '.join((LOAD_RIGHTS - {'CREATE'}) | DUMP_RIGHTS)} ON *.* TO poor@localhost WITH GRANT OPTION",
            (0, 1, 0),
        ),
    ],
    ids=["wrong-password", "no-rights", "reader", "no-grant-option", "no-create"],
)
def test_without_a_working_admin_login_backup_and_restore_go_on_and_say_so(
    grant: str | None,
    said: tuple[int, int, int],
    alice: Tenant,
    poor_login: AdminLogin,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hosts = parse_database_hosts(f"localhost:{alice.server.socket}")
    if grant is None:
        poor_login = replace(poor_login, password="old-secret")
    else:
        alice.server.admin(f"GRANT {grant}")
    adapter = MariaDBServer(hosts, None, lambda: (poor_login,))
    alice.sql(*WORDPRESS)
    then = alice.facts()
    run = adapter.dump(alice.login)
    text = b"".join(piece.chunk for piece in run.pieces())
    alice.sql("DELETE FROM wp_posts")
    loaded = adapter.load(alice.login, [text], "r", run.report)
    adapter.swap(alice.login, "r")
    assert alice.facts() == then
    adapter.discard(alice.login, "r")
    sentence = "The site's own login was used, because no account could be made for the job"
    for warnings, times in zip((run.report.warnings, loaded.warnings, caplog.messages), said, strict=True):
        assert [warning.partition(":")[0] for warning in warnings] == [sentence] * times
        assert "-secret" not in str(warnings)
    assert left_behind(alice.server) == []


def test_a_tenants_account_of_a_similar_name_is_nobodys_job(two: Tenant) -> None:
    two.server.admin("CREATE USER sbj_shop@localhost IDENTIFIED BY 'x'")
    two.sql(*WORDPRESS)
    two.dump()
    assert left_behind(two.server) == ["sbj_shop"]
    two.server.admin("DROP USER sbj_shop@localhost")


def test_a_login_that_could_not_restore_is_said_at_backup_time(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    pattern = alice.login.name.replace("_", "\\_")
    alice.server.admin(f"REVOKE CREATE, DROP ON `{pattern}`.* FROM '{alice.login.user}'@'localhost'")
    text, report = alice.dump()
    assert report.warnings == (
        f"The login {alice.login.user} has no right to CREATE and DROP in this database; a restore needs that.",
    )
    with pytest.raises(LoadFailed, match="CREATE command denied"):
        alice.adapter.load(alice.login, [text], "r", report)


def test_admin_logins_are_read_from_a_file_of_root_alone_or_an_inherited_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "logins.toml"
    path.write_text('[[login]]\nplace = "localhost:/run/m.sock"\nuser = "rosa"\npassword = "p#\\"\\\\"\n')
    path.chmod(0o600)
    expected = (AdminLogin(AllowedHost("localhost", socket="/run/m.sock"), "rosa", 'p#"\\'),)
    assert read_admin_logins(str(path)) == expected
    fd = os.open(path, os.O_RDONLY)
    os.unlink(path)
    assert [read_admin_logins(f"fd:{fd}") for _ in range(2)] == [expected, expected]
    os.close(fd)
    assert read_admin_logins("") == ()
    assert 'p#"' not in repr(expected)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ('[[login]]\nplace = "localhost"\nuser = "a"\npassword = "secret"', 0o640, "Others may read"),
        ('[[login]]\nplace = "localhost"\nuser = "a"', 0o600, "cannot be used"),
        ('password = secret"', 0o600, "cannot be used"),
        ("login = 3", 0o600, "cannot be used"),
    ],
)
def test_a_bad_file_of_admin_logins_is_refused_without_showing_it(
    content: str, mode: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "logins.toml"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(BadSetting, match=message) as refusal:
        read_admin_logins(str(path))
    assert "secret" not in f"{refusal.value} {refusal.value.__cause__!r}"
    with pytest.raises(BadSetting):
        read_admin_logins("fd:999")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(BadSetting, match="cannot be read"):
        read_admin_logins(str(tmp_path / "link"))


def tables_of(report: DumpReport) -> list[str]:
    return [f"`{table.name}`" for table in report.tables if table.name.isidentifier()]

"""An unchanged database costs a point nothing, and no change is ever taken for none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.databases.laravel_site import DOMAIN, LaravelSite, add_laravel
from tests.integration.databases.schemas import RICH
from tests.integration.databases.tenant import Tenant
from tests.support.installation import make_installation
from tests.support.postgres import Postgres, postgres_server

__all__ = ["postgres_server"]


@pytest.fixture
def scene(alice: Tenant) -> Iterator[LaravelSite]:
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        login = alice.login
        yield add_laravel(installation, "mysql", login.name, login.user, login.password)


def test_an_unchanged_database_refers_to_the_earlier_dump_and_is_restored_from_it(
    alice: Tenant, scene: LaravelSite
) -> None:
    alice.sql(*RICH)
    then = alice.facts()
    first = scene.database()
    second = scene.database()
    assert first["unchanged"] is False
    assert second == {**first, "unchanged": True}
    assert scene.dumps() == [first["archive"]]
    point = scene.installation.points(DOMAIN)[0]["point"]
    alice.sql("DELETE FROM kinds")
    assert scene.installation.smartbackup("verify", DOMAIN)["damaged"] == []
    scene.installation.smartbackup("restore", DOMAIN, "--point", point, "--databases-only", "--yes")
    assert alice.facts() == then


CHANGES = (
    "UPDATE places SET place = 3 - place",
    "ALTER TABLE places COMMENT 'now with words'",
    "CREATE VIEW one AS SELECT 1 AS one",
    "CREATE TRIGGER t BEFORE INSERT ON places FOR EACH ROW SET @a = 1",
    "CREATE TABLE a_new_one (id INT)",
    "INSERT INTO second VALUES (2)",
    "DROP TABLE second",
)


def test_any_change_is_dumped_also_where_the_server_knows_of_none(alice: Tenant, scene: LaravelSite) -> None:
    """The first change exchanges two values, and CHECKSUM TABLE gives the same sum; rebuilding clears UPDATE_TIME."""
    alice.sql(
        "CREATE TABLE places (id INT PRIMARY KEY, place INT NOT NULL)",
        "INSERT INTO places VALUES (690272016, 1), (1950907435, 2)",
        "CREATE TABLE second (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO second VALUES (1)",
    )
    sums = alice.sql("CHECKSUM TABLE places")
    seen = {scene.database()["archive"]}
    for number, change in enumerate(CHANGES):
        alice.sql(change, "ALTER TABLE places FORCE")
        assert number > 0 or alice.sql("CHECKSUM TABLE places") == sums
        known = alice.sql("SELECT UPDATE_TIME FROM information_schema.TABLES WHERE TABLE_NAME = 'places'")
        assert known == [(None,)]
        changed = scene.database()
        assert (changed["unchanged"], changed["archive"] in seen) == (False, False), change
        seen.add(changed["archive"])
    assert scene.database()["unchanged"] is True
    assert len(scene.dumps()) == len(CHANGES) + 1


def test_a_damaged_earlier_dump_is_not_referred_to(alice: Tenant, scene: LaravelSite) -> None:
    alice.sql(*RICH)
    first = scene.database()
    path = scene.installation.backup_root / DOMAIN / first["archive"]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    second = scene.database()
    assert second["unchanged"] is False
    assert second["archive"] != first["archive"]


def test_a_point_of_databases_alone_has_a_dump_of_its_own(alice: Tenant, scene: LaravelSite) -> None:
    alice.sql(*RICH)
    first = scene.database()
    second = scene.database("--databases-only")
    assert second["unchanged"] is False
    assert second["archive"] != first["archive"]


def test_an_unchanged_postgresql_database_refers_to_the_earlier_dump(postgres_server: Postgres) -> None:
    postgres_server.create_tenant("quiet", "s3cret")
    try:
        with (
            make_installation({"DATABASE_HOSTS": f"localhost:{postgres_server.socket}"}) as installation,
            postgres_server.connect("quiet", "s3cret", "quiet") as connection,
        ):
            connection.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
            connection.execute("INSERT INTO notes SELECT n, repeat('x', n % 900) FROM generate_series(1, 4000) n")
            folder, port = str(postgres_server.folder), str(postgres_server.port)
            scene = add_laravel(installation, "pgsql", "quiet", "quiet", "s3cret", folder, port)
            first, second = scene.database(), scene.database()
            assert second == {**first, "unchanged": True}
            connection.execute("UPDATE notes SET note = 'y' WHERE id = 4000")
            assert scene.database()["unchanged"] is False
    finally:
        postgres_server.drop_tenant("quiet")

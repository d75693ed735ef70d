"""An unchanged database costs a point nothing, and no change is ever taken for none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.databases.schemas import RICH
from tests.integration.databases.tenant import Tenant
from tests.support.installation import Installation, make_installation
from tests.support.postgres import Postgres, postgres_server

__all__ = ["postgres_server"]

DOMAIN = "app.example.test"


@dataclass
class Scene:
    """A domain whose .env names Alice's database."""

    installation: Installation
    root: Path

    def back_up(self, *options: str) -> dict[str, Any]:
        made = self.installation.smartbackup("backup", DOMAIN, *options)
        return dict(made["databases"][0])

    def dumps(self) -> list[str]:
        return sorted(name for name in os.listdir(self.installation.backup_root / DOMAIN) if "database" in name)


def env_of(kind: str, name: str, user: str, password: str) -> dict[str, bytes | str]:
    text = (
        f"DB_CONNECTION={kind}\nDB_HOST=localhost\nDB_DATABASE={name}\nDB_USERNAME={user}\nDB_PASSWORD='{password}'\n"
    )
    return {"artisan": "", "composer.json": "{}", ".env": text, "public/index.php": "<?php\n"}


@pytest.fixture
def scene(alice: Tenant) -> Iterator[Scene]:
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        login = alice.login
        site = installation.add_site(DOMAIN, env_of("mysql", login.name, login.user, login.password))
        yield Scene(installation, site.root)


def test_an_unchanged_database_refers_to_the_earlier_dump_and_is_restored_from_it(alice: Tenant, scene: Scene) -> None:
    alice.sql(*RICH)
    then = alice.facts()
    first = scene.back_up()
    second = scene.back_up()
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


def test_any_change_is_dumped_also_where_the_server_knows_of_none(alice: Tenant, scene: Scene) -> None:
    """The first change exchanges two values, and CHECKSUM TABLE gives the same sum; rebuilding clears UPDATE_TIME."""
    alice.sql(
        "CREATE TABLE places (id INT PRIMARY KEY, place INT NOT NULL)",
        "INSERT INTO places VALUES (690272016, 1), (1950907435, 2)",
        "CREATE TABLE second (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO second VALUES (1)",
    )
    sums = alice.sql("CHECKSUM TABLE places")
    seen = {scene.back_up()["archive"]}
    for number, change in enumerate(CHANGES):
        alice.sql(change, "ALTER TABLE places FORCE")
        assert number > 0 or alice.sql("CHECKSUM TABLE places") == sums
        known = alice.sql("SELECT UPDATE_TIME FROM information_schema.TABLES WHERE TABLE_NAME = 'places'")
        assert known == [(None,)]
        changed = scene.back_up()
        assert (changed["unchanged"], changed["archive"] in seen) == (False, False), change
        seen.add(changed["archive"])
    assert scene.back_up()["unchanged"] is True
    assert len(scene.dumps()) == len(CHANGES) + 1


def test_a_damaged_earlier_dump_is_not_referred_to(alice: Tenant, scene: Scene) -> None:
    alice.sql(*RICH)
    first = scene.back_up()
    path = scene.installation.backup_root / DOMAIN / first["archive"]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    second = scene.back_up()
    assert second["unchanged"] is False
    assert second["archive"] != first["archive"]


def test_a_point_of_databases_alone_has_a_dump_of_its_own(alice: Tenant, scene: Scene) -> None:
    alice.sql(*RICH)
    first = scene.back_up()
    second = scene.back_up("--databases-only")
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
            env = env_of("pgsql", "quiet", "quiet", "s3cret")
            env[".env"] = (
                str(env[".env"]).replace("localhost", str(postgres_server.folder)) + f"DB_PORT={postgres_server.port}\n"
            )
            scene = Scene(installation, installation.add_site(DOMAIN, env).root)
            first, second = scene.back_up(), scene.back_up()
            assert second == {**first, "unchanged": True}
            connection.execute("UPDATE notes SET note = 'y' WHERE id = 4000")
            assert scene.back_up()["unchanged"] is False
    finally:
        postgres_server.drop_tenant("quiet")

"""Some tables of a point go back alone, or into another database, and can be taken back: by command, and as pages ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import sql

from tests.integration.databases.laravel_site import DOMAIN, LaravelSite, add_laravel
from tests.integration.databases.tenant import Tenant
from tests.support.installation import make_installation
from tests.support.postgres import Postgres, postgres_server

__all__ = ["postgres_server"]

SCHEMA = (
    "CREATE TABLE users (id INT PRIMARY KEY, name TEXT)",
    "INSERT INTO users VALUES (1, 'Ann'), (2, 'Ben')",
    "CREATE TABLE posts (id INT PRIMARY KEY, author INT, CONSTRAINT by_user FOREIGN KEY (author) REFERENCES users (id))",
    "INSERT INTO posts VALUES (7, 1), (8, 2)",
    "CREATE TABLE jobs (id INT PRIMARY KEY)",
    "INSERT INTO jobs VALUES (5)",
    "CREATE VIEW names AS SELECT name FROM users",
)
CHANGES = (
    "UPDATE users SET name = 'Eve'",
    "DELETE FROM posts",
    "DELETE FROM jobs",
    "CREATE TABLE later (id INT PRIMARY KEY)",
)


@dataclass
class Scene:
    site: LaravelSite
    alice: Tenant

    def restore(self, *options: str, exit_code: int = 0) -> dict[str, Any]:
        arguments = ("--point", "latest", "--databases-only", "--yes", *options)
        return dict(self.site.installation.smartbackup("restore", DOMAIN, *arguments, exit_code=exit_code))

    def rows(self, database: str | None = None) -> dict[str, Any]:
        """Every row of the database's own tables."""
        place = database or self.alice.login.name
        listed = self.alice.server.admin(
            f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{place}' AND TABLE_NAME NOT LIKE '\\_sb%'"
        )
        return {name: self.alice.server.admin(f"SELECT * FROM `{name}`", database=place) for (name,) in sorted(listed)}


@pytest.fixture
def scene(alice: Tenant) -> Iterator[Scene]:
    alice.sql(*SCHEMA)
    login = alice.login
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        site = add_laravel(installation, "mysql", login.name, login.user, login.password)
        site.back_up()
        alice.sql(*CHANGES)
        yield Scene(site, alice)


def test_one_table_goes_back_and_nothing_else_changes_until_it_is_undone(scene: Scene) -> None:
    before = scene.rows()
    plan = scene.restore("--table", "posts", "--plan")["plan"]
    assert [(row["table"], row["then"], row["now"]) for row in plan["tables"]] == [("posts", 2, 0)]
    assert scene.rows() == before
    scene.restore("--table", "posts")
    assert scene.rows() == {**before, "posts": [(7, 1), (8, 2)]}
    with pytest.raises(Exception, match="foreign key"):
        scene.alice.sql("INSERT INTO posts VALUES (9, 77)")
    scene.site.installation.smartbackup("undo", DOMAIN)
    assert scene.rows() == before
    assert scene.alice.reserved_tables() == []


def test_rows_that_are_held_back_come_where_their_table_was_chosen(scene: Scene) -> None:
    scene.restore("--table", "jobs", "--table", "posts", "--database", scene.alice.login.name)
    assert (scene.rows()["jobs"], scene.rows()["posts"]) == ([(5,)], [(7, 1), (8, 2)])
    assert scene.rows()["users"] == [(1, "Eve"), (2, "Eve")]


def test_a_database_goes_into_another_one_and_comes_out_again(scene: Scene) -> None:
    alice, other = scene.alice, scene.alice.login.name + "x"
    alice.server.admin(
        f"CREATE DATABASE {other}; GRANT ALL ON {other}.* TO '{alice.login.user}'@'localhost';"
        f"CREATE TABLE {other}.users (old INT); CREATE TABLE {other}.notes (id INT)"
    )
    before = scene.rows()
    plan = scene.restore("--into", other, "--plan")["plan"]
    assert plan["into"] == other
    assert [row["now"] for row in plan["tables"]] == [None, None, 0]
    assert scene.restore("--into", other)["databases"] == [other]
    assert scene.rows() == before
    expected = {
        "users": [(1, "Ann"), (2, "Ben")],
        "posts": [(7, 1), (8, 2)],
        "names": [("Ann",), ("Ben",)],
        "jobs": (),
        "notes": (),
    }
    assert {name: rows or () for name, rows in scene.rows(other).items()} == expected
    scene.site.installation.smartbackup("undo", DOMAIN)
    assert {name: rows or () for name, rows in scene.rows(other).items()} == {"users": (), "notes": ()}
    scene.restore("--into", other, "--table", "users")
    assert scene.rows(other)["users"] == [(1, "Ann"), (2, "Ben")]
    assert sorted(scene.rows(other)) == ["notes", "users"]
    scene.site.installation.smartbackup("undo", DOMAIN)
    alice.server.admin(f"DROP DATABASE {other}")


def test_a_database_of_somebody_else_is_no_target(scene: Scene, bob: Tenant) -> None:
    before = bob.facts()
    told = scene.restore("--into", bob.login.name, exit_code=1)
    assert "does not let" in told["error"]["message"]
    assert bob.facts() == before


REFUSED = {
    ("--table", "nosuch"): "no database of this point has a table 'nosuch'",
    ("--database", "nosuch"): "holds no database 'nosuch'",
    ("--into", "mysql"): "no name of a database that a site can have",
    ("--into", "_sbn_x"): "no name of a database that a site can have",
    ("--table", "users", "--path", "artisan"): "only where databases are restored in place",
    ("--table", "users", "--to", "/tmp/x"): "only where databases are restored in place",
}


def test_a_choice_that_makes_no_sense_is_refused(scene: Scene) -> None:
    for options, words in REFUSED.items():
        assert words in scene.restore(*options, exit_code=2)["error"]["message"]
    whole = ("restore", DOMAIN, "--point", "latest", "--yes", "--into", "other")
    told = scene.site.installation.smartbackup(*whole, exit_code=2)
    assert "files go back to the site itself" in told["error"]["message"]


def test_one_table_of_a_postgresql_database_goes_back_by_command(postgres_server: Postgres) -> None:
    folder, _, port = postgres_server.socket.rpartition("/.s.PGSQL.")
    postgres_server.create_tenant("tabled", "s3cret")
    with (
        postgres_server.connect("tabled", "s3cret", "tabled") as site_login,
        make_installation({"DATABASE_HOSTS": f"localhost:{postgres_server.socket}"}) as installation,
    ):
        for statement in SCHEMA:
            site_login.execute(statement.encode())
        site = add_laravel(installation, "pgsql", "tabled", "tabled", "s3cret", folder, port)
        site.back_up()
        for statement in CHANGES:
            site_login.execute(statement.encode())
        installation.smartbackup(
            "restore", DOMAIN, "--point", "latest", "--databases-only", "--table", "posts", "--yes"
        )
        assert site_login.execute(b"SELECT id, author FROM posts ORDER BY id").fetchall() == [(7, 1), (8, 2)]
        assert site_login.execute(b"SELECT DISTINCT name FROM users").fetchall() == [("Eve",)]
        installation.smartbackup("undo", DOMAIN)
        assert site_login.execute(b"SELECT * FROM posts").fetchall() == []
        assert site_login.execute(
            sql.SQL("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_sb%'")
        ).fetchall() == [(0,)]
    postgres_server.drop_tenant("tabled")

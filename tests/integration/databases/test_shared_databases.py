"""Several databases of one domain, and one database of two domains."""

from __future__ import annotations

import subprocess

from smartbackup_panel.adapters.databases.mariadb import MariaDBServer
from tests.integration.databases.laravel_site import DOMAIN, add_laravel
from tests.integration.databases.schemas import RICH, WORDPRESS
from tests.integration.databases.tenant import Tenant
from tests.support.installation import SMARTBACKUP, Installation, make_installation

OTHER = "twin.example.test"


def hosts(tenant: Tenant) -> dict[str, str]:
    return {"DATABASE_HOSTS": f"localhost:{tenant.server.socket}"}


def wp_config(tenant: Tenant) -> str:
    login = tenant.login
    values = {"DB_NAME": login.name, "DB_USER": login.user, "DB_PASSWORD": login.password, "DB_HOST": "localhost"}
    return (
        "<?php\n"
        + "".join(f"define('{key}', '{value}');\n" for key, value in values.items())
        + "$table_prefix = 'wp_';\n"
    )


def test_every_database_of_a_domain_is_dumped_and_put_back(alice: Tenant, bob: Tenant) -> None:
    alice.sql(*RICH)
    bob.sql(*WORDPRESS)
    then = alice.facts(), bob.facts()
    with make_installation(hosts(alice)) as installation:
        app = add_laravel(installation, "mysql", alice.login.name, alice.login.user, alice.login.password)
        app.site.write("public_html/wp-config.php", wp_config(bob))
        app.site.write("public_html/wp-includes/version.php", "<?php\n")
        made = app.back_up()
        assert sorted(row["database"] for row in made["databases"]) == sorted([alice.login.name, bob.login.name])
        assert len(app.dumps()) == 2
        bob.sql("DROP TABLE wp_posts")
        alice.sql("SET foreign_key_checks = 0", "DROP TABLE children")
        wreck = alice.facts(), bob.facts()
        installation.smartbackup("restore", DOMAIN, "--point", made["point"], "--yes")
        assert (alice.facts(), bob.facts()) == then
        installation.smartbackup("undo", DOMAIN)
        assert (alice.facts(), bob.facts()) == wreck
        installation.smartbackup(
            "restore", DOMAIN, "--point", made["point"], "--databases-only", "--database", bob.login.name, "--yes"
        )
        assert (alice.facts(), bob.facts()) == (wreck[0], then[1])


def test_a_database_of_two_domains_is_in_the_points_of_both_and_one_undo_takes_back_one_restore(alice: Tenant) -> None:
    alice.sql(*WORDPRESS)
    then = alice.facts()
    with make_installation(hosts(alice)) as installation:
        first, second = twins(installation, alice)
        alice.sql("DELETE FROM wp_posts")
        wreck = alice.facts()
        installation.smartbackup("restore", DOMAIN, "--point", first, "--yes")
        assert alice.facts() == then
        installation.smartbackup("undo", DOMAIN)
        assert alice.facts() == wreck
        installation.smartbackup("restore", OTHER, "--point", second, "--yes")
        assert alice.facts() == then


def test_two_domains_that_restore_one_database_at_once_leave_it_whole(alice: Tenant) -> None:
    alice.sql(
        *WORDPRESS, *(["INSERT INTO wp_posts (post_content, post_title) SELECT REPEAT('x', 99), '' FROM wp_posts"] * 12)
    )
    then = alice.facts()
    with make_installation(hosts(alice)) as installation:
        points = dict(zip((DOMAIN, OTHER), twins(installation, alice), strict=True))
        alice.sql("DELETE FROM wp_posts")
        both = [
            subprocess.Popen(
                [str(SMARTBACKUP), "restore", domain, "--point", point, "--databases-only", "--yes", "--json"],
                env=installation.environment,
                stdout=subprocess.PIPE,
            )
            for domain, point in points.items()
        ]
        ended = [(child.communicate(timeout=120)[0], child.returncode) for child in both]
        assert 0 in {code for _, code in ended}, ended
        assert alice.facts() == then
        assert MariaDBServer(alice.adapter._allowed).probe(alice.login).table_names() == tuple(
            sorted(table_names(then))
        )


def table_names(facts: dict[str, object]) -> list[str]:
    return [name.partition(" TABLE ")[2] for name in facts if " TABLE " in name]


def twins(installation: Installation, tenant: Tenant) -> tuple[str, str]:
    """Make two domains with the same database and return a point of each."""
    app = add_laravel(installation, "mysql", tenant.login.name, tenant.login.user, tenant.login.password)
    env = (app.site.root / ".env").read_text()
    installation.add_site(OTHER, {"artisan": "", "composer.json": "{}", ".env": env, "public/index.php": "<?php\n"})
    return app.back_up()["point"], installation.smartbackup("backup", OTHER)["point"]

"""A Laravel application, on MariaDB and on PostgreSQL, is wrecked and put back by its owner in a browser."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from tests.support.browser import SCREENSHOTS, open_page
from tests.support.installation import Installation, make_installation
from tests.support.laravel import Laravel, make_laravel
from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres, postgres_server
from tests.support.sites import ALICE, differences

__all__ = ["postgres_server"]

DOMAIN = "app.example.test"
PASSWORD = "a customer's password"


@contextmanager
def running(hosts: str, connection: dict[str, str]) -> Iterator[tuple[Installation, Laravel, Page]]:
    """Give an installation with its pages, a Laravel application that it covers, and Alice's browser, logged in."""
    with make_installation({"DATABASE_HOSTS": hosts, "RECONCILE_SECONDS": "3600"}) as installation:
        owner = str(ALICE.uid) if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        installation.smartbackup("account", "add", "alice", "--owner", owner, words=f"{PASSWORD}\n")
        log = installation.folder / "php.log"
        with make_laravel(installation.domains_root, DOMAIN, connection, log) as app, open_page() as page:
            app.add("Tulips")
            app.add("it's 花")
            installation.start_worker()
            installation.start_web()
            page.goto(installation.url)
            page.get_by_label("Login").fill("alice")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            yield installation, app, page


def walk(installation: Installation, app: Laravel, page: Page, name: str) -> None:
    """Wreck the application and put it back through the page, files and database; then take that back."""
    [point] = installation.wait_for_points(DOMAIN, 1)
    assert (point["state"], len(point["databases"])) == ("good", 1)
    then = app.site.tree()
    app.add("Roses")
    shutil.rmtree(app.site.root / "config")
    assert app.titles() == 500

    page.goto(installation.url)
    page.get_by_role("link", name=DOMAIN).first.click()
    page.locator(f"#point-{point['point']}").get_by_role("link", name=re.compile("^Restore")).click()
    page.get_by_role("button", name="Show what would change").click()
    confirm = page.get_by_role("button", name=re.compile("^Put back"))
    expect(confirm).to_be_visible(timeout=60_000)
    page.screenshot(path=SCREENSHOTS / f"{name}-plan.png", full_page=True)
    confirm.click()
    page.wait_for_url(re.compile(r"/jobs/"))
    expect(page.get_by_text("Undo this restore").first).to_be_visible(timeout=90_000)
    assert app.titles() == ["Tulips", "it&#039;s 花"]
    kept = {path: entry for path, entry in app.site.tree().items() if b"storage/" not in path}
    assert not differences({path: entry for path, entry in then.items() if b"storage/" not in path}, kept)

    page.get_by_text("Undo this restore").first.click()
    page.get_by_role("button", name=re.compile("^Bring back")).first.click()
    expect(page.get_by_role("heading", name="The restore was undone")).to_be_visible(timeout=60_000)
    assert app.titles() == 500


def test_a_wrecked_laravel_on_mariadb_is_put_back_in_a_browser(mariadb_server: MariaDB) -> None:
    name = mariadb_server.unique("laravel")
    mariadb_server.create_tenant(name, name, "s3cret")
    connection = {"CONNECTION": "mysql", "HOST": "127.0.0.1", "PORT": str(mariadb_server.port)}
    connection |= {"DATABASE": name, "USERNAME": name, "PASSWORD": "s3cret"}
    with running(f"127.0.0.1:{mariadb_server.port}", connection) as (installation, app, page):
        walk(installation, app, page, "laravel")
        count = mariadb_server.admin("SELECT COUNT(*) FROM posts", database=name)
        assert count == [(3,)], "the undo brought back what was written since"
    mariadb_server.drop_tenant(name, name)


def test_a_wrecked_application_on_postgresql_is_put_back_in_a_browser(postgres_server: Postgres) -> None:
    postgres_server.create_tenant("laravel", "s3cret")
    connection = {"CONNECTION": "pgsql", "HOST": "127.0.0.1", "PORT": str(postgres_server.port)}
    connection |= {"DATABASE": "laravel", "USERNAME": "laravel", "PASSWORD": "s3cret"}
    with running(f"127.0.0.1:{postgres_server.port}", connection) as (installation, app, page):
        walk(installation, app, page, "postgresql")
        with postgres_server.connect("laravel", "s3cret", "laravel") as there:
            assert there.execute(b"SELECT count(*) FROM posts").fetchall() == [(3,)]
    postgres_server.drop_tenant("laravel")

"""The main job, end to end: a real WordPress is covered by a hook, wrecked, and put back by its owner in a browser."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import SCREENSHOTS, open_page
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB
from tests.support.sites import ALICE, BOB, Entry, differences, tree_of
from tests.support.wordpress import WordPress, make_wordpress

DOMAIN = "shop.example.test"
PASSWORD = "a customer's password"


@dataclass
class Moment:
    """What a site was: its tree, and CHECKSUM TABLE of every table."""

    tree: dict[bytes, Entry]
    tables: dict[str, int]


@dataclass
class Walk:
    installation: Installation
    shop: WordPress
    page: Page

    def moment(self) -> Moment:
        return Moment(self.shop.site.tree(), self.shop.tables())

    def assert_is(self, moment: Moment) -> None:
        assert not differences(moment.tree, self.shop.site.tree())
        assert self.shop.tables() == moment.tables

    def picture(self, name: str) -> None:
        self.page.screenshot(path=SCREENSHOTS / f"walk-{name}.png", full_page=True)

    def log_in(self) -> None:
        self.page.goto(self.installation.url)
        self.page.get_by_label("Login").fill("alice")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()

    def open_domain(self) -> None:
        self.page.goto(self.installation.url)
        self.page.get_by_role("link", name=DOMAIN).first.click()

    def restore(self, point: str, name: str) -> None:
        """Put the site back exactly to one of its points, as its owner does."""
        self.open_domain()
        self.picture(f"{name}-domain")
        self.page.locator(f"#point-{point}").get_by_role("link", name=re.compile("^Restore")).click()
        self.page.get_by_label("Exactly as it was").check()
        self.page.get_by_role("button", name="Show what would change").click()
        confirm = self.page.get_by_role("button", name=re.compile("^Put back"))
        expect(confirm).to_be_visible(timeout=60_000)
        assert re.search(r"\d+ file", confirm.inner_text()), "the button names its effect"
        self.picture(f"{name}-plan")
        self.page.get_by_label(re.compile("^Type")).fill(DOMAIN)
        confirm.click()
        self.page.wait_for_url(re.compile(r"/jobs/"))
        self.page.goto(self.page.url)
        expect(self.page.get_by_text("Undo this restore").first).to_be_visible(timeout=90_000)
        self.picture(f"{name}-done")

    def undo(self) -> None:
        """Take the last restore back."""
        self.page.get_by_text("Undo this restore").first.click()
        self.page.get_by_role("button", name=re.compile("^Bring back")).first.click()
        expect(self.page.get_by_role("heading", name="The restore was undone")).to_be_visible(timeout=60_000)
        self.picture("undone")


@pytest.fixture
def walk(wordpress_package: Path, mariadb_server: MariaDB) -> Iterator[Walk]:
    settings = {"DATABASE_HOSTS": f"localhost:{mariadb_server.socket}", "RECONCILE_SECONDS": "3600"}
    with make_installation(settings) as installation:
        installation.start_worker()
        installation.start_web()
        installation.wait_for_worker()
        log = installation.folder / "php.log"
        with (
            make_wordpress(wordpress_package, installation.domains_root, DOMAIN, mariadb_server, log=log) as shop,
            open_page() as page,
        ):
            yield Walk(installation, shop, page)


def test_a_wrecked_wordpress_is_put_back_by_its_owner_in_a_browser(walk: Walk, tmp_path: Path) -> None:
    installation, shop, page = walk.installation, walk.shop, walk.page
    owner = str(ALICE.uid) if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    installation.smartbackup("account", "add", "alice", "--owner", owner, words=f"{PASSWORD}\n")
    installation.add_site("other.example.test", {"index.html": "<h1>Bob's</h1>"}, tenant=BOB)

    shop.install("Alice's Shop")
    first = walk.moment()
    assert installation.hook("domain-created", DOMAIN) == 0
    assert installation.hook("domain-created", "other.example.test") == 0
    [point] = installation.wait_for_points(DOMAIN, 1)
    assert (point["type"], point["state"], len(point["databases"])) == ("full", "good", 1)
    walk.assert_is(first)

    shop.publish("Spring sale", "Everything must go 🌷")
    picture = shop.upload_picture("tulips.png")
    shop.edit_theme_file("style.css", "body { background: mistyrose; }\n")
    shop.delete_plugin("akismet")
    second = walk.moment()
    made = installation.smartbackup("backup", DOMAIN, "--type", "incremental")
    assert (made["type"], made["verified"], made["state"]) == ("incremental", "read back", "good")
    assert made["deleted"] > 10

    archive = installation.folder / "store" / DOMAIN / point["archive"]
    subprocess.run(["/usr/bin/tar", "xzf", archive, "-C", tmp_path], check=True, capture_output=True)
    assert not differences(first.tree, tree_of(tmp_path))

    shop.wreck()
    wreck = walk.moment()
    assert shop.home().body == b"hacked"

    walk.log_in()
    expect(page.get_by_text(DOMAIN).first).to_be_visible()
    walk.picture("customer")
    assert "other.example.test" not in page.content()
    walk.open_domain()
    other = installation.smartbackup("domains", "show", "other.example.test")["id"]
    mine = installation.smartbackup("domains", "show", DOMAIN)["id"]
    for unseen in (other, "0" * 32):
        assert page.request.get(page.url.replace(mine, unseen)).status == 404

    walk.restore(point["point"], "first")
    walk.assert_is(first)
    home = shop.home()
    assert (home.status, home.title) == (200, "Alice's Shop")
    assert "Spring sale" not in home.text

    walk.undo()
    walk.assert_is(wreck)
    assert shop.home().body == b"hacked"

    walk.restore(made["point"], "second")
    walk.assert_is(second)
    home = shop.home()
    assert (home.status, home.title) == (200, "Alice's Shop")
    assert "Spring sale" in home.text
    assert not (shop.site.root / "wp-content/plugins/akismet").exists()
    assert (shop.site.root / picture).is_file()

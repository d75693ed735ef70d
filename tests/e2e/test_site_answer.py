"""Somebody who just broke the site sees that it is broken, puts it back, and sees that it answers again."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import SCREENSHOTS, open_page
from tests.support.installation import Installation, make_installation
from tests.support.servers import answers_http, free_port, start_server
from tests.support.sites import ALICE, Site

DOMAIN = "shop.example.test"
PASSWORD = "a customer's password"
HOME = "<title>Shop</title><?php if (!file_exists('settings.php')) { http_response_code(500); exit; } echo 'Tulips';\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Installation, Site]]:
    """Give an installation whose web server shows one site, with one restore point of it."""
    port = free_port()
    with make_installation({"RECONCILE_SECONDS": "3600", "SITE_SERVER": f"127.0.0.1:{port}"}) as installation:
        site = installation.add_site(DOMAIN, {"index.php": HOME, "settings.php": "<?php\n"})
        owner = str(ALICE.uid) if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        installation.smartbackup("account", "add", "alice", "--owner", owner, words=f"{PASSWORD}\n")
        php = start_server(
            "php",
            ["/usr/bin/php", "-S", f"127.0.0.1:{port}", "-t", site.root],
            log=tmp_path / "php.log",
            environment={"PATH": "/usr/bin:/bin"},
            ready=lambda: answers_http(f"http://127.0.0.1:{port}/"),
            folder=site.root.parent,
        )
        try:
            installation.start_worker()
            installation.start_web()
            installation.wait_for_points(DOMAIN, 1)
            yield installation, site
        finally:
            php.stop()


def test_the_page_says_how_the_site_answers_before_and_after_a_restore(served: tuple[Installation, Site]) -> None:
    installation, site = served
    with open_page() as page:
        page.goto(installation.url)
        page.get_by_label("Login").fill("alice")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name=DOMAIN).first.click()
        expect(page.get_by_text("Your site answers 200, title 'Shop'.")).to_be_visible()

        (site.root / "settings.php").unlink()
        # The page asks again by itself, every ten seconds.
        expect(page.get_by_text("Your site answers with error 500.")).to_be_visible(timeout=60_000)
        page.screenshot(path=SCREENSHOTS / "answer-broken.png", full_page=True)

        page.get_by_role("button", name=re.compile("^Put my site back")).click()
        confirm = page.get_by_role("button", name=re.compile("^Put back"))
        expect(confirm).to_be_visible(timeout=60_000)
        confirm.click()
        page.wait_for_url(re.compile(r"/jobs/"))
        expect(page.get_by_text("Your site answers 200, title 'Shop'.")).to_be_visible(timeout=60_000)
        page.screenshot(path=SCREENSHOTS / "answer-restored.png", full_page=True)

        page.get_by_text("Undo this restore").first.click()
        page.get_by_role("button", name=re.compile("^Bring back")).first.click()
        expect(page.get_by_text("Your site answers with error 500.")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Before, it answered 200.")).to_be_visible()

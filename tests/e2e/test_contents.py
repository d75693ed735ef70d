"""Looking into restore points in a browser, with the real worker behind: find, compare, download, put one file back."""

from __future__ import annotations

import os
import pwd
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import SCREENSHOTS, open_page
from tests.support.http import Browser
from tests.support.installation import Installation, make_installation
from tests.support.sites import ALICE, BOB, Site

DOMAIN = "shop.example.test"
PASSWORD = "a customer's password"
CONFIG = "<?php\ndefine('DEBUG', false);\nrequire 'settings.php';\n"


@dataclass
class Look:
    installation: Installation
    site: Site
    points: list[str]
    page: Page

    def picture(self, name: str) -> None:
        self.page.screenshot(path=SCREENSHOTS / f"contents-{name}.png", full_page=True)


@pytest.fixture
def installation() -> Iterator[Installation]:
    with make_installation({"RECONCILE_SECONDS": "3600"}) as made:
        made.start_worker()
        made.start_web()
        yield made


@pytest.fixture
def look(installation: Installation) -> Iterator[Look]:
    """Give a site with two points, after which its settings were broken and its logo went; Alice is logged in."""
    for login, tenant in (("alice", ALICE), ("bob", BOB)):
        owner = str(tenant.uid) if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        installation.smartbackup("account", "add", login, "--owner", owner, words=f"{PASSWORD}\n")
    files = {"config.php": CONFIG, "uploads/logo.svg": "<svg/>\n", "uploads/Äpfel & Birnen.txt": "fruit\n"}
    site = installation.add_site(DOMAIN, files)
    one = installation.smartbackup("backup", DOMAIN)["point"]
    site.write("config.php", CONFIG.replace("false", "true"))
    (site.root / "uploads/logo.svg").unlink()
    two = installation.smartbackup("backup", DOMAIN)["point"]
    site.write("config.php", "<?php broken(")
    with open_page() as page:
        page.goto(installation.url)
        page.get_by_label("Login").fill("alice")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        yield Look(installation, site, [one, two], page)


def test_a_customer_finds_compares_downloads_and_puts_back_single_files(look: Look) -> None:
    page, site = look.page, look.site
    page.get_by_role("link", name=DOMAIN).first.click()
    page.get_by_role("link", name="What changed").click()
    expect(page.get_by_text("1 file changed, 1 file gone.")).to_be_visible()
    look.picture("compare")
    page.get_by_role("button", name="Changed lines of config.php").click()
    expect(page.get_by_text("define('DEBUG', true);")).to_be_visible(timeout=30_000)
    assert page.locator("tr.sb-diff-old").inner_text().split("\t")[-1] == "define('DEBUG', false);"
    look.picture("lines")
    page.get_by_role("link", name="All versions of this file").click()
    expect(page.get_by_role("heading", name="Versions of config.php")).to_be_visible()
    look.picture("versions")
    page.get_by_role("listitem").last.get_by_role("button", name="Put this version back").click()
    page.get_by_role("button", name="Put back 1 file").click(timeout=60_000)
    expect(page.get_by_role("heading", name="The site is back")).to_be_visible(timeout=60_000)
    assert (site.root / "config.php").read_text() == CONFIG
    assert not (site.root / "uploads/logo.svg").exists()

    page.get_by_role("link", name=DOMAIN).first.click()
    page.get_by_role("link", name="Find a file").click()
    page.get_by_label("A part of its name").fill("LOGO")
    page.keyboard.press("Enter")
    expect(page.get_by_text("gone; last in the restore point of")).to_be_visible()
    look.picture("search")
    page.get_by_role("link", name="uploads/logo.svg").click()
    expect(page.get_by_text("It is gone.")).to_be_visible()
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save it on this computer").click(timeout=30_000)
    assert saving.value.suggested_filename == "logo.svg"
    assert saving.value.path().read_bytes() == b"<svg/>\n"

    page.goto(f"{look.installation.url}/domains/{domain_id(page)}/points/{look.points[0]}/files")
    page.get_by_role("link", name="uploads (folder)").click()
    expect(page.get_by_text("Äpfel & Birnen.txt")).to_be_visible()
    page.get_by_label("Choose logo.svg").check()
    look.picture("browse")
    page.get_by_role("button", name="Put the chosen back").click()
    page.get_by_role("button", name="Put back 1 file").click(timeout=60_000)
    expect(page.get_by_role("heading", name="The site is back")).to_be_visible(timeout=60_000)
    assert (site.root / "uploads/logo.svg").read_bytes() == b"<svg/>\n"


def domain_id(page: Page) -> str:
    found = re.search(r'href="/domains/([0-9a-f]{32})"', page.content())
    assert found is not None
    return found[1]


def log_in(installation: Installation, login: str) -> Browser:
    browser = Browser(installation.url)
    browser.get("/login")
    send(browser, "/login", browser.get("/login").fields(), login=login, password=PASSWORD)
    return browser


def send(browser: Browser, address: str, token: dict[str, str], **form: str) -> tuple[int, str]:
    """Post a form with the page's token; return the status and where it led."""
    kept = {name: value for name, value in token.items() if "csrf" in name}
    answer = browser.post(address, {**kept, **form})
    return answer.status, answer.url


def test_a_folder_is_downloaded_once_by_the_one_who_asked(look: Look) -> None:
    alice, bob, url = log_in(look.installation, "alice"), log_in(look.installation, "bob"), look.installation.url
    shop = look.installation.smartbackup("domains", "show", DOMAIN)["id"]
    point = f"/domains/{shop}/points/{look.points[0]}"
    page = alice.get(f"{point}/files?path=uploads")
    status, where = send(alice, f"{point}/chosen", page.fields(), path="uploads", action="tar.gz")
    assert status == 200 and "/downloads/" in where
    download = where.removeprefix(url)
    expect_ready(alice, download)
    [kept] = (look.installation.state_dir / "downloads").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o640

    assert send(bob, f"{download}/file", bob.get("/").fields())[0] == 404
    assert bob.get(download).status == 404
    assert bob.get(f"{point}/files").status == 404
    assert alice.get(f"{download}/file").status == 405
    assert Browser(url).send("POST", f"{download}/file", b"", {"Origin": url}).status == 401
    token = {name: value for name, value in alice.get(download).fields().items() if "csrf" in name}
    first = alice.post(f"{download}/file", token)
    assert first.status == 200
    assert first.headers["Content-Disposition"].startswith("attachment; ")
    (look.installation.folder / "taken.tar.gz").write_bytes(first.body)
    with tarfile.open(look.installation.folder / "taken.tar.gz") as tar:
        assert tar.getnames() == ["uploads", "uploads/logo.svg", "uploads/Äpfel & Birnen.txt"]
    assert alice.post(f"{download}/file", token).status == 410
    assert "no longer here" in alice.get(download).text


def expect_ready(browser: Browser, download: str) -> None:
    import time

    for _ in range(120):
        if "Save it on this computer" in browser.get(download).text:
            return
        time.sleep(0.25)
    raise AssertionError(browser.get(download).text)

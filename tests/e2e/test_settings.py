"""A domain's settings in a browser, with the real worker behind: what a button says is what then happens."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import SCREENSHOTS, open_page
from tests.support.installation import Installation, make_installation
from tests.support.sites import ALICE, Site

DOMAIN = "shop.example.test"
PASSWORD = "an administrator's password"


@dataclass
class Visit:
    installation: Installation
    site: Site
    points: list[str]
    page: Page

    def log_in(self, login: str) -> None:
        self.page.context.clear_cookies()
        self.page.goto(self.installation.url)
        self.page.get_by_label("Login").fill(login)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("link", name=DOMAIN).first.click()

    def open_settings(self) -> None:
        self.page.get_by_role("link", name="Settings", exact=True).click()

    def picture(self, name: str) -> None:
        self.page.screenshot(path=SCREENSHOTS / f"settings-{name}.png", full_page=True)

    def point_ids(self) -> list[str]:
        return [row["point"] for row in self.installation.points(DOMAIN)]


@pytest.fixture
def visit() -> Iterator[Visit]:
    """Give a site of Alice's with three restore points; the worker and the pages run, these without any right."""
    with make_installation({"RECONCILE_SECONDS": "3600", "WEB_ACCOUNT": "nobody"}) as installation:
        owner = str(ALICE.uid) if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        installation.smartbackup("account", "add", "rosa", "--role", "admin", words=f"{PASSWORD}\n")
        installation.smartbackup("account", "add", "alice", "--owner", owner, words=f"{PASSWORD}\n")
        files = {"index.html": "<h1>Shop</h1>", "films/one.mp4": "v" * 3_000, "films/two.mp4": "w" * 2_000}
        site = installation.add_site(DOMAIN, files)
        made = []
        for number in range(3):
            site.write("index.html", f"<h1>Shop {number}</h1>")
            made.append(installation.smartbackup("backup", DOMAIN, "--type", "full")["point"])
        installation.start_worker()
        installation.start_web()
        installation.wait_for_worker()
        with open_page() as page:
            yield Visit(installation, site, made, page)


def test_rules_pins_patterns_and_times_do_what_their_buttons_say(visit: Visit) -> None:
    page, installation = visit.page, visit.installation
    visit.log_in("alice")
    page.locator(f"#point-{visit.points[0]}").get_by_role("button", name="Keep for ever").click()
    expect(page.locator(f"#point-{visit.points[0]}").get_by_text("kept for ever")).to_be_visible()
    page.get_by_role("link", name="What is kept and left out, and why").click()
    expect(page.get_by_text("1 copy is kept for ever because somebody asked for it.")).to_be_visible()
    visit.picture("customer")

    visit.log_in("rosa")
    visit.open_settings()
    expect(page.get_by_text("All 3 restore points stay.")).to_be_visible()
    for label, number in (
        ("Newest restore points", "1"),
        ("All of the last days", "0"),
        ("One a day", "0"),
        ("One a week", "0"),
        ("One a month", "0"),
        ("Never fewer", "1"),
    ):
        page.get_by_label(label).fill(number)
    expect(page.get_by_text("This point would go, because no rule keeps it.")).to_be_visible()
    visit.picture("keep")
    assert len(visit.point_ids()) == 3
    page.get_by_role("button", name="Keep by these rules: 1 point goes tonight").click()
    expect(page.get_by_text("The rules are saved.")).to_be_visible()
    removed = installation.smartbackup("retention", DOMAIN)["removed"]
    assert [row["point"] for row in removed] == [visit.points[1]]
    assert visit.point_ids() == [visit.points[2], visit.points[0]]

    page.get_by_label("Files and folders of this site").fill("/films/\n../up")
    page.locator("#left-out").get_by_role("button", name="Show what this leaves out").click()
    expect(page.get_by_text("Line 2: the exclusion pattern '../up' leads out of the domain's folder.")).to_be_visible()
    page.get_by_label("Files and folders of this site").fill("/films/")
    page.locator("#left-out").get_by_role("button", name="Show what this leaves out").click()
    expect(page.get_by_text("2 files (5.0 kB) of the 3 in the newest restore point would be left out.")).to_be_visible()
    visit.picture("left-out")
    page.get_by_role("button", name="From the next backup on, leave out 2 more files").click()
    expect(page.get_by_text("It holds from the next backup on")).to_be_visible()
    installation.smartbackup("backup", DOMAIN)
    page.reload()
    expect(page.get_by_text(re.compile(r"The restore point of .* left out 2 files, 5\.0 kB\."))).to_be_visible()

    page.get_by_label("Cron expressions").fill("30 2 * * 1-5")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Show what this means").click()
    expect(page.locator("#schedule").get_by_text("Monday to Friday at 02:30")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Back up at these times, next ")).click()
    expect(page.get_by_text("Pinned by an administrator")).to_be_visible()
    visit.picture("schedule")
    pinned = installation.smartbackup("schedule", "show", DOMAIN)
    assert (pinned["pinned"], pinned["schedule"][0]["cron"], pinned["timezone"]) == (
        True,
        "30 2 * * 1-5",
        "Europe/Berlin",
    )
    page.get_by_role("button", name="Let its activity decide again").click()
    expect(page.get_by_text("Decided by itself")).to_be_visible()
    page.get_by_role("link", name=DOMAIN).first.click()
    analysis = page.locator(".sb-jobs li").first
    expect(analysis).to_contain_text("Analysis")
    expect(analysis).to_contain_text("Done", timeout=30_000)
    assert installation.smartbackup("schedule", "show", DOMAIN)["pinned"] is False

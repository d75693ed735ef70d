"""The pages in a real browser: the first minute of somebody in distress, by mouse, by keyboard, and without script.

Debian's Chromium through Playwright; screenshots are left in tests/artifacts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from smartbackup_panel.core.model import JobKind
from smartbackup_panel.standalone import create_app
from tests.support.fake_services import (
    ALICE,
    BLOG,
    CUSTOMER_ALICE,
    LOST,
    NEW,
    PASSWORD,
    ROSA,
    SHOP,
    FakeServices,
    sample_services,
)
from tests.support.pages import page_settings

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
CHROMIUM = "/usr/bin/chromium"
SWITCHES = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
expect.set_options(timeout=15_000)
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


class QuietHandler(WSGIRequestHandler):
    """Writes no line a request, and counts what was asked for."""

    asked: list[str]

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.asked.append(f"{self.command} {self.path}")


@dataclass
class Panel:
    """The standalone host over fake services, on a free port of its own."""

    url: str
    services: FakeServices
    asked: list[str]


@pytest.fixture
def panel() -> Iterator[Panel]:
    services, asked = sample_services(), list[str]()
    handler = type("Handler", (QuietHandler,), {"asked": asked})
    app = create_app(page_settings(), services)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Panel(f"http://127.0.0.1:{server.port}", services, asked)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    ARTIFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, panel: Panel) -> Iterator[Visit]:
    """Give a function that logs somebody in; a script error or a refused resource fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visit(login: str | None, size: str = "wide", scheme: str = "light", script: bool = True) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            base_url=panel.url,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]  # "light" or "dark", as the tests say
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        if login is not None:
            page.goto("/")
            page.get_by_label("Login").fill(login)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("button", name="Log out")).to_be_visible()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def is_complaint(message: ConsoleMessage) -> bool:
    """Return whether the browser complains of something that no test asked for (a status of 502 is one's own)."""
    return message.type == "error" and "status of 502" not in message.text


def shoot(page: Page, name: str) -> None:
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def test_a_customer_in_distress_puts_the_site_back_and_takes_it_back_again(visit: Visit, panel: Panel) -> None:
    page = visit(ALICE)
    page.get_by_role("link", name="shop.example.com", exact=True).click()
    page.get_by_role("button", name="Put my site back to").click()
    expect(page.get_by_text("4 files you added since stay")).to_be_visible()
    expect(page.get_by_text("2 comments written since then would be lost.")).to_be_visible()
    expect(page.get_by_text("Your present version is kept for 7 days.")).to_be_visible()
    page.get_by_role("button", name="Put back 311 files and 12 tables").click()
    expect(page.locator("[aria-current=step]")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="The site is back")).to_be_visible()
    page.get_by_text("Undo this restore").click()
    page.get_by_role("button", name="Bring back the version from before").click()
    expect(page.get_by_role("heading", name="The restore was undone")).to_be_visible()
    assert [kind for kind, _ in panel.services.world.asked] == ["plan", "restore", "undo"]


def test_without_script_reading_backing_up_and_restoring_work(visit: Visit, panel: Panel) -> None:
    page = visit(ALICE, script=False)
    page.goto(f"/domains/{SHOP}")
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backing up")).to_be_visible()
    page.get_by_role("button", name="Put my site back to").click()
    page.get_by_role("button", name="Put back 311 files and 12 tables").click()
    expect(page.get_by_role("heading", name="The site is back")).to_be_visible()
    page.get_by_text("Undo this restore").click()
    page.get_by_role("button", name="Bring back the version from before").click()
    assert [kind for kind, _ in panel.services.world.asked] == ["backup", "plan", "restore", "undo"]


def test_by_keyboard_alone(visit: Visit) -> None:
    page = visit(None)
    page.goto("/")
    page.keyboard.type(ALICE)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, "Tab", "Put my site back to")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Put back 311 files")).to_be_visible()
    press_until(page, "Tab", "Put back 311 files and 12 tables")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The site is back")).to_be_visible()
    press_until(page, "Tab", "Undo this restore")
    page.keyboard.press("Enter")
    press_until(page, "Tab", "Bring back the version")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The restore was undone")).to_be_visible()


def press_until(page: Page, key: str, words: str) -> None:
    """Press a key until the focus is on something that says `words`, and check that the focus can be seen."""
    for _ in range(40):
        page.keyboard.press(key)
        if words in page.evaluate("document.activeElement.textContent"):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"{words!r} was not reached by {key}")


def test_a_job_is_live_keeps_what_a_person_opened_and_stops_asking_at_its_end(visit: Visit, panel: Panel) -> None:
    page, world = visit(ALICE), panel.services.world
    world.held_at = "reading the site"
    page.goto(f"/domains/{SHOP}")
    page.get_by_role("button", name="Back up now").click()
    page.get_by_role("link", name="Follow").click()
    page.get_by_text("Log", exact=True).click()
    page.locator("#sb-cancel").focus()
    world.held_at = "verifying"
    expect(page.get_by_text("Reading every byte back", exact=True)).to_have_css("font-weight", "650")
    assert page.evaluate("document.activeElement.id") == "sb-cancel"
    assert page.locator("details.sb-log").get_attribute("open") is not None
    world.held_at = ""
    expect(page.get_by_role("heading", name="The backup is done")).to_be_visible()
    asked = len(panel.asked)
    page.wait_for_timeout(2_500)
    assert panel.asked[asked:] == []


def test_a_lost_connection_is_said_and_found_again(visit: Visit, panel: Panel) -> None:
    page = visit(ALICE)
    page.goto(f"/domains/{SHOP}")
    page.route("**/domains/**", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.evaluate("htmx.ajax('GET', location.pathname, {target: '#sb-live', swap: 'outerMorph'})")
    expect(page.get_by_text("The connection is lost for the moment")).to_be_visible()
    expect(page.get_by_text("Bad gateway")).to_have_count(0)
    page.unroute("**/domains/**")
    page.evaluate("htmx.ajax('GET', location.pathname, {target: '#sb-live', swap: 'outerMorph'})")
    expect(page.get_by_text("The connection is lost for the moment")).to_be_hidden()


def test_cancelling_leaves_the_site_as_it_is(visit: Visit, panel: Panel) -> None:
    page = visit(ALICE)
    page.goto(f"/domains/{SHOP}")
    page.get_by_role("button", name="Put my site back to").click()
    expect(page.get_by_role("button", name="Put back 311 files and 12 tables")).to_be_visible()
    panel.services.world.held_at = "comparing"
    page.get_by_role("button", name="Put back 311 files and 12 tables").click()
    page.get_by_role("button", name="Cancel, leave the site as it is").click()
    expect(page.get_by_text("The site is as it was before.")).to_be_visible()


def test_an_admin_finds_a_domain_by_search_filter_and_order_in_the_address(visit: Visit) -> None:
    page = visit(ROSA)
    page.get_by_label("Search for a domain").fill("bob")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.url.endswith("/?search=bob&only=&order=problems")
    page.goto("/")
    page.get_by_label("Show", exact=True).select_option("problems")
    expect(page.get_by_role("link", name="old-campaign.example.net", exact=True)).to_be_visible()
    assert "only=problems" in page.url


def pages_of(panel: Panel) -> dict[str, str]:
    """Return the addresses of every kind of page, with jobs that have ended and a restore that can be undone."""
    world, requests = panel.services.world, panel.services.requests
    point = world.points[BLOG][0]
    plan = requests.plan(CUSTOMER_ALICE, BLOG, point.id, files=True, databases=True, exact=True)
    finish(panel, plan.id)
    restore = requests.restore(CUSTOMER_ALICE, plan.id, world.domains[BLOG].name, "key")
    finish(panel, restore.id)
    newest = f"/domains/{BLOG}/points/{point.id}/files"
    return {
        "files": newest,
        "uploads": f"{newest}?path=wp-content/uploads",
        "versions": f"/domains/{BLOG}/history?path=wp-config.php",
        "gone": f"/domains/{BLOG}/history?path=readme.html",
        "compare": f"/domains/{BLOG}/compare",
        "search": f"/domains/{BLOG}/search?text=wp-content",
        "settings": f"/domains/{SHOP}/settings",
        "overview": "/",
        "domain": f"/domains/{SHOP}",
        "domain-with-undo": f"/domains/{BLOG}",
        "new-domain": f"/domains/{NEW}",
        "choose": f"/domains/{SHOP}/points/{world.points[SHOP][0].id}/restore",
        "plan": f"/plans/{plan.id}",
        "restored": f"/jobs/{restore.id}",
        "jobs": "/jobs",
    }


def finish(panel: Panel, job_id: str) -> None:
    while not panel.services.world.advance(job_id).state.has_ended:
        pass


def serious_violations(page: Page) -> list[str]:
    """Return what axe-core finds at the impacts serious and critical."""
    session = page.context.new_cdp_session(page)
    session.send("Page.setBypassCSP", {"enabled": True})
    page.reload()
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(
    ("login", "size", "scheme"),
    [(ALICE, "wide", "light"), (ALICE, "phone", "dark"), (ROSA, "wide", "light"), (ROSA, "phone", "dark")],
)
def test_every_page_is_accessible_and_fits_its_screen(
    visit: Visit, panel: Panel, login: str, size: str, scheme: str
) -> None:
    page = visit(login, size, scheme)
    addresses = pages_of(panel)
    if login == ROSA:
        addresses |= {
            "missing-folder": f"/domains/{LOST}",
            "settings-looked-at": f"/domains/{SHOP}/settings?last=x&days=0&daily=2",
        }
    for name, address in addresses.items():
        page.goto(address)
        shoot(page, f"{login}-{size}-{scheme}-{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        assert serious_violations(page) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_running_restore_and_the_login_are_accessible(visit: Visit, panel: Panel, scheme: str) -> None:
    page = visit(None, "wide", scheme)
    page.goto("/login")
    shoot(page, f"login-{scheme}")
    assert serious_violations(page) == []
    page = visit(ALICE, "wide", scheme)
    world = panel.services.world
    job = world.start(CUSTOMER_ALICE, JobKind.RESTORE, SHOP, {})
    page.goto(f"/jobs/{job.id}")
    shoot(page, f"restore-running-{scheme}")
    assert serious_violations(page) == []

"""Login and logout of the standalone host."""

from __future__ import annotations

import pytest
from flask import Flask

from smartbackup_panel.standalone import create_app
from smartbackup_panel.web.accounts import safe_next
from tests.support.fake_services import ALICE, PASSWORD, SHOP, FakeServices, sample_services
from tests.support.pages import ORIGIN, host_app, page_settings, visitor


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def app(services: FakeServices) -> Flask:
    return host_app(services)


def test_a_login_leads_back_to_the_page_that_was_asked_for(app: Flask) -> None:
    somebody = visitor(app)
    asked = somebody.get(f"/domains/{SHOP}?all=1")
    assert asked.location == f"/login?next=%2Fdomains%2F{SHOP}%3Fall%3D1"
    somebody.get(asked.location)
    answer = somebody.post("/login", {"login": ALICE, "password": PASSWORD, "next": f"/domains/{SHOP}?all=1"})
    assert (answer.status_code, answer.location) == (303, f"/domains/{SHOP}?all=1")


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nSet-Cookie: a=b", "", "x"]
)
def test_a_login_never_leads_to_another_host(wanted: str) -> None:
    assert safe_next(wanted) == "/"


def test_a_wrong_password_and_an_unknown_login_look_the_same(app: Flask) -> None:
    pages = []
    for login in (ALICE, "nobody"):
        somebody = visitor(app)
        somebody.get("/login")
        answer = somebody.post("/login", {"login": login, "password": "wrong"})
        assert answer.status_code == 401
        pages.append(answer.text.replace(somebody._token[1], "TOKEN").replace(login, "LOGIN"))
    assert pages[0] == pages[1]


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(app: Flask) -> None:
    somebody = visitor(app)
    somebody.get("/login")
    cookie = somebody.post("/login", {"login": ALICE, "password": PASSWORD}).headers["Set-Cookie"]
    assert cookie.startswith("smartbackup_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie, "the pages of a quickstart are reached by http"


def test_behind_https_the_session_cookie_is_sent_over_nothing_else() -> None:
    app = create_app(page_settings(web_https="yes"), sample_services())
    somebody = app.test_client()
    cookie = somebody.get("/login", base_url="https://panel.example").headers["Set-Cookie"]
    assert "Secure" in cookie


def test_a_login_starts_a_fresh_session(app: Flask) -> None:
    somebody = visitor(app)
    somebody.get("/login")
    old_token = dict([somebody._token])
    somebody.post("/login", {"login": ALICE, "password": PASSWORD})
    answer = somebody.client.post(f"/domains/{SHOP}/backup", data=old_token, headers={"Origin": ORIGIN})
    assert answer.status_code == 400


def test_a_login_from_another_page_is_refused(app: Flask) -> None:
    somebody = visitor(app)
    somebody.get("/login")
    assert (
        somebody.post("/login", {"login": ALICE, "password": PASSWORD}, Origin="http://evil.example").status_code == 403
    )
    assert somebody.get("/").status_code == 302


def test_a_login_without_its_token_is_refused(app: Flask) -> None:
    answer = app.test_client().post("/login", data={"login": ALICE, "password": PASSWORD}, headers={"Origin": ORIGIN})
    assert answer.status_code == 400


def test_the_eleventh_try_for_a_login_is_refused_even_with_the_right_password(app: Flask) -> None:
    somebody = visitor(app)
    somebody.get("/login")
    statuses = [somebody.post("/login", {"login": ALICE, "password": "wrong"}).status_code for _ in range(10)]
    assert statuses == [401] * 10
    assert somebody.post("/login", {"login": ALICE, "password": PASSWORD}).status_code == 429


def test_the_21st_try_of_an_address_is_refused_whatever_the_login(app: Flask) -> None:
    somebody = visitor(app)
    somebody.get("/login")
    for number in range(20):
        assert somebody.post("/login", {"login": f"guess{number}", "password": "wrong"}).status_code == 401
    assert somebody.post("/login", {"login": ALICE, "password": PASSWORD}).status_code == 429


def test_logging_out_ends_the_session_and_needs_a_form(app: Flask) -> None:
    alice = visitor(app, ALICE)
    assert alice.client.get("/logout").status_code == 405
    assert alice.client.post("/logout", headers={"Origin": ORIGIN}).status_code == 400
    assert alice.get("/").status_code == 200
    assert alice.post("/logout").location == "/login"
    assert alice.get("/").status_code == 302


def test_a_new_password_ends_older_sessions(app: Flask, services: FakeServices) -> None:
    alice = visitor(app, ALICE)
    services.accounts.versions[ALICE] = 2
    assert alice.get("/").status_code == 302


def test_the_health_page_says_ok_and_nothing_else(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")

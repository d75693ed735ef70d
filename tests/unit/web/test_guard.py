"""The gate before every page: login, tenants, form token, origin, rate, headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flask import Flask, g
from werkzeug.routing import Rule

from smartbackup_panel.core.model import Actor, Role
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.web.actors import actor_of_current_user
from smartbackup_panel.web.limits import RateLimit
from smartbackup_panel.web.mount import EXTENSION, Mount
from tests.support.fake_services import (
    ADMIN,
    ALICE,
    BOB,
    CUSTOMER_ALICE,
    NEW,
    ROSA,
    SHOP,
    FakeServices,
    sample_services,
)
from tests.support.pages import ORIGIN, Visitor, host_app, visitor

NOBODYS = "e" * 32
OPEN_TO_ALL = {"smartbackup.static"}
WITHOUT_IDS = {"smartbackup.overview", "smartbackup.listing", "smartbackup.back_up_selected", "smartbackup.metrics"}
OF_ADMINS = {"smartbackup.metrics"}


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def app(services: FakeServices) -> Flask:
    return host_app(services)


@pytest.fixture
def ids(services: FakeServices) -> dict[str, str]:
    """Return ids that exist and are Alice's: her shop, its newest point, a plan of it."""
    point = services.world.points[SHOP][0]
    plan = services.requests.plan(CUSTOMER_ALICE, SHOP, point.id, files=True, databases=True, exact=False)
    while not services.world.advance(plan.id).state.has_ended:
        pass
    export = services.requests.export(CUSTOMER_ALICE, SHOP, point.id, ("index.php",), ExportFormat.FILE)
    while not services.world.advance(export.id).state.has_ended:
        pass
    return {"domain_id": SHOP, "point_id": point.id, "job_id": plan.id, "download_id": export.id}


def requests_of(app: Flask, ids: dict[str, str]) -> Iterator[tuple[Rule, str, str]]:
    """Yield every route of the blueprint with each of its methods and its path for the ids."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("smartbackup.") and rule.endpoint not in OPEN_TO_ALL:
            path = app.url_map.bind("localhost").build(rule.endpoint, {name: ids[name] for name in rule.arguments})
            for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                yield rule, method, path


def test_the_walk_below_sees_every_page(app: Flask, ids: dict[str, str]) -> None:
    assert len({rule.endpoint for rule, _, _ in requests_of(app, ids)}) == 29


def test_without_a_login_no_route_answers(app: Flask, ids: dict[str, str], services: FakeServices) -> None:
    asked = list(services.world.asked)
    for _, method, path in requests_of(app, ids):
        answer = app.test_client().open(path, method=method, headers={"Origin": ORIGIN})
        if method == "POST":
            assert answer.status_code == 401, path
        else:
            assert (answer.status_code, answer.location.partition("?")[0]) == (302, "/login"), path
    assert services.world.asked == asked


def test_bob_sees_nothing_of_alices_and_it_looks_as_if_it_were_not_there(
    app: Flask, ids: dict[str, str], services: FakeServices
) -> None:
    bob, asked = visitor(app, BOB), list(services.world.asked)
    foreign = [(method, path) for rule, method, path in requests_of(app, ids) if rule.endpoint not in WITHOUT_IDS]
    absent_ids = dict.fromkeys(ids, NOBODYS)
    absent = [(method, path) for rule, method, path in requests_of(app, absent_ids) if rule.endpoint not in WITHOUT_IDS]
    for (method, path), (_, absent_path) in zip(foreign, absent, strict=True):
        form: dict[str, object] = {"part": "files", "path": "index.php", "action": "zip"}
        answers = [_send(bob, method, where, form) for where in (path, absent_path)]
        assert [status for status, _ in answers] == [404, 404], (method, path)
        assert answers[0] == answers[1], (method, path)
    assert services.world.asked == asked
    assert "shop.example.com" not in bob.get("/").text
    assert "shop.example.com" not in bob.get("/jobs").text


def _send(somebody: Visitor, method: str, path: str, form: dict[str, object]) -> tuple[int, str]:
    """Return status and page without the token, which is another one each second."""
    somebody.get("/")
    answer = somebody.post(path, form) if method == "POST" else somebody.client.open(path, method=method)
    return answer.status_code, re.sub(r'(name="\w*csrf\w*" value=")[^"]+', r"\1TOKEN", answer.text)


def test_alice_reaches_every_page_of_hers(app: Flask, ids: dict[str, str]) -> None:
    alice = visitor(app, ALICE)
    for rule, method, path in requests_of(app, ids):
        if method != "POST":
            # Without script, asking how the site answers leads back to the domain's page.
            expected = {"smartbackup.answer": 303}.get(rule.endpoint, 403 if rule.endpoint in OF_ADMINS else 200)
            assert alice.client.open(path, method=method).status_code == expected, path


def test_getting_a_page_changes_nothing(app: Flask, ids: dict[str, str], services: FakeServices) -> None:
    rosa, asked = visitor(app, ROSA), list(services.world.asked)
    for rule, _, path in requests_of(app, ids):
        rosa.get(path)
        if rule.methods and "GET" not in rule.methods:
            assert rosa.get(path).status_code == 405
    assert services.world.asked == asked


@pytest.mark.parametrize("name", ["../etc", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "g", "%2e%2e%2f", "1"])
def test_anything_but_an_id_is_no_address_and_reaches_no_service(
    app: Flask, services: FakeServices, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(type(services.queries), "domain_page", lambda *told: asked.append(told))
    assert visitor(app, ROSA).get(f"/domains/{name}").status_code == 404
    assert asked == []


@pytest.mark.parametrize(
    ("told", "role"),
    [
        ({"role": "admin"}, Role.ADMIN),
        ({"is_admin": True}, Role.ADMIN),
        ({"is_admin": lambda: True}, Role.ADMIN),
        ({"is_admin": lambda: False}, Role.CUSTOMER),
        ({"is_admin": "no"}, Role.CUSTOMER),
        ({"role": "administrator"}, Role.CUSTOMER),
        ({}, Role.CUSTOMER),
    ],
)
def test_a_panels_account_is_an_admin_only_where_it_says_so_plainly(
    app: Flask, told: dict[str, object], role: Role
) -> None:
    user = SimpleNamespace(is_authenticated=True, is_active=True, get_id=lambda: "8", **told)
    with app.test_request_context():
        g._login_user = user
        assert actor_of_current_user() == Actor("8", role, None)


@pytest.mark.parametrize("told", [{"is_authenticated": False}, {"is_active": False}])
def test_an_account_that_is_not_logged_in_or_locked_is_nobody(app: Flask, told: dict[str, bool]) -> None:
    user = SimpleNamespace(**({"is_authenticated": True, "is_active": True, "role": "admin"} | told))
    with app.test_request_context():
        g._login_user = user
        assert actor_of_current_user() is None


BACK_UP = f"/domains/{SHOP}/backup"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ORIGIN}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": ORIGIN}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({}, 403),
    ],
)
def test_a_form_of_another_page_is_refused(
    app: Flask, services: FakeServices, headers: dict[str, str], status: int
) -> None:
    alice = visitor(app, ALICE)
    name, token = alice._token
    answer = alice.client.post(BACK_UP, data={name: token}, headers=headers)
    assert answer.status_code == status
    assert len(services.world.asked) == (status == 303)


@pytest.mark.parametrize("token", ["", "wrong", "eyJhIjoxfQ.aaaa.bbbb"])
def test_a_form_without_this_sessions_token_is_refused(app: Flask, services: FakeServices, token: str) -> None:
    alice = visitor(app, ALICE)
    answer = alice.client.post(BACK_UP, data={"smartbackup_csrf": token}, headers={"Origin": ORIGIN})
    assert answer.status_code == 400
    assert "nothing was done" in answer.text
    assert services.world.asked == []


def test_a_token_of_another_session_is_refused(app: Flask, services: FakeServices) -> None:
    alice, bob = visitor(app, ALICE), visitor(app, BOB)
    assert alice.client.post(BACK_UP, data=dict([bob._token]), headers={"Origin": ORIGIN}).status_code == 400
    assert services.world.asked == []


def test_the_61st_change_of_a_minute_is_refused_and_reading_goes_on(app: Flask) -> None:
    alice = visitor(app, ALICE)
    statuses = [alice.post(f"/domains/{NEW}/backup").status_code for _ in range(61)]
    assert statuses == [303] * 60 + [429]
    refused = alice.post(f"/domains/{NEW}/backup")
    assert refused.headers["Retry-After"] == "60"
    assert alice.get("/").status_code == 200
    assert visitor(app, BOB).post(f"/domains/{NEW}/backup").status_code == 404


def test_a_rate_limit_forgets_after_its_window_and_stays_small() -> None:
    now = 0.0
    limit = RateLimit(2, 60, clock=lambda: now)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    now = 61.0
    assert limit.allows("a")
    for number in range(25_000):
        limit.allows(str(number))
    assert len(limit._windows) <= 10_000


def test_pages_carry_strict_headers(app: Flask) -> None:
    headers = visitor(app, ALICE).get(f"/domains/{SHOP}").headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "HX-Request" in headers["Vary"]


@pytest.mark.parametrize("path", ["/login", "/nowhere", f"/domains/{NOBODYS}"])
def test_error_and_login_pages_carry_them_too(app: Flask, path: str) -> None:
    answer = visitor(app, None if path == "/login" else ALICE).get(path)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_no_page_has_inline_script_or_style(app: Flask, ids: dict[str, str]) -> None:
    for login in (ALICE, ROSA):
        somebody = visitor(app, login)
        for _, method, path in requests_of(app, ids):
            if method == "GET":
                page = somebody.get(path).text
                assert "<style" not in page
                assert " style=" not in page
                assert "<script>" not in page
                assert not [word for word in (" onclick=", " onerror=", " onload=", "javascript:") if word in page]


def test_a_lapsed_login_reloads_a_live_page_instead_of_showing_the_login_inside_it(app: Flask) -> None:
    answer = visitor(app).get(f"/domains/{SHOP}", HX_Request="true")
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (401, "true")


def test_a_failing_live_part_is_left_as_it_is(app: Flask) -> None:
    answer = visitor(app, ALICE).get(f"/jobs/{NOBODYS}", HX_Request="true")
    assert (answer.status_code, answer.headers["HX-Reswap"]) == (404, "none")


def test_a_server_error_tells_a_customer_no_details(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2 in /etc/secret")

    mount: Mount = app.extensions[EXTENSION]
    alice = visitor(app, ALICE)
    monkeypatch.setattr(mount.services.queries, "dashboard", broken)
    app.testing = False
    answer = alice.get("/")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Nothing was changed" in answer.text


def test_an_admin_is_an_admin_by_role_alone(services: FakeServices) -> None:
    assert services.queries.dashboard(ADMIN).domain_count == 5
    assert services.queries.dashboard(CUSTOMER_ALICE).domain_count == 3

"""The same register() in a panel that is not ours: own login, own base template, own prefix, own form protection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask, abort, render_template_string, session
from flask.typing import ResponseReturnValue
from flask_login import (  # type: ignore[import-untyped]  # flask-login ships no types
    LoginManager,
    UserMixin,
    login_required,
    login_user,
)
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]  # flask-wtf ships no types
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped]  # flask-wtf ships no types

from smartbackup_panel import plugin
from smartbackup_panel.core.model import Actor, Role
from tests.support.fake_services import BOBS, CUSTOMER_ALICE, SHOP, FakeServices, sample_services
from tests.support.pages import Visitor, page_settings

BASE = """<!doctype html><html lang="en"><head><title>{% block title %}Panel{% endblock %} | Foreign Panel</title>
<meta name="csrf-token" content="{{ csrf_token() }}"></head>
<body class="panel"><header>Foreign Panel 3.2</header>{% block content %}{% endblock %}</body></html>"""
ORIGIN = "http://panel.example:2083"


@dataclass
class PanelUser(UserMixin):  # type: ignore[misc]  # the base class has no types
    """The foreign panel's account: its ids are numbers, its admins a method."""

    number: int
    username: str
    owner: str | None
    admin: bool = False

    def get_id(self) -> str:
        return str(self.number)

    def is_admin(self) -> bool:
        return self.admin


USERS = {
    user.get_id(): user
    for user in (PanelUser(7, "rosa", None, True), PanelUser(8, "alice", "alice"), PanelUser(9, "bob", "bob"))
}


def foreign_panel(folder: Path) -> Flask:
    """Return a panel of somebody else, with pages, handlers and a filter of its own."""
    (folder / "foreign_base.html").write_text(BASE)
    app = Flask("foreign", template_folder=str(folder), static_folder=str(folder))
    app.config.update(SECRET_KEY="panel's own", SERVER_NAME="panel.example:2083", SESSION_COOKIE_NAME="panel")
    app.testing = True
    CSRFProtect(app)
    manager = LoginManager(app)
    manager.user_loader(USERS.get)
    manager.login_view = "sign_in"

    @app.get("/sign-in/<number>")
    def sign_in_as(number: str) -> str:
        login_user(USERS[number])
        session["panel_theme"] = "vestia"
        return "signed in"

    @app.get("/sign-in")
    def sign_in() -> str:
        return "the panel's own login"

    @app.get("/mail")
    @login_required  # type: ignore[untyped-decorator]  # flask-login ships no types
    def mail() -> str:
        return render_template_string(
            "{% extends 'foreign_base.html' %}{% block content %}mail {{ 5|size }}{% endblock %}"
        )

    @app.get("/domains/<name>")
    def own_domains(name: str) -> str:
        return f"the panel's page of {name}"

    @app.get("/teapot")
    def teapot() -> str:
        abort(418)

    @app.errorhandler(404)
    def not_found(_: Exception) -> ResponseReturnValue:
        return "the panel's 404", 404

    @app.errorhandler(401)
    def not_signed_in(_: Exception) -> ResponseReturnValue:
        return "the panel's 401", 401

    @app.errorhandler(418)
    def short_and_stout(_: Exception) -> ResponseReturnValue:
        return "the panel's 418", 418

    @app.errorhandler(CSRFError)
    def stale_form(_: Exception) -> ResponseReturnValue:
        return "the panel's form error", 400

    @app.template_filter("size")
    def size(value: int) -> str:
        return f"{value} boxes"

    return app


def own_surface(app: Flask) -> dict[str, object]:
    """Return what a plugin could disturb: configuration, handlers, filters, functions around requests, routes."""
    return {
        "config": dict(app.config),
        "handlers": {code: dict(found) for code, found in app.error_handler_spec[None].items()},
        "filters": dict(app.jinja_env.filters),
        "globals": dict(app.jinja_env.globals),
        "tests": dict(app.jinja_env.tests),
        "before": list(app.before_request_funcs.get(None, [])),
        "after": list(app.after_request_funcs.get(None, [])),
        "context": list(app.template_context_processors.get(None, [])),
        "routes": sorted(
            str(rule) for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("smartbackup.")
        ),
    }


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def panel(tmp_path: Path, services: FakeServices) -> Flask:
    app = foreign_panel(tmp_path)
    plugin.register(
        app,
        settings=page_settings(),
        url_prefix="/addons/backup",
        base_template="foreign_base.html",
        services=services,
    )
    return app


def signed_in(app: Flask, number: int) -> Visitor:
    somebody = Visitor(app.test_client(), origin=ORIGIN)
    somebody.get(f"/sign-in/{number}")
    somebody.get("/addons/backup/")
    return somebody


def test_mounting_changes_nothing_of_the_panel(tmp_path: Path, services: FakeServices) -> None:
    app = foreign_panel(tmp_path)
    before = own_surface(app)
    plugin.register(app, settings=page_settings(), url_prefix="/addons/backup", services=services)
    assert own_surface(app) == before


def test_the_pages_are_inside_the_panels_page(panel: Flask) -> None:
    page = signed_in(panel, 8).get("/addons/backup/").text
    assert "Foreign Panel 3.2" in page
    assert re.search(r"<title>My sites · Smart Backup \| Foreign Panel</title>", page)
    assert page.count('class="sb-root"') == 1
    assert "<main" not in page
    assert 'href="/addons/backup/static/smartbackup.css?v=' in page
    assert "Log out" not in page


def test_a_customer_restores_inside_the_panel_with_its_own_form_protection(
    panel: Flask, services: FakeServices
) -> None:
    alice = signed_in(panel, 8)
    point = services.world.points[SHOP][0]
    plan = alice.post(f"/addons/backup/domains/{SHOP}/points/{point.id}/plan", {"part": "files", "mode": "merge"})
    assert plan.status_code == 303
    assert 'name="csrf_token"' in alice.get(plan.location).text
    assert "Put back 311 files" in alice.get(plan.location).text
    restore = alice.post(plan.location + "/restore")
    assert restore.location.startswith("/addons/backup/jobs/")
    for _ in range(8):
        page = alice.get(restore.location).text
    assert "The site is back" in page
    undo = services.world.undos[SHOP]
    assert alice.post(f"/addons/backup/domains/{SHOP}/undo/{undo.restore_job_id}", {"key": "k" * 32}).status_code == 303
    assert [kind for kind, _ in services.world.asked] == ["plan", "restore", "undo"]


def test_who_asks_is_who_the_panel_says(panel: Flask, services: FakeServices) -> None:
    assert signed_in(panel, 8).get(f"/addons/backup/domains/{BOBS}").status_code == 404
    assert signed_in(panel, 9).get(f"/addons/backup/domains/{BOBS}").status_code == 200
    rosa = signed_in(panel, 7)
    rosa.post(f"/addons/backup/domains/{BOBS}/backup")
    job = next(iter(services.world.jobs.values()))
    assert job.actor == Actor("7", Role.ADMIN, None, "web")


def test_an_admin_method_that_says_no_makes_no_admin(panel: Flask) -> None:
    assert "bob.example.com" not in signed_in(panel, 8).get("/addons/backup/").text


def test_nobody_is_sent_to_the_panels_own_login(panel: Flask) -> None:
    answer = panel.test_client().get(f"/addons/backup/domains/{SHOP}")
    assert answer.status_code == 302
    assert answer.location.startswith("/sign-in?next=")


def test_a_form_without_the_panels_token_is_refused_on_our_page(panel: Flask, services: FakeServices) -> None:
    alice = signed_in(panel, 8)
    answer = alice.client.post(f"/addons/backup/domains/{SHOP}/backup", headers={"Origin": ORIGIN})
    assert answer.status_code == 400
    assert "Nothing was done" in answer.text
    assert services.world.asked == []


def test_a_refusal_of_our_gate_is_our_page_although_the_panel_has_a_handler_for_its_status(panel: Flask) -> None:
    answer = panel.test_client().post(f"/addons/backup/domains/{SHOP}/backup", headers={"HX-Request": "true"})
    assert answer.status_code == 400  # the panel's form protection comes first
    part = panel.test_client().get("/addons/backup/jobs", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Refresh"]) == (401, "true")


def test_a_panel_that_switched_its_form_protection_off_does_not_switch_off_ours(
    panel: Flask, services: FakeServices
) -> None:
    panel.config["WTF_CSRF_ENABLED"] = False
    alice = signed_in(panel, 8)
    address = f"/addons/backup/domains/{SHOP}/backup"
    assert alice.client.post(address, headers={"Origin": ORIGIN}).status_code == 400
    assert alice.post(address).status_code == 303


def test_the_panels_own_pages_handlers_and_session_stay_as_they_are(panel: Flask) -> None:
    alice = signed_in(panel, 8)
    mail = alice.get("/mail")
    assert "mail 5 boxes" in mail.text
    assert "Content-Security-Policy" not in mail.headers
    assert "sb-root" not in mail.text
    assert alice.get("/domains/shop.example.com").text == "the panel's page of shop.example.com"
    assert (alice.get("/nowhere").text, alice.get("/teapot").text) == ("the panel's 404", "the panel's 418")
    assert alice.post("/mail", Origin=ORIGIN).status_code == 405
    with alice.client.session_transaction() as kept:
        assert {key for key in kept if not key.startswith("_")} == {"panel_theme", "csrf_token"}
        assert kept["panel_theme"] == "vestia"


def test_our_errors_are_our_pages_inside_the_panels(panel: Flask) -> None:
    answer = signed_in(panel, 8).get(f"/addons/backup/domains/{'e' * 32}")
    assert answer.status_code == 404
    assert "Foreign Panel 3.2" in answer.text
    assert "There is no such page here." in answer.text


def test_a_panel_can_name_the_actor_the_login_and_the_policy_itself(tmp_path: Path, services: FakeServices) -> None:
    app = Flask("bare")
    app.config.update(SECRET_KEY="bare")
    app.testing = True
    actors: list[Actor | None] = [None]
    plugin.register(
        app,
        settings=page_settings(),
        url_prefix="/sb",
        current_actor=lambda: actors[0],
        login_url="/enter?lang=en",
        content_security_policy="default-src 'self'",
        live="reload",
        services=services,
    )
    somebody = Visitor(app.test_client())
    assert somebody.get("/sb/jobs").location == "/enter?lang=en&next=%2Fsb%2Fjobs"
    actors[0] = Actor("alice", Role.CUSTOMER, "alice", source="sso")
    answer = somebody.get("/sb/jobs")
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert "htmx" not in answer.text
    job = services.requests.backup(CUSTOMER_ALICE, SHOP)
    running = somebody.get(f"/sb/jobs/{job.id}")
    assert running.headers["Refresh"] == "1"
    assert "hx-" not in running.text


def test_below_another_root_the_pages_keep_its_path(panel: Flask) -> None:
    client = panel.test_client()
    root = {"SCRIPT_NAME": "/panel"}
    client.get("/sign-in/8", environ_overrides=root)
    page = client.get(f"/addons/backup/domains/{SHOP}", environ_overrides=root).text
    assert f'hx-get="/panel/addons/backup/domains/{SHOP}?"' in page
    assert f'action="/panel/addons/backup/domains/{SHOP}/backup"' in page


def test_an_unknown_way_of_being_live_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="live must be one of"):
        plugin.register(Flask("x"), settings=page_settings(), live="sse")

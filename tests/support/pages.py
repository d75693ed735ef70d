"""A browser without script for tests of the pages, straight into the application, with the headers of a real one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smartbackup_panel.settings import Settings, load_settings
from smartbackup_panel.standalone import create_app
from tests.support.fake_services import PASSWORD, FakeServices, sample_services

ORIGIN = "http://localhost"


def page_settings(timezone: str = "Europe/Berlin", **more: str) -> Settings:
    """Return settings that read nothing of this machine; `more` by name, as texts."""
    given = {"timezone": timezone, **more}
    return load_settings(environment={f"SMARTBACKUP_{name.upper()}": text for name, text in given.items()})


@dataclass
class Visitor:
    """Somebody with a session. `post` fills the token of the page that was seen last, as a form does."""

    client: FlaskClient
    page: str = ""
    origin: str = ORIGIN
    _token: tuple[str, str] = field(default=("", ""))

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._seen(
            self.client.get(path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        )

    def post(self, path: str, form: dict[str, object] | None = None, **headers: str) -> TestResponse:
        name, token = self._token
        sent = {"Origin": self.origin} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self._seen(self.client.post(path, data={name: token, **(form or {})}, headers=sent))

    def _seen(self, response: TestResponse) -> TestResponse:
        found = re.search(r'name="((?:smartbackup_)?csrf(?:_token)?)" value="([^"]+)"', response.text)
        if found:
            self._token = (found[1], found[2])
        self.page = unescape(response.text)
        return response


def host_app(services: FakeServices | None = None) -> Flask:
    """Return the standalone host over fake services."""
    app = create_app(page_settings(), services or sample_services())
    app.testing = True
    return app


def visitor(app: Flask, login: str | None = None) -> Visitor:
    """Return a visitor of the standalone host, logged in where a login is given."""
    somebody = Visitor(app.test_client())
    if login is not None:
        somebody.get("/login")
        answer = somebody.post("/login", {"login": login, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        somebody.get("/")
    return somebody

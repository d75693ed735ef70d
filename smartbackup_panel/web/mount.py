"""What one Flask application and the pages know of each other: fixed by register(), read by every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import cast

from flask import current_app, g, make_response, render_template, request
from werkzeug.wrappers import Response

from smartbackup_panel.core.model import Actor
from smartbackup_panel.settings import Settings
from smartbackup_panel.web.limits import RateLimit
from smartbackup_panel.web.ports import Services

EXTENSION = "smartbackup"
READS_A_MINUTE, WRITES_A_MINUTE = 1_200, 60


@dataclass(slots=True)
class Mount:
    """The choices of the host panel. `services` are opened by the first request, so that a server may fork before it."""

    settings: Settings
    open_services: Callable[[], Services]
    find_actor: Callable[[], Actor | None]
    base_template: str
    is_embedded: bool
    login_url: str | None
    live: str
    content_security_policy: str
    reads: RateLimit = field(default_factory=lambda: RateLimit(READS_A_MINUTE, 60))
    writes: RateLimit = field(default_factory=lambda: RateLimit(WRITES_A_MINUTE, 60))
    _services: Services | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def services(self) -> Services:
        with self._lock:
            if self._services is None:
                self._services = self.open_services()
            return self._services


def mount() -> Mount:
    """Return what register() fixed for the application of this request."""
    return cast(Mount, current_app.extensions[EXTENSION])  # flask's extensions are Any


def services() -> Services:
    return mount().services


def actor() -> Actor:
    """Return who asks. The guard let nobody through without one."""
    return cast(Actor, g.smartbackup_actor)  # set by the guard; flask's g is Any


def is_fragment() -> bool:
    """Return whether htmx asks for the live part of a page rather than a person for the page."""
    return request.headers.get("HX-Request") == "true"


def show(template: str, live_part: str | None = None, refresh_seconds: int = 0, **context: object) -> Response:
    """Return a page, or its live part alone where htmx asks for that.

    `refresh_seconds` above 0 says that something is under way: the part asks for itself again after that time, and
    a browser without script reloads the page.
    """
    name = live_part if live_part and is_fragment() else template
    response = make_response(render_template(name, refresh_seconds=refresh_seconds, **context))
    if refresh_seconds and mount().live == "reload":
        response.headers["Refresh"] = str(refresh_seconds)
    return response

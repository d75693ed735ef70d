"""All that a host panel loads: `register(app)` mounts the pages in any Flask application."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from smartbackup_panel.core.model import Actor
from smartbackup_panel.settings import Settings, load_settings
from smartbackup_panel.web.actors import actor_of_current_user
from smartbackup_panel.web.blueprint import CONVERTER, IdConverter, create_blueprint
from smartbackup_panel.web.headers import CONTENT_SECURITY_POLICY
from smartbackup_panel.web.mount import EXTENSION, Mount
from smartbackup_panel.web.ports import Services

OWN_BASE_TEMPLATE = "smartbackup/base.html"
LIVE_MODES = ("htmx", "host-htmx", "reload")


def register(
    app: Flask,
    *,
    settings: Settings | None = None,
    url_prefix: str = "/smartbackup",
    current_actor: Callable[[], Actor | None] | None = None,
    base_template: str | None = None,
    login_url: str | None = None,
    live: str = "htmx",
    content_security_policy: str = CONTENT_SECURITY_POLICY,
    services: Services | None = None,
) -> None:
    """Mount the pages in `app` below `url_prefix`; the application needs a secret key for its sessions.

    `settings`: those of the environment and the configuration file by default.
    `current_actor`: a function that returns who asks, or None; by default flask-login's current user is read
    (get_id() or login, role or is_admin, owner).
    `base_template`: the host's page, which ours extend. They fill its blocks `title` and `content` (both needed to be
    shown) and `head` (optional). Everything of ours is inside one element of class `sb-root`.
    `login_url`: where a person logs in, asked with `?next=PATH`; by default flask-login's own answer.
    `live`: "htmx" brings htmx 4 with our pages; "host-htmx" uses the htmx 4 that the base template loads already;
    "reload" uses no htmx, the pages reload themselves while something runs.
    `content_security_policy`: for our pages; a base template with inline script or style needs a wider one.
    `services`: what the host has opened already; otherwise they are opened by the first request.

    Nothing of the application is touched besides: no error handler, configuration, static file, template or filter.
    """
    if live not in LIVE_MODES:
        raise ValueError(f"live must be one of {', '.join(LIVE_MODES)}, not {live!r}")
    chosen = settings or load_settings()
    app.extensions[EXTENSION] = Mount(
        settings=chosen,
        open_services=(lambda: services) if services is not None else (lambda: _open(chosen)),
        find_actor=current_actor or actor_of_current_user,
        base_template=base_template or OWN_BASE_TEMPLATE,
        is_embedded=base_template is not None,
        login_url=login_url,
        live=live,
        content_security_policy=content_security_policy,
    )
    app.url_map.converters[CONVERTER] = IdConverter
    app.register_blueprint(create_blueprint(), url_prefix=url_prefix)


def _open(settings: Settings) -> Services:
    """Open the services; imported here so that a host's start does not wait for the database libraries."""
    from smartbackup_panel.bootstrap import open_services

    return open_services(settings)

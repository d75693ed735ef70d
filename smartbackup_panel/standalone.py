"""The small host panel: accounts, login and the pages, for servers without a panel of their own.

Run by gunicorn as `smartbackup_panel.standalone:create_app()`, or by `serve(settings)`.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask.logging import default_handler
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from smartbackup_panel import plugin
from smartbackup_panel.log_lines import LogLines
from smartbackup_panel.settings import Settings, load_settings
from smartbackup_panel.web import accounts, errors
from smartbackup_panel.web.ports import HostServices

SESSION_HOURS = 12
LARGEST_FORM_BYTES = 64 * 1024
THREADS = 8


def create_app(settings: Settings | None = None, services: HostServices | None = None) -> Flask:
    """Return the host panel with the pages mounted at its root.

    Settings come from the environment and the configuration file where none are given. The key that signs sessions is
    the one that bootstrap made in the state folder.
    """
    chosen = settings or load_settings()
    opened = services or _open(chosen)
    app = Flask("smartbackup_panel.standalone", static_folder=None)
    app.config.update(
        SECRET_KEY=opened.web_secret(),
        SESSION_COOKIE_NAME="smartbackup_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=chosen.web_https,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_HOURS),
        MAX_CONTENT_LENGTH=LARGEST_FORM_BYTES,
    )
    accounts.install_login_manager(app, opened.accounts)
    plugin.register(app, settings=chosen, url_prefix="/", login_url="/login", services=opened)
    app.register_blueprint(accounts.LoginPages(opened.accounts).blueprint())
    app.add_url_rule("/healthz", "health", _health)
    app.register_error_handler(NotFound, errors.on_unknown_address)
    return app


def _open(settings: Settings) -> HostServices:
    """Open the services; imported here so that `smartbackup --help` does not wait for the database libraries."""
    from smartbackup_panel.bootstrap import open_services

    return open_services(settings)


def _health() -> ResponseReturnValue:
    return "ok", {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}


def serve(settings: Settings) -> None:
    """Run the host panel under gunicorn at settings.web_address until it is told to stop.

    One process with threads: sessions need no sharing, and the limits on logins count everybody.
    """
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn ships no types

    default_handler.setFormatter(LogLines())

    class Server(BaseApplication):  # type: ignore[misc]  # the base class has no types
        """Gunicorn with our settings and nothing from its command line or configuration files."""

        def load_config(self) -> None:
            chosen = {
                "bind": settings.web_address,
                "worker_class": "gthread",
                "workers": 1,
                "threads": THREADS,
                "timeout": 60,
                "graceful_timeout": 10,
                "proc_name": "smartbackup-web",
                "control_socket_disable": True,
            }
            for name, value in chosen.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Flask:
            return create_app(settings)

    Server().run()

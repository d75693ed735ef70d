"""Login and logout of the standalone host; a host panel has its own."""

from __future__ import annotations

from flask import Blueprint, Flask, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_login import (  # type: ignore[import-untyped]  # flask-login ships no types
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
)

from smartbackup_panel.core.model import Role
from smartbackup_panel.web import context, errors, guard, headers
from smartbackup_panel.web.limits import RateLimit
from smartbackup_panel.web.ports import Account, Accounts

TRIES_OF_AN_ADDRESS, TRIES_OF_A_LOGIN, TRIES_WINDOW_SECONDS = 20, 10, 600
WRONG_LOGIN = "This login and password do not belong together."
TOO_MANY = "Too many tries. Wait ten minutes, then try again."


class SessionUser(UserMixin):  # type: ignore[misc]  # the base class has no types
    """The account of a session, as flask-login and the pages read it."""

    def __init__(self, account: Account) -> None:
        self.login = account.login
        self.role: Role = account.role
        self.owner = account.owner
        self._version = account.version

    def get_id(self) -> str:
        """Return what the session keeps: the version ends all sessions when the password changes."""
        return f"{self._version}:{self.login}"


def install_login_manager(app: Flask, accounts: Accounts) -> None:
    """Let flask-login find an account by what a session keeps."""

    def find_user(user_id: str) -> SessionUser | None:
        version, _, login = user_id.partition(":")
        account = accounts.get(login)
        return SessionUser(account) if account is not None and str(account.version) == version else None

    LoginManager(app).user_loader(find_user)


class LoginPages:
    """The views of login and logout, with their limits a process."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._by_address = RateLimit(TRIES_OF_AN_ADDRESS, TRIES_WINDOW_SECONDS)
        self._by_login = RateLimit(TRIES_OF_A_LOGIN, TRIES_WINDOW_SECONDS)

    def blueprint(self) -> Blueprint:
        """Return the blueprint of these pages, with the headers and error pages of the others."""
        pages = Blueprint("smartbackup_accounts", __name__)
        pages.after_request(headers.secure)
        pages.context_processor(context.template_context)
        errors.install(pages)
        pages.add_url_rule("/login", "login", self.show, methods=["GET"])
        pages.add_url_rule("/login", "log_in", self.log_in, methods=["POST"])
        pages.add_url_rule("/logout", "log_out", self.log_out, methods=["POST"])
        return pages

    def show(self) -> ResponseReturnValue:
        return redirect("/") if current_user.is_authenticated else _login_page()

    def log_in(self) -> ResponseReturnValue:
        """Start a fresh session for the right password; say the same for a wrong login as for a wrong password."""
        guard.check_origin()
        guard.check_form_token()
        login, address = request.form.get("login", "")[:200], request.remote_addr or ""
        if not (self._by_address.allows(address) and self._by_login.allows(login)):
            return _login_page(TOO_MANY), 429
        account = self._accounts.check_password(login, request.form.get("password", "")[:1_000], address)
        if account is None:
            return _login_page(WRONG_LOGIN), 401
        session.clear()
        session.permanent = True
        login_user(SessionUser(account))
        return redirect(safe_next(request.form.get("next", "")), 303)

    def log_out(self) -> ResponseReturnValue:
        guard.check_origin()
        guard.check_form_token()
        logout_user()
        session.clear()
        return redirect("/login", 303)


def _login_page(problem: str = "") -> str:
    return render_template(
        "smartbackup/login.html",
        problem=problem,
        wanted=safe_next(request.values.get("next", "")),
        login=request.form.get("login", "")[:200],
    )


def safe_next(wanted: str) -> str:
    """Return the path to go to after the login: one of this host, or the overview."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_path else "/"

"""The one gate before every page: closed by default (docs/security.md, rules 29 to 31)."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from flask import current_app, g, redirect, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf, validate_csrf  # type: ignore[import-untyped]  # flask-wtf ships no types
from werkzeug.exceptions import BadRequest, Forbidden, TooManyRequests, Unauthorized
from wtforms import ValidationError  # type: ignore[import-untyped]  # comes with flask-wtf, without types

from smartbackup_panel.core.model import Actor
from smartbackup_panel.web.mount import Mount, is_fragment, mount

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_LIFE_SECONDS = 12 * 3600
_OWN_TOKEN = "smartbackup_csrf"  # noqa: S105  # the name of a form field


def guard() -> ResponseReturnValue | None:
    """Let a request through (None), or answer it: login first, then rate, origin and form token.

    Only the blueprint's own static files (style, script, icons) are open to everybody.
    """
    g.smartbackup_actor = None
    if request.endpoint == f"{request.blueprint}.static":
        return None
    here = mount()
    actor = here.find_actor()
    _check_rate(here, actor)
    if actor is None:
        return _login_first(here)
    g.smartbackup_actor = actor
    if request.method not in SAFE_METHODS:
        check_origin()
        check_form_token()
    return None


def _check_rate(here: Mount, actor: Actor | None) -> None:
    """Raise TooManyRequests above the limit of this account, or of this address where nobody is logged in."""
    key = f"account {actor.login}" if actor else f"address {request.remote_addr}"
    limit = here.reads if request.method in SAFE_METHODS else here.writes
    if not limit.allows(key):
        raise TooManyRequests(
            "Too many requests in a short time; nothing was changed. Wait a minute.",
            retry_after=int(limit.window_seconds),
        )


def _login_first(here: Mount) -> ResponseReturnValue:
    """Send a person to the host's login and back; refuse everything else."""
    if request.method not in SAFE_METHODS or is_fragment():
        raise Unauthorized("Log in first; nothing was changed.")
    if here.login_url is not None:
        where = (request.script_root + request.full_path).removesuffix("?")
        joint = "&" if "?" in here.login_url else "?"
        return redirect(here.login_url + joint + urlencode({"next": where}))
    manager = getattr(current_app, "login_manager", None)
    if manager is None:
        raise Unauthorized("Log in to the panel first.")
    answer: ResponseReturnValue = manager.unauthorized()
    return answer


def check_origin() -> None:
    """Raise Forbidden unless the browser says that the request comes from a page of this very host.

    Sec-Fetch-Site is set by the browser alone; where it is missing (plain HTTP), Origin must name this host.
    A request with neither comes from no browser that shows our forms.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_ours = (
        site == "same-origin" if site is not None else origin is not None and urlsplit(origin).netloc == request.host
    )
    if not is_ours:
        raise Forbidden("This request came from another page, so it was refused; nothing was changed.")


def token_field() -> str:
    """Return the name of the form field: the host's where it protects its own forms, else one of ours."""
    if "csrf" in current_app.extensions:
        return str(current_app.config["WTF_CSRF_FIELD_NAME"])
    return _OWN_TOKEN


def form_token() -> str:
    """Return the signed token that a form of this session must carry."""
    return str(generate_csrf(token_key=token_field()))


def check_form_token() -> None:
    """Raise BadRequest unless the form carries this session's token, or the host's CSRFProtect has already seen it."""
    if g.get("csrf_valid", False):
        return
    name = token_field()
    try:
        validate_csrf(request.form.get(name), time_limit=_TOKEN_LIFE_SECONDS, token_key=name)
    except ValidationError as stale:
        raise BadRequest(
            "This page was open for too long, so nothing was done. Open it again and repeat the step."
        ) from stale

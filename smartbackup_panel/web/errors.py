"""Error pages of the blueprint: what happened, what it means, what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from smartbackup_panel.core.errors import SmartBackupError
from smartbackup_panel.web import context, headers
from smartbackup_panel.web.mount import is_fragment

_STATUSES = (400, 401, 403, 404, 409, 413, 429, 500)
NOT_HERE = "There is no such page here."
NOT_HERE_HINT = (
    "It may have been removed, or it belongs to another account. The overview lists everything that is yours."
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an error page says."""

    status: int
    title: str
    message: str
    hint: str


def install(blueprint: Blueprint) -> None:
    """Answer the blueprint's own errors; the host's error handlers stay as they are.

    Each status by itself: Flask asks a host's handler for a status before a blueprint's handler for all of them.
    """
    blueprint.register_error_handler(SmartBackupError, _on_our_error)
    for status in _STATUSES:
        blueprint.register_error_handler(status, _on_http_error)


def _on_our_error(error: SmartBackupError) -> Response:
    return _answer(_trouble_of(error))


def _trouble_of(error: SmartBackupError) -> Trouble:
    """Return what to say. "Not yours" and "not there" say the same, letter for letter."""
    if error.http_status == 404:
        return Trouble(404, "Not found", NOT_HERE, NOT_HERE_HINT)
    hint = error.hint
    if error.http_status >= 500 and not _is_admin():
        hint = (
            "Your site was not changed by this page. Try again in a minute; if it repeats, tell your hosting provider."
        )
    return Trouble(error.http_status, _title(error.http_status), error.message, hint)


def _on_http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < 400:
        return error
    if error.code == 404:
        return _answer(Trouble(404, "Not found", NOT_HERE, NOT_HERE_HINT))
    message, hint = error.description or error.name, "Go back and try again."
    if error.code >= 500:
        message, hint = "This page could not be made.", "Nothing was changed. The server's log holds the details."
    response = _answer(Trouble(error.code, _title(error.code), message, hint))
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def on_unknown_address(_: HTTPException) -> Response:
    """Answer an address that no page has, for a host whose own pages are these: the blueprint's page and headers."""
    if request.blueprint is not None:
        return _answer(Trouble(404, "Not found", NOT_HERE, NOT_HERE_HINT))
    page = render_template(
        "smartbackup/error.html",
        trouble=Trouble(404, "Not found", NOT_HERE, NOT_HERE_HINT),
        **context.template_context(),
    )
    return headers.secure(make_response(page, 404))


def _title(status: int) -> str:
    return {
        400: "Nothing was done",
        401: "Log in first",
        403: "Refused",
        409: "Not possible right now",
        429: "One moment",
    }.get(status, "Something went wrong" if status >= 500 else "Nothing was done")


def _is_admin() -> bool:
    actor = g.get("smartbackup_actor")
    return actor is not None and actor.is_admin


def _answer(trouble: Trouble) -> Response:
    """Return the error page; a live part that fails stays as it is, and a lapsed login reloads the page."""
    if is_fragment():
        response = make_response(trouble.message, trouble.status)
        response.headers["HX-Refresh" if trouble.status == 401 else "HX-Reswap"] = (
            "true" if trouble.status == 401 else "none"
        )
        return response
    return make_response(render_template("smartbackup/error.html", trouble=trouble), trouble.status)

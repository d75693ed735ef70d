"""Security headers on the blueprint's own responses; the host's pages keep theirs (docs/security.md, rule 33)."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

from smartbackup_panel.web.mount import mount

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
_YEAR_SECONDS = 31_536_000


def secure(response: Response) -> Response:
    """Return the response with its headers set: nothing inline, nothing sniffed, nothing framed, no page kept in a cache.

    A download brings a stricter policy of its own.
    Referrer-Policy is same-origin, not no-referrer: browsers would send `Origin: null` with our own forms.
    """
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Content-Security-Policy", mount().content_security_policy)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    if request.endpoint == f"{request.blueprint}.static":
        named_by_version = "v" in request.args
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_SECONDS if named_by_version else 0}"
    else:
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Cookie", "HX-Request"))
    return response

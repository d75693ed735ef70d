"""The first page: what is protected, what needs a person, and every domain."""

from __future__ import annotations

import re

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smartbackup_panel.core.errors import UnknownDomain
from smartbackup_panel.web.mount import actor, services, show

_ID = re.compile("[0-9a-f]{32}")
PAGE_SIZE = 100
REFRESH_SECONDS = 15
ORDERS = {
    "problems": "Problems first",
    "name": "Name",
    "point": "Oldest restore point",
    "next": "Next run",
    "size": "Size",
}
FILTERS = {"": "All domains", "problems": "Needing someone", "protected": "Protected"}


def overview() -> Response:
    """Show the dashboard; search, filter, order and page number are in the address."""
    search = request.args.get("search", "").strip()[:200]
    order = _known(request.args.get("order", ""), ORDERS, "problems")
    only = _known(request.args.get("only", ""), FILTERS, "")
    board = services().queries.dashboard(actor(), search, order, only)
    pages = max(1, -(-len(board.rows) // PAGE_SIZE))
    page = min(max(1, request.args.get("page", 1, type=int)), pages)
    return show(
        "smartbackup/overview.html",
        "smartbackup/parts/overview_live.html",
        refresh_seconds=2 if any(row.running for row in board.rows) else REFRESH_SECONDS,
        board=board,
        rows=board.rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE],
        chosen={"search": search, "order": order, "only": only},
        orders=ORDERS,
        filters=FILTERS,
        page=page,
        pages=pages,
    )


def back_up_selected() -> ResponseReturnValue:
    """Ask for a restore point of every domain that is ticked, and show the jobs."""
    chosen = request.form.getlist("domain")
    if not all(_ID.fullmatch(domain_id) for domain_id in chosen):
        raise UnknownDomain("there is no such domain")
    services().requests.backup_many(actor(), chosen)
    return redirect(url_for("smartbackup.listing"), 303)


def metrics() -> Response:
    """Answer with the figures of the server for Prometheus."""
    return Response(services().queries.metrics(actor()), content_type="text/plain; version=0.0.4; charset=utf-8")


def _known(value: str, choices: dict[str, str], default: str) -> str:
    return value if value in choices else default

"""The first page: what is protected, what needs a person, and every domain."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

from smartbackup_panel.web.mount import actor, services, show

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


def _known(value: str, choices: dict[str, str], default: str) -> str:
    return value if value in choices else default

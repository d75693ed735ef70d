"""Looking into restore points: folders, what became of a file, two points compared, names."""

from __future__ import annotations

from flask import request
from werkzeug.wrappers import Response

from smartbackup_panel.core.model import Point
from smartbackup_panel.core.tree import EntryType
from smartbackup_panel.services.pages import DomainPage
from smartbackup_panel.web import paths
from smartbackup_panel.web.context import words
from smartbackup_panel.web.mount import actor, services, show

KINDS_OF_DIFFERENCE = ("added", "changed", "removed")


def browse(domain_id: str, point_id: str) -> Response:
    """Show a folder of a restore point; its path and the page's beginning are in the address."""
    folder = services().contents.folder(actor(), domain_id, point_id, paths.asked(), paths.asked("after"))
    page = services().queries.domain_page(actor(), domain_id)
    newer, older = _neighbours(page, point_id)
    return show(
        "smartbackup/browse.html",
        page=page,
        domain=page.domain,
        folder=folder,
        point=folder.point,
        points=_with_files(page),
        newer=newer,
        older=older,
        sorted_entries=sorted(folder.entries, key=lambda entry: entry.type is not EntryType.DIRECTORY),
        paths=paths,
        sb=_words(page),
    )


def history(domain_id: str) -> Response:
    """Show what became of a path over all restore points."""
    told = services().contents.history(actor(), domain_id, paths.asked())
    page = services().queries.domain_page(actor(), domain_id)
    return show(
        "smartbackup/history.html",
        page=page,
        domain=page.domain,
        history=told,
        steps=list(zip(told.versions, [*told.versions[1:], None], strict=True)),
        paths=paths,
        sb=_words(page),
    )


def compare(domain_id: str) -> Response:
    """Show what differs between two restore points; without a choice, between the newest two.

    A further page of what was added, changed or removed begins after a path that the address names.
    """
    page = services().queries.domain_page(actor(), domain_id)
    points = _with_files(page)
    known = {point.id for point in points}
    chosen = [request.args.get(name, "") for name in ("older", "newer")]
    for place, point in enumerate(reversed(points[:2])):
        chosen[place] = chosen[place] if chosen[place] in known else point.id
    after = {kind: path for kind in KINDS_OF_DIFFERENCE if (path := paths.asked(f"after_{kind}"))}
    compared = services().contents.compare(actor(), domain_id, chosen[0], chosen[1], after) if len(points) > 1 else None
    return show(
        "smartbackup/compare.html",
        page=page,
        domain=page.domain,
        points=points,
        compared=compared,
        after=after,
        paths=paths,
        sb=_words(page),
    )


def search(domain_id: str) -> Response:
    """Show the paths of all restore points whose name contains a text."""
    text = request.args.get("text", "").strip()[:200]
    page = services().queries.domain_page(actor(), domain_id)
    found = services().contents.search(actor(), domain_id, text) if text else None
    return show(
        "smartbackup/search.html", page=page, domain=page.domain, found=found, text=text, paths=paths, sb=_words(page)
    )


def _with_files(page: DomainPage) -> list[Point]:
    return [point for point in page.points if point.archive is not None]


def _neighbours(page: DomainPage, point_id: str) -> tuple[Point | None, Point | None]:
    """Return the points after and before a point."""
    points = _with_files(page)
    at = next((number for number, point in enumerate(points) if point.id == point_id), None)
    if at is None:
        return None, None
    return (points[at - 1] if at else None), (points[at + 1] if at + 1 < len(points) else None)


def _words(page: DomainPage) -> object:
    return words(page.schedule.timezone if page.schedule else None)

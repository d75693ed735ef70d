"""What follows from a look at some points: which of all are damaged, and how far the others are proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smartbackup_panel.core.model import Point, PointState, Verified

INHERITED = "it builds on a damaged point"


def broken_points(every: Sequence[Point], checked: Mapping[str, str | None]) -> dict[str, str]:
    """Return by id what is wrong with each damaged point of a domain.

    `checked` holds what was found wrong with points that were looked at, None for sound ones. A point that was not looked
    at stays what it was, and whatever builds on a damaged point is damaged too; it is sound again with its parents.
    """
    by_id = {point.id: point for point in every}
    known: dict[str, str | None] = {}
    for point in every:
        line: list[Point] = []
        link: Point | None = point
        while link is not None and link.id not in known and link not in line:
            line.append(link)
            link = by_id.get(link.parent_id or "")
        for row in reversed(line):
            own = checked[row.id] if row.id in checked else _before(row)
            parent = by_id.get(row.parent_id or "")
            if own is None and parent is not None and known.get(parent.id) is not None:
                own = f"{INHERITED}, that of {parent.created_at:%Y-%m-%d %H:%M}"
            known[row.id] = own
    return {point_id: sentence for point_id, sentence in known.items() if sentence is not None}


def proved_level(point: Point, every: Sequence[Point], checked: Mapping[str, str | None]) -> Verified:
    """Return what reading a point back proved: the whole chain where everything that it builds on was read as well."""
    by_id = {row.id: row for row in every}
    parent, steps = by_id.get(point.parent_id or ""), 0
    while parent is not None and parent.id in checked and steps < len(by_id):
        parent, steps = by_id.get(parent.parent_id or ""), steps + 1
    return Verified.CHAIN if parent is None and point.parent_id is not None else Verified.READ_BACK


def with_parents(chosen: Sequence[Point], every: Sequence[Point]) -> list[Point]:
    """Return points with everything that they build on, parents before children."""
    by_id = {point.id: point for point in every}
    ordered: dict[str, Point] = {}
    for point in chosen:
        line: list[Point] = []
        link: Point | None = point
        while link is not None and link.id not in ordered and link not in line:
            line.append(link)
            link = by_id.get(link.parent_id or "")
        ordered |= {row.id: row for row in reversed(line)}
    return list(ordered.values())


def _before(point: Point) -> str | None:
    """Return what was known to be wrong with a point itself; what it inherited is found anew."""
    if point.state is not PointState.DAMAGED or point.damage.startswith(INHERITED):
        return None
    return point.damage or "it was found damaged before"

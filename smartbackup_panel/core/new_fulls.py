"""Which kept increments become full points of their own, so that what they build on can go, as a pure function."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from smartbackup_panel.core.model import Point

WORTH = 0.1
"""At least this share of what a chain holds has to become free; below it the work is not worth its reading and writing."""


def find_new_fulls(
    newest_first: Sequence[Point], kept: Collection[str], lasting: Collection[str]
) -> Iterator[list[Point]]:
    """Yield by chain the increments to write again as full points, children before parents.

    `kept` are the ids of points that stay for a reason of their own, `lasting` those of them that nothing uses now and that
    stay for weeks. A chain qualifies when it is over (the newest sound point belongs to another one), all that stays of it
    is lasting and sound, and the full points are expected to take less room than what is held for their sake now. All that
    stays of a chain becomes full, or nothing does: an increment needs the archives of its whole chain.
    """
    by_id = {point.id: point for point in newest_first}
    chains: dict[str, list[Point]] = {}
    for point in newest_first:
        chains.setdefault(_line(point, by_id)[-1].id, []).append(point)
    going_on = next((_line(point, by_id)[-1].id for point in newest_first if _is_sound(point)), "")
    for first_id, chain in chains.items():
        staying = [point for point in chain if point.id in kept]
        may_be = all(_is_sound(point) and point.id in lasting for point in staying)
        if first_id != going_on and may_be and _is_worth_it(by_id[first_id], staying, by_id):
            yield [point for point in staying if point.parent_id is not None]


def _is_sound(point: Point) -> bool:
    return point.archive is not None and point.is_restorable


def _is_worth_it(first: Point, staying: Sequence[Point], by_id: dict[str, Point]) -> bool:
    """Whether full points in place of these increments take less room than everything that they build on."""
    if first.parent_id is not None or first.archive is None or not first.original_bytes:
        return False
    held = {link.id: link.archive_bytes for point in staying for link in _line(point, by_id)}
    expected = sum(
        point.archive_bytes if point is first else first.archive_bytes * point.original_bytes / first.original_bytes
        for point in staying
    )
    return expected < sum(held.values()) * (1 - WORTH)


def _line(point: Point, by_id: dict[str, Point]) -> list[Point]:
    """Return a point and everything that it builds on, the first of the chain last."""
    line = [point]
    while (parent := by_id.get(line[-1].parent_id or "")) is not None and parent not in line:
        line.append(parent)
    return line

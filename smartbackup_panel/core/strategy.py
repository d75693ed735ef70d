"""Which strategy a domain gets, and what the next point is. Source of the matrix: docs/design.md, "Strategy"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from smartbackup_panel.core.model import Analysis, Point, PointKind, PointState, Strategy

VERY_LARGE_FROM_BYTES = 10 * 1024 * 1024 * 1024
DIFFERENTIAL_FULL_EVERY = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision and the sentence that explains it."""

    strategy: Strategy
    reason: str


def choose_strategy(analysis: Analysis) -> Choice:
    """Return the strategy for a domain: size category × activity level, and why in one sentence."""
    level, size = analysis.activity_level, analysis.size_category
    changes = f"{analysis.file_changes} files changed in a day"
    if size == "small":
        return Choice(Strategy.FULL, "small enough that a full restore point takes seconds")
    if size == "medium":
        if level == "high":
            return Choice(
                Strategy.INCREMENTAL, f"medium size and busy ({changes}): increments with a full point each week"
            )
        return Choice(Strategy.FULL, f"medium size and quiet ({changes}): full points are quick enough")
    if level == "high":
        return Choice(Strategy.MIXED, f"large and busy ({changes}): a full point each week, increments each day")
    if level == "medium" and analysis.size_bytes >= VERY_LARGE_FROM_BYTES:
        return Choice(
            Strategy.DIFFERENTIAL,
            f"very large with some changes ({changes}): differentials each day, a full point a month",
        )
    if level == "medium":
        return Choice(
            Strategy.INCREMENTAL, f"large with some changes ({changes}): increments with a full point each week"
        )
    return Choice(Strategy.FULL, f"large but quiet ({changes}): one full point a week")


@dataclass(frozen=True, slots=True)
class NextPoint:
    """What the next point is, why, and the point that it builds on.

    `source` is the point that a synthetic full one takes over content from. `reads_whole`: what looks unchanged is read and
    hashed too, and what the point builds on is read back.
    """

    kind: PointKind
    reason: str
    parent: Point | None
    source: Point | None = None
    reads_whole: bool = False


def choose_point(
    asked: PointKind | None,
    strategy: Strategy,
    points: list[Point],
    now: datetime,
    full_every_days: int,
    rehash_days: int,
) -> NextPoint:
    """Return what to make now, given the domain's points (newest first).

    A full point is made whatever was asked where there is nothing sound to build on (docs/security.md, rule 19). One that
    is due by itself takes over from the last point what looks unchanged, and every `rehash_days` (0: never) all content is
    read and hashed, whatever it looks like (rule 20).
    """
    chain = _sound_chain(points)
    if not chain:
        return NextPoint(PointKind.FULL, "there is no sound point to build on", None, reads_whole=True)
    chosen = _choose_kind(asked, strategy, chain, now, full_every_days)
    if rehash_days and not any(
        point.read_whole and now - point.created_at < timedelta(days=rehash_days) for point in points
    ):
        reason = f"{chosen.reason}; all content is read again, as every {rehash_days} days"
        return replace(chosen, reason=reason, reads_whole=True)
    if chosen.kind is PointKind.FULL:
        return replace(chosen, reads_whole=True) if asked else replace(chosen, source=chain[0])
    return chosen


def _choose_kind(
    asked: PointKind | None, strategy: Strategy, chain: list[Point], now: datetime, full_every_days: int
) -> NextPoint:
    """Return the kind of the next point on a sound chain, newest first."""
    last, base = chain[0], chain[-1]
    if asked is PointKind.FULL or (asked is None and strategy is Strategy.FULL):
        return NextPoint(PointKind.FULL, "asked for" if asked else "the strategy is full points", None)
    if asked is None and strategy is Strategy.DIFFERENTIAL and now - base.created_at >= DIFFERENTIAL_FULL_EVERY:
        return NextPoint(PointKind.FULL, "the last full point is a month old", None)
    if asked is PointKind.DIFFERENTIAL or (asked is None and strategy is Strategy.DIFFERENTIAL):
        return NextPoint(PointKind.DIFFERENTIAL, "what changed since the last full point", base)
    if asked is None and now - base.created_at >= timedelta(days=full_every_days):
        return NextPoint(PointKind.FULL, f"the last full point is {full_every_days} days old", None)
    return NextPoint(PointKind.INCREMENTAL, "what changed since the last point", last)


def _sound_chain(points: list[Point]) -> list[Point]:
    """Return the newest point with what it builds on, down to its full point, newest first; empty when one of them is not sound."""
    by_id = {point.id: point for point in points}
    with_files = [point for point in points if not point.database_only]
    chain: list[Point] = []
    point = with_files[0] if with_files else None
    while point is not None:
        if point.state is PointState.DAMAGED or not point.is_restorable or len(chain) > len(points):
            return []
        chain.append(point)
        if point.kind is PointKind.FULL:
            return chain
        point = by_id.get(point.parent_id or "")
    return []

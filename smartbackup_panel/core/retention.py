"""Which points of a domain stay and which go, each with its reason, as a pure function.

The clock has little say: ages are counted from the newest sound point and periods are those that have points, so a
domain whose backups stopped loses nothing, and a clock that jumps ahead removes no more than one new point would.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import Point, PointState
from smartbackup_panel.core.new_fulls import find_new_fulls

AHEAD = timedelta(days=1)
DAMAGED_KEPT = timedelta(days=30)
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """How many points stay: the last ones, all of some days, and one for each of so many periods; 0 switches a rule off.

    Never fewer than `floor` sound points stay, whatever the other rules say.
    """

    last: int
    days: int
    daily: int
    weekly: int
    monthly: int
    yearly: int
    floor: int

    def changed(self, wanted: Mapping[str, object]) -> Rules:
        """Return these rules with some numbers replaced. Raises WrongUsage."""
        numbers = asdict(self)
        for name, value in wanted.items():
            least = 1 if name == "floor" else 0
            if name not in numbers or not isinstance(value, int) or isinstance(value, bool):
                raise WrongUsage(f"{name} = {value!r} is no rule of retention")
            if not least <= value <= MOST:
                raise WrongUsage(f"the rule {name} must lie between {least} and {MOST}, not {value}")
            numbers[name] = value
        return Rules(**numbers)


RULE_NAMES = tuple(row.name for row in fields(Rules))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A point, whether it stays, and why in the words of the page.

    `becomes_full`: it is written again as a full point first, so that what it builds on can go.
    """

    point: Point
    stays: bool
    reason: str
    becomes_full: bool = False


@dataclass(frozen=True, slots=True)
class _Period:
    """A rule that keeps one point of each of the newest `count` periods that have points."""

    count: int
    name_of: Callable[[datetime], str]
    prefers_full: bool


def judge_points(
    points: Sequence[Point],
    rules: Rules,
    now: datetime,
    zone: str,
    in_use: Iterable[str] = (),
    *,
    makes_fulls: bool = True,
) -> list[Verdict]:
    """Return a verdict on each of a domain's points (newest first, as they come).

    What stays is closed under parents: a point that another one builds on stays as long as that one does, unless the other
    one becomes a full point of its own (see new_fulls); without `makes_fulls` none does. Points with
    other parts (files, databases) are judged apart, so that one of less never takes the place of one of more.
    """
    newest_first = sorted(points, key=lambda point: (point.created_at, point.id), reverse=True)
    look = partial(_reasons, rules=rules, now=now, zone=ZoneInfo(zone), used=frozenset(in_use))
    why, lasting = look(newest_first)
    new_fulls: set[str] = set()
    waiting = list(find_new_fulls(newest_first, why, lasting)) if makes_fulls else []
    while waiting:
        refused = []
        for chain in waiting:
            wanted = new_fulls | {point.id for point in chain}
            # Weeks and longer prefer what stands alone: a new full point must not take the place of another one.
            if look([_alone(point, wanted) for point in newest_first])[0].keys() == why.keys():
                new_fulls = wanted
            else:
                refused.append(chain)
        # One that was accepted may have made room for one that was refused before it.
        waiting = refused if len(refused) < len(waiting) else []
    for point_id in new_fulls:
        why[point_id] += "; it becomes a full point of its own"
    _keep_parents(newest_first, why, new_fulls)
    return [
        Verdict(point, point.id in why, why.get(point.id) or _why_it_goes(point), point.id in new_fulls)
        for point in points
    ]


def _alone(point: Point, ids: Collection[str]) -> Point:
    return replace(point, parent_id=None) if point.id in ids else point


def _reasons(
    newest_first: Sequence[Point], rules: Rules, now: datetime, zone: ZoneInfo, used: frozenset[str]
) -> tuple[dict[str, str], set[str]]:
    """Return by id why points stay for their own sake, and which of them nothing uses and no rule of days keeps."""
    why: dict[str, str] = {}
    for point in newest_first:
        if reason := _own_reason(point, now, used):
            why[point.id] = reason
    lasting = {point.id for point in newest_first if point.pinned}
    series: dict[tuple[bool, bool], list[Point]] = {}
    for point in newest_first:
        if point.is_restorable and point.created_at <= now + AHEAD:
            series.setdefault((point.archive is not None, bool(point.databases)), []).append(point)
    for sound in series.values():
        for point_id, reason, lasts in _judge_series(sound, rules, zone):
            if why.setdefault(point_id, reason) is reason and lasts:
                lasting.add(point_id)
    return why, lasting - used


def _own_reason(point: Point, now: datetime, in_use: frozenset[str]) -> str | None:
    """Return what keeps a point whatever the rules say, or None."""
    if point.pinned:
        return "pinned"
    if point.id in in_use:
        return "a job that waits or runs needs it"
    if point.created_at > now + AHEAD:
        return "made while the clock stood ahead"
    if not point.is_restorable and now - (point.damaged_at or point.created_at) < DAMAGED_KEPT:
        return f"not sound; kept {DAMAGED_KEPT.days} days so that a person can look at it"
    return None


def _judge_series(sound: list[Point], rules: Rules, zone: ZoneInfo) -> Iterable[tuple[str, str, bool]]:
    """Yield (point id, reason, whether it lasts for weeks) of what the rules keep of sound points of one kind, newest first."""
    good = next((point for point in sound if point.state is PointState.GOOD), sound[0])
    yield good.id, "the last good point", False
    for point in sound[: max(1, rules.floor)]:
        yield point.id, f"at least {rules.floor} points always stay", False
    for point in sound[: rules.last]:
        yield point.id, f"one of the last {rules.last}", False
    since = sound[0].created_at - timedelta(days=rules.days)
    for point in sound:
        if rules.days and point.created_at > since:
            yield point.id, f"made within {rules.days} days", False
    for period in _periods(rules):
        for point_id, reason in _one_of_each(sound, period, zone):
            yield point_id, reason, period.prefers_full


def _periods(rules: Rules) -> tuple[_Period, ...]:
    return (
        _Period(rules.daily, lambda at: f"{at.day} {at:%B %Y}", False),
        _Period(rules.weekly, lambda at: f"week {at.isocalendar().week} of {at.isocalendar().year}", True),
        _Period(rules.monthly, lambda at: f"{at:%B %Y}", True),
        _Period(rules.yearly, lambda at: f"the year {at.year}", True),
    )


def _one_of_each(sound: list[Point], period: _Period, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    """Yield the newest point of each of the newest periods; of weeks and longer the newest that stands alone."""
    groups: dict[str, list[Point]] = {}
    for point in sound:
        groups.setdefault(period.name_of(point.created_at.astimezone(zone)), []).append(point)
    for name, group in list(groups.items())[: period.count]:
        alone = next((point for point in group if point.parent_id is None), None)
        yield (alone if alone is not None and period.prefers_full else group[0]).id, f"kept for {name}"


def _keep_parents(newest_first: list[Point], why: dict[str, str], new_fulls: Collection[str]) -> None:
    """Keep everything that a kept point builds on, however the times of the points lie; new full points need nothing."""
    by_id = {point.id: point for point in newest_first}
    for point in newest_first:
        child = point
        while (
            child.id in why
            and child.id not in new_fulls
            and (parent := by_id.get(child.parent_id or "")) is not None
            and parent.id not in why
        ):
            why[parent.id] = f"the point of {point.created_at:%Y-%m-%d %H:%M} builds on it"
            child = parent


def _why_it_goes(point: Point) -> str:
    return "no rule keeps it" if point.is_restorable else "not sound, and nobody needs it any more"

"""The sample world's choices: what is kept, what is left out and when backups run, held in memory and judged by the real rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.errors import NotAllowed
from smartbackup_panel.core.exclusions import Exclusions
from smartbackup_panel.core.model import Actor, Domain, Job, JobKind, PointKind, Schedule, ScheduleLine, Strategy
from smartbackup_panel.core.retention import Rules, judge_points
from smartbackup_panel.core.row_rules import RowChoice, check_patterns
from smartbackup_panel.engine.exclusions import compile_exclusions
from smartbackup_panel.services.exclusion_preview import ExclusionPreview, weigh
from smartbackup_panel.services.exclusions import Site, find_critical, wrong_lines
from smartbackup_panel.services.left_out import LeftOut, RowsPreview, look_at_rows
from smartbackup_panel.services.policies import Keeping, LeavingOut
from smartbackup_panel.services.schedule_choice import ScheduleTold, Wish, find_wrong, tell
from smartbackup_panel.services.scheduling import parse_line
from tests.support.fake_contents import TREE

if TYPE_CHECKING:
    from tests.support.fake_services import World

GENERAL = Rules(last=7, days=7, daily=14, weekly=8, monthly=12, yearly=0, floor=3)
GENERAL_EXCLUSIONS = Exclusions()
GENERAL_ROWS = RowChoice()
SAMPLE_SCHEDULE = Schedule(
    (ScheduleLine("40 2 * * 1-6", PointKind.INCREMENTAL), ScheduleLine("40 2 * * 0", PointKind.FULL)),
    "Europe/Berlin",
    Strategy.INCREMENTAL,
    "medium size and activity: increments are small",
)


@dataclass
class FakePolicies:
    """Rules, pins and patterns of the sample domains."""

    world: World
    own_rules: dict[str, dict[str, object]] = field(default_factory=dict)
    own_exclusions: dict[str, dict[str, object]] = field(default_factory=dict)

    def pin(self, actor: Actor, domain_id: str, point_id: str, *, pinned: bool) -> None:
        point = self.world.point(actor, domain_id, point_id)
        points = self.world.points[domain_id]
        points[points.index(point)] = replace(point, pinned=pinned)
        self.world.asked.append(("pin" if pinned else "unpin", point_id))

    def keeping(self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None = None) -> Keeping:
        self.world.domain(actor, domain_id)
        own = self.own_rules.get(domain_id, {}) if wanted is None else wanted
        rules = GENERAL.changed(own)
        verdicts = judge_points(self.world.points[domain_id], rules, self.world.clock(), "Europe/Berlin")
        return Keeping(GENERAL, rules, tuple(own), tuple(verdicts))

    def set_retention(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, int] | None, *, whole: bool = False
    ) -> Rules:
        self._domain_of_admin(actor, domain_id)
        before = {} if wanted is None or whole else self.own_rules.get(domain_id, {})
        own = before | dict(wanted or {})
        rules = GENERAL.changed(own)
        self.own_rules[domain_id] = own
        self.world.asked.append(("set retention", domain_id))
        return rules

    def exclusions(self, actor: Actor, domain_id: str) -> LeavingOut:
        domain = self.world.domain(actor, domain_id)
        return leaving(domain, self.own_exclusions.get(domain_id, {}))

    def set_exclusions(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None, *, whole: bool = False
    ) -> LeavingOut:
        domain = self._domain_of_admin(actor, domain_id)
        before = {} if wanted is None or whole else self.own_exclusions.get(domain_id, {})
        made = leaving(domain, before | dict(wanted or {}))
        self.own_exclusions[domain_id] = dict(made.own)
        self.world.asked.append(("set exclusions", domain_id))
        return made

    def _domain_of_admin(self, actor: Actor, domain_id: str) -> Domain:
        domain = self.world.domain(actor, domain_id)
        if not actor.is_admin:
            raise NotAllowed("only an administrator decides this")
        return domain


@dataclass
class FakeExclusionPreviews:
    """Weighs the sample tree by the real rules."""

    policies: FakePolicies

    def look(self, actor: Actor, domain_id: str, wanted: Mapping[str, object]) -> ExclusionPreview:
        domain = self.policies.world.domain(actor, domain_id)
        lines = [str(line) for line in cast(list[str], wanted.get("patterns", []))]
        if wrong := wrong_lines(lines):
            return ExclusionPreview(None, wrong=tuple(wrong))
        made = leaving(domain, wanted)
        points = self.policies.world.points[domain_id]
        if not points:
            return ExclusionPreview(made)
        rows = [
            (path.rpartition(b"/")[0], path.rpartition(b"/")[2], entry.type, entry.size, entry.reason)
            for path, entry in TREE.items()
            if path
        ]
        rows.sort(key=lambda row: row[:2])
        weighed = weigh(rows, compile_exclusions(made.lines), rebuildable=made.holds.rebuildable)
        return ExclusionPreview(made, points[0], weighed)


def leaving(domain: Domain, own: Mapping[str, object]) -> LeavingOut:
    """Return what a domain of the sample world leaves out with choices of its own."""
    holds = GENERAL_EXCLUSIONS.changed(own)
    lines = holds.lines((domain.application or "").lower(), "")
    critical = find_critical(lines, Site((domain.application or "").lower(), ""))
    return LeavingOut(GENERAL_EXCLUSIONS, holds, own, lines, tuple(critical))


@dataclass
class FakeRowsLeftOut:
    """Rows of the sample shop's one database."""

    world: World
    own: dict[str, dict[str, object]] = field(default_factory=dict)

    def of(self, actor: Actor, domain_id: str) -> LeftOut:
        self.world.domain(actor, domain_id)
        points = self.world.points[domain_id]
        reports = tuple(DumpReport.from_fields(dump.report) for dump in points[0].databases) if points else ()
        own = self.own.get(domain_id, {})
        return LeftOut(GENERAL_ROWS, GENERAL_ROWS.changed(own), bool(own), reports)

    def look(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> RowsPreview:
        return look_at_rows(self.of(actor, domain_id), how_much, tables)

    def choose(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> None:
        self._save(actor, domain_id, {"how_much": how_much, "tables": list(check_patterns(tables))})

    def choose_as_settings(self, actor: Actor, domain_id: str) -> None:
        self._save(actor, domain_id, {})

    def _save(self, actor: Actor, domain_id: str, own: dict[str, object]) -> None:
        self.world.domain(actor, domain_id)
        if not actor.is_admin:
            raise NotAllowed("only an administrator decides this")
        self.own[domain_id] = own
        self.world.asked.append(("leave rows out", domain_id))


@dataclass
class FakeScheduleChoice:
    """Schedules of the sample domains, read by the real rules."""

    world: World
    pinned: dict[str, Schedule] = field(default_factory=dict)

    def of(self, actor: Actor, domain_id: str) -> ScheduleTold:
        self.world.domain(actor, domain_id)
        changes = ((self.world.clock() - timedelta(days=3), "activity medium → high: 31 → 140 files a day"),)
        return tell(self.pinned.get(domain_id, SAMPLE_SCHEDULE), self.world.clock(), changes)

    def look(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold:
        self.world.domain(actor, domain_id)
        wrong = find_wrong(wish)
        return ScheduleTold(None, wrong=wrong) if wrong else tell(schedule_of(wish), self.world.clock())

    def choose(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold:
        self.world.domain(actor, domain_id)
        if not actor.is_admin:
            raise NotAllowed("only an administrator decides this")
        self.pinned[domain_id] = schedule_of(wish)
        self.world.asked.append(("set schedule", domain_id))
        return tell(self.pinned[domain_id], self.world.clock())

    def choose_by_itself(self, actor: Actor, domain_id: str) -> Job:
        self.world.domain(actor, domain_id)
        if not actor.is_admin:
            raise NotAllowed("only an administrator decides this")
        self.pinned.pop(domain_id, None)
        return self.world.start(actor, JobKind.ANALYSE, domain_id, {})


def schedule_of(wish: Wish) -> Schedule:
    lines = tuple(parse_line(text) for text in wish.expressions)
    return Schedule(
        lines,
        wish.timezone or "Europe/Berlin",
        Strategy(wish.strategy or "incremental"),
        "set by an administrator",
        True,
    )

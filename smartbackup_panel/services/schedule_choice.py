"""What an administrator chooses of a domain's schedule: looked at first, then pinned, or given back to the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, schedules
from smartbackup_panel.core.cron_words import in_words, warn_of
from smartbackup_panel.core.errors import NotAllowed, WrongUsage
from smartbackup_panel.core.model import Actor, Domain, Job, Schedule, Strategy
from smartbackup_panel.core.schedule import check_timezone
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.requests import Requests
from smartbackup_panel.services.scheduling import last_changes, next_five, parse_line, set_schedule, unpin

MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """A schedule as somebody types it: cron expressions with an optional "=TYPE" each, a time zone, a strategy; None: as it is."""

    expressions: tuple[str, ...]
    timezone: str | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleTold:
    """A schedule with its reading in words, the next five runs, a warning where it is very frequent, and its last changes.

    `wrong` says by field (expressions, timezone, strategy) what cannot be used of a wish; then `schedule` is None.
    """

    schedule: Schedule | None
    in_words: tuple[str, ...] = ()
    next_runs: tuple[datetime, ...] = ()
    warning: str | None = None
    changes: tuple[tuple[datetime, str], ...] = ()
    wrong: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleChoice:
    """The schedule of one domain. Raises UnknownDomain alike for "not there" and "not yours"."""

    installation: Installation

    def of(self, actor: Actor, domain_id: str) -> ScheduleTold:
        """Return the schedule that a domain has, with how it changed by itself."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            present = schedules.find_schedule(tx, domain.id)
        return tell(present, self.installation.clock.now(), tuple(last_changes(self.installation, domain.id)))

    def look(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold:
        """Return what a wish would mean, or what is wrong with it; nothing is changed."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            present = schedules.find_schedule(tx, domain.id)
        if wrong := find_wrong(wish):
            return ScheduleTold(None, wrong=wrong)
        strategy = Strategy(wish.strategy) if wish.strategy else present.strategy if present else Strategy.FULL
        zone = wish.timezone or (present.timezone if present else self.installation.settings.timezone)
        lines = tuple(parse_line(text) for text in wish.expressions)
        return tell(Schedule(lines, zone, strategy, "", pinned=True), self.installation.clock.now())

    def choose(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold:
        """Pin a domain's schedule to a wish. Raises WrongUsage, NotAllowed; nothing is changed then."""
        refuse_wrong(wish)
        with self.installation.state.write() as tx:
            domain = _domain_of_admin(tx, actor, domain_id)
            strategy = Strategy(wish.strategy) if wish.strategy else None
            self._audit(tx, actor, domain, "set schedule", {"after": list(wish.expressions)})
            made = set_schedule(self.installation, tx, domain, list(wish.expressions), wish.timezone, strategy)
        return tell(made, self.installation.clock.now())

    def choose_by_itself(self, actor: Actor, domain_id: str) -> Job:
        """Let the analysis decide a domain's schedule again, and return the job that analyses it now."""
        with self.installation.state.write() as tx:
            domain = _domain_of_admin(tx, actor, domain_id)
            self._audit(tx, actor, domain, "unpin schedule", {})
        unpin(self.installation, domain)
        return Requests(self.installation).analyse(actor, domain_id)

    def _audit(self, tx: Connection, actor: Actor, domain: Domain, action: str, detail: dict[str, object]) -> None:
        present = schedules.find_schedule(tx, domain.id)
        before = [line.cron for line in present.lines] if present else []
        detail = {"before": before, "was_pinned": present is not None and present.pinned} | detail
        people.add_audit(tx, self.installation.clock.now(), actor, action, domain.id, None, detail)


def tell(schedule: Schedule | None, now: datetime, changes: tuple[tuple[datetime, str], ...] = ()) -> ScheduleTold:
    """Return what a schedule means from now on."""
    if schedule is None:
        return ScheduleTold(None, changes=changes)
    said = tuple(in_words(line) for line in schedule.lines)
    return ScheduleTold(schedule, said, next_five(schedule, now), warn_of(schedule, now), changes)


def _domain_of_admin(tx: Connection, actor: Actor, domain_id: str) -> Domain:
    domain = domain_by_id(tx, actor, domain_id)
    if not actor.is_admin:
        raise NotAllowed("only an administrator decides when domains are backed up")
    return domain


def refuse_wrong(wish: Wish) -> None:
    """Raise WrongUsage, with all that is wrong, for a wish that cannot be used."""
    if wrong := find_wrong(wish):
        raise WrongUsage(
            "; ".join(message for _, message in wrong), hint="For example '30 3 * * *' for daily at 03:30."
        )


def find_wrong(wish: Wish) -> tuple[tuple[str, str], ...]:
    """Return what cannot be used of a wish as (field, message)."""
    wrong = [("expressions", message) for message in _wrong_lines(wish.expressions)]
    if wish.timezone is not None:
        try:
            check_timezone(wish.timezone)
        except WrongUsage as error:
            wrong.append(("timezone", error.message))
    if wish.strategy is not None and wish.strategy not in set(Strategy):
        wrong.append(("strategy", f"{wish.strategy!r} is no strategy"))
    return tuple(wrong)


def _wrong_lines(expressions: Sequence[str]) -> list[str]:
    if not expressions:
        return ["a schedule needs at least one cron expression"]
    if len(expressions) > MOST_LINES:
        return [f"{len(expressions)} expressions are more than {MOST_LINES}"]
    return [message for text in expressions if (message := _wrong_line(text)) is not None]


def _wrong_line(text: str) -> str | None:
    try:
        parse_line(text)
    except WrongUsage as error:
        return error.message
    return None

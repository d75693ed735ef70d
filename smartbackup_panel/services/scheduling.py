"""When domains are backed up: schedules are decided from analyses and due runs become jobs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, jobs, people, points, schedules, statistics
from smartbackup_panel.core.activity import describe_change, have_agreed, is_unsettled, settle
from smartbackup_panel.core.cron_words import in_words
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import (
    PANEL,
    SCHEDULER,
    Analysis,
    Domain,
    DomainState,
    JobKind,
    PointKind,
    Schedule,
    ScheduleLine,
    Strategy,
)
from smartbackup_panel.core.schedule import (
    Rhythm,
    check_cron,
    check_timezone,
    choose_rhythm,
    decide_schedule,
    due_at,
    interval_of,
    next_slot,
    next_slots,
)
from smartbackup_panel.core.strategy import choose_strategy
from smartbackup_panel.services import planning
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import submit

REVIEW = "weekly review"
REVIEW_CRON = "0 2 * * 0"
ADJUSTED = "schedule adjusted"
SUSPENDED_WORDS = "suspended by the panel"
HISTORY_READINGS = 60
CONFIRM_AFTER = timedelta(days=1)
LATE = timedelta(minutes=15)
BEFORE_ITS_TIME = timedelta(minutes=1)
"""A backup that began this much before a planned run is that run: cron's minute begins before ours may have."""

CLOCK_SET_BACK = timedelta(hours=1)
CATCH_UP_WITHIN = timedelta(hours=4)
MINIMUM_RUN_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A domain's schedule after an analysis and, where what the domain is taken for changed, what changed in words."""

    schedule: Schedule
    change: str | None = None


def update_schedule(installation: Installation, domain: Domain, analysis: Analysis) -> Adjusted:
    """Return the domain's schedule after an analysis that is recorded: decided anew unless an admin pinned it.

    What the domain is taken for changes when two readings agree. The hour is chosen outside of any transaction, among all
    domains of the server; where an admin set another schedule meanwhile it is done again with that one.
    """
    while True:
        with installation.state.read() as tx:
            present = schedules.find_schedule(tx, domain.id)
            if present is not None and present.pinned:
                return Adjusted(present)
            history = schedules.list_analyses(tx, domain.id) or [analysis]
            steady = steady_reading(history)
            strategy = choose_strategy(steady).strategy
            is_suspended = domain.state is DomainState.SUSPENDED
            rhythm = choose_rhythm(steady.activity_level, strategy, is_suspended=is_suspended)
            place = planning.read_place(installation, tx, domain, rhythm, present)
        start = planning.choose_start(installation, domain, steady, rhythm, place)
        zone = present.timezone if present is not None else installation.settings.timezone
        decided = decide_schedule(domain.name, steady, strategy, zone, start, is_suspended=is_suspended)
        change = _change(history, present, decided) if present is not None else None
        with installation.state.write() as tx:
            now_present = schedules.find_schedule(tx, domain.id)
            if not _is_same_plan(present, now_present):
                continue
            if change is not None:
                _note_change(installation, tx, domain, change)
            return Adjusted(_save(installation, tx, domain, decided, now_present), change)


def _is_same_plan(one: Schedule | None, other: Schedule | None) -> bool:
    """Return whether two schedules differ at most in their next run, which the tick moves on."""
    if one is None or other is None:
        return one is other
    return replace(one, next_run_at=None) == replace(other, next_run_at=None)


def steady_reading(history: Sequence[Analysis]) -> Analysis:
    """Return the newest analysis with the level and size category that two readings agreed on."""
    settled = settle(history)
    return replace(history[0], activity_level=settled.level, size_category=settled.size)


def review(installation: Installation) -> list[str]:
    """The weekly review (Sunday 2 AM, or as soon as the worker runs again): level all hours anew and ask for analyses.

    Returns the ids of the analyses' jobs. Pinned schedules are left alone.
    """
    now = installation.clock.now()
    with installation.state.read() as tx:
        last = people.find_note(tx, REVIEW)
    weekly = Schedule((ScheduleLine(REVIEW_CRON),), installation.settings.timezone, Strategy.FULL, "")
    due = next_slot(weekly, last[1] if last else now)
    if last is not None and (due is None or due.at > now):
        return []
    if last is not None:
        _level_hours(installation)
    with installation.state.write() as tx:
        people.set_note(tx, REVIEW, "done", now)
        known = planning.list_planned(installation, tx) if last is not None else []
        covered = [row.domain.id for row in known if row.domain.state is DomainState.ACTIVE]
        return [_submit_analysis(installation, tx, domain_id) for domain_id in covered]


def confirm_changes(installation: Installation) -> list[str]:
    """Ask for a second reading, a day later, of domains whose last one differs from what they are taken for."""
    now = installation.clock.now()
    with installation.state.read() as tx:
        known = [domain.id for domain in domains.list_domains(tx, PANEL)]
        doubtful = [domain_id for domain_id in known if _wants_second_reading(tx, domain_id, now)]
    if not doubtful:
        return []
    with installation.state.write() as tx:
        scheduled = schedules.list_schedules(tx, doubtful)
        return [_submit_analysis(installation, tx, domain_id) for domain_id in doubtful if domain_id in scheduled]


def _wants_second_reading(tx: Connection, domain_id: str, now: datetime) -> bool:
    """Whether the last reading is a day old and differs; the long history is read only where the last two differ."""
    newest = schedules.list_analyses(tx, domain_id, 2)
    if not newest or now - newest[0].analysed_at < CONFIRM_AFTER or have_agreed(newest):
        return False
    return is_unsettled(schedules.list_analyses(tx, domain_id, HISTORY_READINGS))


def follow_states(installation: Installation) -> list[str]:
    """Decide anew the schedules of domains that were suspended or came back since; return their names."""
    with installation.state.read() as tx:
        differing = [
            (row.domain, history[0])
            for row in planning.list_planned(installation, tx)
            if _is_weekly_for_suspension(row.schedule) != (row.domain.state is DomainState.SUSPENDED)
            and not row.schedule.pinned
            and (history := schedules.list_analyses(tx, row.domain.id, 1))
        ]
    for domain, analysis in differing:
        update_schedule(installation, domain, analysis)
    return [domain.name for domain, _ in differing]


def _is_weekly_for_suspension(schedule: Schedule) -> bool:
    return schedule.reason.startswith(SUSPENDED_WORDS)


def _level_hours(installation: Installation) -> None:
    """Choose all hours anew; what they rest on is read first, so that nobody waits for the choice."""
    wanted: list[tuple[planning.Planned, Rhythm]] = []
    steady: dict[str, Analysis] = {}
    now, zone = installation.clock.now(), installation.settings.timezone
    with installation.state.read() as tx:
        planned = planning.list_planned(installation, tx)
        for row in planned:
            history = schedules.list_analyses(tx, row.domain.id)
            if row.schedule.pinned or not history:
                continue
            steady[row.domain.id] = reading = steady_reading(history)
            is_suspended = row.domain.state is DomainState.SUSPENDED
            rhythm = choose_rhythm(reading.activity_level, row.schedule.strategy, is_suspended=is_suspended)
            wanted.append((row, rhythm))
        quiet = {row.domain.id: planning.quiet_hours(tx, row.domain, zone, now) for row, _ in wanted}
    starts = planning.choose_all(installation, planned, wanted, quiet)
    for row, _ in wanted:
        decided = decide_schedule(
            row.domain.name,
            steady[row.domain.id],
            row.schedule.strategy,
            row.schedule.timezone,
            starts[row.domain.id],
            is_suspended=row.domain.state is DomainState.SUSPENDED,
        )
        if decided.lines != row.schedule.lines:
            _replace_plan(installation, row, decided)


def _replace_plan(installation: Installation, row: planning.Planned, decided: Schedule) -> None:
    """Record a schedule that was chosen for a domain, unless somebody set another one meanwhile."""
    with installation.state.write() as tx:
        present = schedules.find_schedule(tx, row.domain.id)
        if _is_same_plan(present, row.schedule):
            _save(installation, tx, row.domain, decided, present)


def _submit_analysis(installation: Installation, tx: Connection, domain_id: str) -> str:
    job, _ = submit(installation, tx, JobKind.ANALYSE, domain_id, SCHEDULER, {}, f"analyse:{domain_id}")
    return job.id


def _change(history: Sequence[Analysis], present: Schedule, decided: Schedule) -> str | None:
    """Return what changed and what follows ("activity medium → high: 31 → 140 files a day; now every six hours"), or None."""
    if len(history) > 1:
        said = describe_change(settle(history[1:]), settle(history), _last_other(history), history[0])
        if said is not None:
            strategy = f", {decided.strategy} points" if decided.strategy is not present.strategy else ""
            return f"{said}; now {in_words(decided.lines[0])}{strategy}"
    return None


def _last_other(history: Sequence[Analysis]) -> Analysis:
    """Return the newest analysis that differs in level or size from the newest one."""
    now = history[0]
    differs = (
        row for row in history[1:] if (row.activity_level, row.size_category) != (now.activity_level, now.size_category)
    )
    return next(differs, history[-1])


def _note_change(installation: Installation, tx: Connection, domain: Domain, change: str) -> None:
    log.info("schedule adjusted: %s: %s", domain.name, change)
    people.add_audit(tx, installation.clock.now(), SCHEDULER, ADJUSTED, domain.id, None, {"text": change})


def set_schedule(
    installation: Installation,
    tx: Connection,
    domain: Domain,
    expressions: list[str],
    timezone: str | None = None,
    strategy: Strategy | None = None,
) -> Schedule:
    """Pin a domain's schedule to cron expressions, each with an optional kind after '=' ("30 2 * * 0=full").

    `timezone` is the domain's own; without it the one it has, or the settings'. `strategy` decides lines without a kind.
    """
    lines = tuple(parse_line(text) for text in expressions)
    if not lines:
        raise WrongUsage("a schedule needs at least one cron expression", hint="For example '30 3 * * *'.")
    present = schedules.find_schedule(tx, domain.id)
    strategy = strategy or (present.strategy if present else Strategy.FULL)
    zone = timezone or (present.timezone if present else installation.settings.timezone)
    pinned = Schedule(lines, check_timezone(zone), strategy, "set by an administrator", pinned=True)
    return _save(installation, tx, domain, pinned, present)


def unpin(installation: Installation, domain: Domain) -> Schedule | None:
    """Let the analysis decide again; return the new schedule, or None where there is no analysis yet."""
    with installation.state.write() as tx:
        present = schedules.find_schedule(tx, domain.id)
        if present is not None:
            schedules.save_schedule(tx, domain.id, replace(present, pinned=False), None)
        history = schedules.list_analyses(tx, domain.id, 1)
    return update_schedule(installation, domain, history[0]).schedule if history else None


def enqueue_due(installation: Installation, *, spread: bool = True) -> list[str]:
    """Make a job of each run that is due and set the next one; return the job ids.

    However many runs were missed while the worker was down, one job catches up (SECURITY rule 26). Where many domains
    were missed their one run each is spread over the time that the server needs for them; without `spread` all are made now.
    In a blackout nothing is made; what was due in it follows after its end, spread likewise. Where cron starts the runs,
    only what it missed is made.
    """
    now = installation.clock.now()
    if spread and is_blackout(installation, now):
        return []
    made: list[str] = []
    with installation.state.write() as tx:
        due = schedules.list_due(tx, now)
        if installation.settings.schedule_mode == "cron":
            due = _left_by_cron(tx, due, now)
        late = [row for row in due if row[1].next_run_at is not None and now - row[1].next_run_at >= LATE]
        delays = _catch_up_delays(installation, tx, [row[0] for row in late]) if spread else {}
        for domain_id, schedule, kind in due:
            kind = _missed_kind(schedule, kind, now)
            delay = delays.get(domain_id)
            if delay:
                schedules.set_next_run(tx, domain_id, now + delay, kind)
                continue
            if installation.settings.schedule_mode == "cron":
                log.warning("cron did not begin a run: it is made now", extra={"domain": domain_id})
            params: dict[str, object] = {"type": kind or "auto"}
            job, _ = submit(installation, tx, JobKind.BACKUP, domain_id, SCHEDULER, params, f"backup:{domain_id}")
            made.append(job.id)
            _set_next(tx, domain_id, schedule, now)
    return made


def _left_by_cron(tx: Connection, due: list[schedules.Due], now: datetime) -> list[schedules.Due]:
    """Return the runs that cron should have begun and did not (the server was off, its file or cron itself was gone).

    Those that it did begin are moved on; for the others it has `LATE`, and as long as the last backup is no older than the
    schedule's interval: cron goes by the server's time zone, which need not be the schedule's.
    """
    backups = jobs.newest_backups(tx, [row[0] for row in due])
    left: list[schedules.Due] = []
    for row in due:
        domain_id, schedule, _ = row
        planned, begun = schedule.next_run_at, backups.get(domain_id)
        assert planned is not None, "it is due"
        awaited = planned if begun is None else max(planned, begun + interval_of(schedule, now))
        if begun is not None and begun >= planned - BEFORE_ITS_TIME:
            _set_next(tx, domain_id, schedule, now)
        elif now - awaited >= LATE or not _is_slot(schedule, planned):
            left.append(row)
    return left


def _is_slot(schedule: Schedule, at: datetime) -> bool:
    """Whether the schedule has a run then; a missed one that was put off is nothing that cron knows."""
    slot = next_slot(schedule, at - timedelta(seconds=1))
    return slot is not None and slot.at == at


def is_blackout(installation: Installation, now: datetime) -> bool:
    """Return whether no planned run may begin now."""
    local = now.astimezone(ZoneInfo(installation.settings.timezone))
    return any(span.holds(local.hour * 60 + local.minute) for span in installation.settings.blackout_hours)


def reset_next_runs(installation: Installation) -> int:
    """Compute every next run anew after the clock was set back, when they lie too far ahead; return how many changed."""
    now = installation.clock.now()
    changed = 0
    with installation.state.write() as tx:
        for row in planning.list_planned(installation, tx):
            slot, planned = next_slot(row.schedule, now), row.schedule.next_run_at
            if slot is not None and (planned is None or planned > slot.at + LATE):
                schedules.set_next_run(tx, row.domain.id, slot.at, slot.kind)
                changed += 1
    return changed


def _catch_up_delays(installation: Installation, tx: Connection, late: list[str]) -> dict[str, timedelta]:
    """Return how long each late domain waits: the server's capacity decides, the first ones begin at once."""
    if len(late) <= installation.settings.concurrency:
        return {}
    means = statistics.mean_seconds(tx, installation.clock.now() - timedelta(days=60))
    delays, planned = {}, 0.0
    for place, domain_id in enumerate(late):
        if place >= installation.settings.concurrency:
            delays[domain_id] = min(CATCH_UP_WITHIN, timedelta(seconds=planned / installation.settings.concurrency))
        planned += max(MINIMUM_RUN_SECONDS, means.get(domain_id, 10.0))
    return delays


def _missed_kind(schedule: Schedule, kind: PointKind | None, now: datetime) -> PointKind | None:
    """Return the kind of a run that is made now: a full point where one was among the missed ones."""
    begin = schedule.next_run_at
    fulls = tuple(line for line in schedule.lines if line.kind is PointKind.FULL)
    if begin is None or now - begin < LATE or not fulls:
        return kind
    first = next_slot(replace(schedule, lines=fulls), begin)
    return PointKind.FULL if first is not None and first.at <= now else kind


def last_changes(installation: Installation, domain_id: str, limit: int = 5) -> list[tuple[datetime, str]]:
    """Return when and how a domain's schedule was adjusted by itself, newest first."""
    with installation.state.read() as tx:
        return statistics.list_audit_texts(tx, ADJUSTED, domain_id, limit)


def next_five(schedule: Schedule, now: datetime) -> tuple[datetime, ...]:
    """Return the next five runs of a schedule."""
    return tuple(slot.at for slot in next_slots(schedule, now, 5))


def _set_next(tx: Connection, domain_id: str, schedule: Schedule, now: datetime) -> None:
    slot = next_slot(schedule, now)
    schedules.set_next_run(tx, domain_id, slot.at if slot else None, slot.kind if slot else None)


def _save(
    installation: Installation, tx: Connection, domain: Domain, schedule: Schedule, present: Schedule | None
) -> Schedule:
    """Record a schedule. Where its lines are as before, a run that is due is not put off; and one that was decided by itself
    leaves the run that was planned, where without it the newest point would become older than a point may.
    """
    now = installation.clock.now()
    slot = next_slot(schedule, now)
    at, kind = (slot.at, slot.kind) if slot is not None else (None, None)
    unchanged = present is not None and present.lines == schedule.lines and present.timezone == schedule.timezone
    planned = present.next_run_at if present is not None else None
    if planned is not None and at is not None and planned < at:
        is_due = unchanged and planned <= now
        if is_due or (not schedule.pinned and _is_too_late(tx, domain, schedule, at, now)):
            at, kind = planned, schedules.find_next_kind(tx, domain.id)
    first = present.first_run_at if present is not None and unchanged else _first_run(tx, domain, present, at, now)
    schedule = replace(schedule, next_run_at=at, first_run_at=first)
    schedules.save_schedule(tx, domain.id, schedule, kind)
    return schedule


def _first_run(
    tx: Connection, domain: Domain, present: Schedule | None, at: datetime | None, now: datetime
) -> datetime | None:
    """Return the first run of a new schedule; where the one before is behind, its run that is still missing."""
    if present is None:
        return at
    newest = points.latest_points(tx, [domain.id]).get(domain.id)
    due = due_at(present, None if newest is None else newest.created_at, now)
    return due if due is not None and due <= now else at


def _is_too_late(tx: Connection, domain: Domain, schedule: Schedule, at: datetime, now: datetime) -> bool:
    """Whether at a run then the newest point would be older than the schedule's interval, and an hour for a clock set back."""
    newest = points.latest_points(tx, [domain.id]).get(domain.id)
    return newest is not None and at - newest.created_at > interval_of(schedule, now) + CLOCK_SET_BACK


def parse_line(text: str) -> ScheduleLine:
    """Return the line of a cron expression with an optional kind after '='. Raises WrongUsage."""
    expression, _, kind = text.partition("=")
    if kind and kind not in set(PointKind):
        raise WrongUsage(f"{kind!r} is no type of point", hint="Use full, incremental or differential.")
    return ScheduleLine(check_cron(expression), PointKind(kind) if kind else None)

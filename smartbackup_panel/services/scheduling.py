"""When domains are backed up: schedules are decided from analyses and due runs become jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import jobs, schedules
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import (
    SCHEDULER,
    Analysis,
    Domain,
    JobKind,
    PointKind,
    Schedule,
    ScheduleLine,
    Strategy,
)
from smartbackup_panel.core.schedule import check_cron, decide_schedule, next_slot, next_slots
from smartbackup_panel.core.strategy import choose_strategy
from smartbackup_panel.services.installation import Installation


def update_schedule(installation: Installation, tx: Connection, domain: Domain, analysis: Analysis) -> Schedule:
    """Return the domain's schedule after an analysis: decided anew unless an admin pinned it."""
    present = schedules.find_schedule(tx, domain.id)
    if present is not None and present.pinned:
        return present
    choice = choose_strategy(analysis)
    decided = decide_schedule(domain.name, analysis, choice.strategy, installation.settings.timezone)
    return _save(installation, tx, domain, decided, present)


def set_schedule(installation: Installation, tx: Connection, domain: Domain, expressions: list[str]) -> Schedule:
    """Pin a domain's schedule to cron expressions, each with an optional kind after '=' ("30 2 * * 0=full")."""
    lines = tuple(_parse_line(text) for text in expressions)
    if not lines:
        raise WrongUsage("a schedule needs at least one cron expression", hint="For example '30 3 * * *'.")
    present = schedules.find_schedule(tx, domain.id)
    strategy = present.strategy if present else Strategy.FULL
    pinned = Schedule(lines, installation.settings.timezone, strategy, "set by an administrator", pinned=True)
    return _save(installation, tx, domain, pinned, present)


def unpin(installation: Installation, tx: Connection, domain: Domain) -> Schedule | None:
    """Let the analysis decide again; return the new schedule, or None where there is no analysis yet."""
    present = schedules.find_schedule(tx, domain.id)
    if present is not None:
        schedules.save_schedule(tx, domain.id, replace(present, pinned=False), None, installation.clock.now())
    history = schedules.list_analyses(tx, domain.id, 1)
    return update_schedule(installation, tx, domain, history[0]) if history else None


def enqueue_due(installation: Installation) -> list[str]:
    """Make a job of each run that is due and set the next one; return the job ids.

    However many runs were missed while the worker was down, one job catches up (SECURITY rule 26).
    """
    now = installation.clock.now()
    made: list[str] = []
    with installation.state.write() as tx:
        for domain_id, schedule, kind in schedules.list_due(tx, now):
            params: dict[str, object] = {"type": kind or "auto"}
            job, _ = jobs.submit(tx, JobKind.BACKUP, domain_id, SCHEDULER, params, f"backup:{domain_id}", now)
            made.append(job.id)
            _set_next(tx, domain_id, schedule, now)
    return made


def next_five(schedule: Schedule, now: datetime) -> tuple[datetime, ...]:
    """Return the next five runs of a schedule."""
    return tuple(slot.at for slot in next_slots(schedule, now, 5))


def _set_next(tx: Connection, domain_id: str, schedule: Schedule, now: datetime) -> None:
    slot = next_slot(schedule, now)
    schedules.set_next_run(tx, domain_id, slot.at if slot else None, slot.kind if slot else None)


def _save(
    installation: Installation, tx: Connection, domain: Domain, schedule: Schedule, present: Schedule | None
) -> Schedule:
    """Record a schedule; where its lines are as before, a run that is due is not put off."""
    now = installation.clock.now()
    slot = next_slot(schedule, now)
    if slot is not None:
        schedule = replace(schedule, next_run_at=slot.at)
    unchanged = present is not None and present.lines == schedule.lines and present.timezone == schedule.timezone
    if unchanged and present is not None and present.next_run_at is not None and present.next_run_at <= now:
        schedule = replace(schedule, next_run_at=present.next_run_at)
    schedules.save_schedule(tx, domain.id, schedule, slot.kind if slot else None, now)
    return schedule


def _parse_line(text: str) -> ScheduleLine:
    expression, _, kind = text.partition("=")
    if kind and kind not in set(PointKind):
        raise WrongUsage(f"{kind!r} is no type of point", hint="Use full, incremental or differential.")
    return ScheduleLine(check_cron(expression), PointKind(kind) if kind else None)

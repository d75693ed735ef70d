"""Alarms: found from the state, recorded, and told as a digest. Success is not told."""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import alarms, domains, jobs, people, points, schedules, statistics
from smartbackup_panel.adapters.db.alarms import AlarmRecord
from smartbackup_panel.adapters.locks import is_locked
from smartbackup_panel.core.alarms import (
    Alarm,
    DomainFacts,
    Growth,
    clock_alarm,
    domain_alarms,
    purge_alarms,
    space_alarm,
    worker_alarm,
)
from smartbackup_panel.core.model import PANEL, Actor, Domain, DomainState, JobKind, Point, Schedule
from smartbackup_panel.core.schedule import due_at
from smartbackup_panel.core.surroundings import Message
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.pages import Problem

WORKER_ALARM = "worker"
CLOCK = "clock jump"
NOTIFIED = "notify"
CLOCK_SUSPECT_FOR = timedelta(days=1)
GROWTH_DAYS = 14
FIRST_POINT_WITHIN = timedelta(hours=1)
LISTED = 50

log = logging.getLogger(__name__)


def find_alarms(installation: Installation, actor: Actor = PANEL, *, worker_is_looking: bool = False) -> list[Alarm]:
    """Return what needs a person now, of the domains that the actor may see; nothing is changed.

    The server's own alarms are the administrators'. The worker itself does not ask whether it runs.
    """
    now = installation.clock.now()
    with installation.state.read() as tx:
        every = domains.list_domains(tx, actor, with_deleted=actor.is_admin)
        live = [domain for domain in every if domain.state is not DomainState.DELETED]
        found = [alarm for facts in _facts(tx, live, now) for alarm in domain_alarms(facts, now)]
        if not actor.is_admin:
            return found
        keeping = set(points.latest_points(tx, [row.id for row in every if row.state is DomainState.DELETED]))
        deleted = [row for row in every if row.id in keeping]
        found += purge_alarms(deleted, installation.settings.grace_days, now)
        seen, clock = people.find_note(tx, "worker"), people.find_note(tx, CLOCK)
        growth = _growth(installation, tx, now)
    if growth is not None and (space := space_alarm(growth, now)) is not None:
        found.append(space)
    if clock is not None and abs(now - clock[1]) < CLOCK_SUSPECT_FOR:
        found.append(clock_alarm(timedelta(seconds=float(clock[0])), clock[1]))
    if not worker_is_looking and every:
        silent = worker_alarm(seen[1] if seen else None, is_locked(installation.settings.worker_lock), now)
        found += [silent] if silent is not None else []
    return found


def find_problems(installation: Installation, actor: Actor = PANEL) -> list[Problem]:
    """Return the alarms that an actor may see as the dashboard's problems, with their domains."""
    found = find_alarms(installation, actor)
    with installation.state.read() as tx:
        known = {domain.id: domain for domain in domains.list_domains(tx, actor, with_deleted=True)}
    return [
        Problem(known.get(row.domain_id or ""), row.sentence, row.next_action, row.since, row.job_id, row.kind)
        for row in found
    ]


def look(installation: Installation) -> list[str]:
    """Record what needs a person and tell what is new, as one digest; return the ways that failed.

    At most one message in `notify_every_minutes`; a way that fails is tried again with the next digest.
    """
    found, now = find_alarms(installation, worker_is_looking=True), installation.clock.now()
    with installation.state.write() as tx:
        alarms.record(tx, found, now)
        lasting, last = alarms.list_open(tx), alarms.last_told(tx)
    fresh = [row for row in lasting if row.told_at is None]
    notifier = installation.surroundings.notifier
    pause = timedelta(minutes=installation.settings.notify_every_minutes)
    if not fresh or not notifier.has_ways or (last is not None and timedelta() <= now - last < pause):
        return []
    failed = notifier.send(digest(fresh, lasting))
    for sentence in failed:
        log.warning("message not sent: %s", sentence)
    with installation.state.write() as tx:
        people.set_note(tx, NOTIFIED, "; ".join(failed), now)
        alarms.mark_told(tx, [row.alarm.key for row in fresh], now)
    return failed


def digest(fresh: list[AlarmRecord], lasting: list[AlarmRecord]) -> Message:
    """Return one message: what is new first, what still lasts as a count."""
    still = len(lasting) - len(fresh)
    subject = fresh[0].alarm.sentence if len(fresh) == 1 else f"{len(fresh)} things need you"
    lines = [f"- {row.alarm.sentence}\n  {row.alarm.next_action}" for row in fresh[:LISTED]]
    if len(fresh) > LISTED:
        lines.append(f"- and {len(fresh) - LISTED} more: smartbackup check")
    if still:
        lines.append(
            f"\n{still} other{'s' if still != 1 else ''} told before still need{'s' if still == 1 else ''} you."
        )
    rows = [
        {
            "kind": row.alarm.kind,
            "sentence": row.alarm.sentence,
            "next_action": row.alarm.next_action,
            "since": row.alarm.since.isoformat(),
        }
        for row in fresh[:LISTED]
    ]
    return Message(f"Smart Backup: {subject}", "\n".join(lines) + "\n", {"alarms": rows, "still_open": still})


def note_clock_jump(installation: Installation, jumped_by: timedelta) -> None:
    """Record that the clock jumped; for a day nothing is removed for its age (SECURITY rule 18)."""
    with installation.state.write() as tx:
        people.set_note(tx, CLOCK, str(jumped_by.total_seconds()), installation.clock.now())


def clock_is_suspect(tx: Connection, now: datetime) -> bool:
    """Return whether the clock jumped within a day, or stands before something that was already recorded."""
    jumped, seen = people.find_note(tx, CLOCK), people.find_note(tx, "worker")
    if jumped is not None and abs(now - jumped[1]) < CLOCK_SUSPECT_FOR:
        return True
    return seen is not None and seen[1] > now + timedelta(minutes=5)


def _facts(tx: Connection, every: list[Domain], now: datetime) -> list[DomainFacts]:
    ids = [domain.id for domain in every]
    newest, plans = points.latest_points(tx, ids), schedules.list_schedules(tx, ids)
    failed, unsound = statistics.latest_failures(tx, JobKind.BACKUP), statistics.latest_failures(tx, JobKind.VERIFY)
    awaited = {job.domain_id: job.created_at for job in jobs.list_unfinished(tx) if job.kind is JobKind.BACKUP}
    damage = points.damage_found(tx, ids)
    return [
        DomainFacts(
            domain=domain,
            last_point=newest.get(domain.id),
            failed_backup=failed.get(domain.id),
            failed_check=unsound.get(domain.id),
            due_at=_due_at(domain, newest.get(domain.id), plans.get(domain.id), now),
            awaited_since=awaited.get(domain.id),
            damage=damage.get(domain.id),
        )
        for domain in every
    ]


def _due_at(domain: Domain, newest: Point | None, plan: Schedule | None, now: datetime) -> datetime | None:
    """Return when a domain's next point is due; without a plan yet it is the first one, soon."""
    last = newest.created_at if newest is not None else None
    if plan is not None:
        return due_at(plan, last, now)
    since = last or domain.created_at
    return since and since + FIRST_POINT_WITHIN


def _growth(installation: Installation, tx: Connection, now: datetime) -> Growth | None:
    try:
        room = os.statvfs(installation.settings.backup_root)
    except OSError:
        return None
    added = statistics.stored_by_day(tx, now - timedelta(days=GROWTH_DAYS))
    first = statistics.first_point_at(tx)
    days = max(1, min(GROWTH_DAYS, (now - first).days)) if first is not None else 1
    whole = tuple(added.get((now - timedelta(days=ago)).date().isoformat(), 0) for ago in range(days, 0, -1))
    return Growth(whole, room.f_bavail * room.f_frsize, installation.settings.reserve_mb * 1024 * 1024)

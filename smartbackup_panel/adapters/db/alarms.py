"""Records of alarms: when each was raised, told, and over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, delete, insert, select, update

from smartbackup_panel.adapters.db.tables import alarms
from smartbackup_panel.core.alarms import Alarm

QUIET_AFTER_END = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm with its history; `ended_at` is None while it lasts, `told_at` None until a message named it."""

    alarm: Alarm
    opened_at: datetime
    told_at: datetime | None
    ended_at: datetime | None


def record(tx: Connection, present: Sequence[Alarm], now: datetime) -> None:
    """Open what is new, end what is over. One that comes back within a day is not told again: it flaps."""
    known = {row.key: row for row in tx.execute(select(alarms))}
    for alarm in present:
        values: dict[str, object] = {
            "kind": alarm.kind,
            "domain_id": alarm.domain_id,
            "sentence": alarm.sentence,
            "next_action": alarm.next_action,
        }
        before = known.get(alarm.key)
        if before is None:
            tx.execute(insert(alarms).values(key=alarm.key, since=alarm.since, opened_at=now, **values))
        elif before.ended_at is not None:
            is_flapping = now - before.ended_at < QUIET_AFTER_END
            told = before.told_at if is_flapping else None
            values |= {"since": alarm.since, "opened_at": now, "told_at": told, "ended_at": None}
            tx.execute(update(alarms).where(alarms.c.key == alarm.key).values(**values))
        elif (before.sentence, before.next_action) != (alarm.sentence, alarm.next_action):
            tx.execute(update(alarms).where(alarms.c.key == alarm.key).values(**values))
    over = [key for key, row in known.items() if row.ended_at is None and key not in {alarm.key for alarm in present}]
    for key in over:
        tx.execute(update(alarms).where(alarms.c.key == key).values(ended_at=now))


def list_open(tx: Connection) -> list[AlarmRecord]:
    """Return the alarms that last, oldest first."""
    query = select(alarms).where(alarms.c.ended_at.is_(None)).order_by(alarms.c.opened_at, alarms.c.key)
    return [_record(row) for row in tx.execute(query)]


def find(tx: Connection, key: str) -> AlarmRecord | None:
    row = tx.execute(select(alarms).where(alarms.c.key == key)).first()
    return None if row is None else _record(row)


def last_told(tx: Connection) -> datetime | None:
    """Return when a message last named an alarm."""
    query = select(alarms.c.told_at).where(alarms.c.told_at.is_not(None)).order_by(alarms.c.told_at.desc()).limit(1)
    return tx.execute(query).scalar()


def mark_told(tx: Connection, keys: Sequence[str], now: datetime) -> None:
    for key in keys:
        tx.execute(update(alarms).where(alarms.c.key == key).values(told_at=now))


def forget_ended(tx: Connection, before: datetime) -> int:
    return tx.execute(delete(alarms).where(alarms.c.ended_at < before)).rowcount


def _record(row: Row[tuple[object, ...]]) -> AlarmRecord:
    alarm = Alarm(row.key, row.kind, row.sentence, row.next_action, row.since, row.domain_id)
    return AlarmRecord(alarm, row.opened_at, row.told_at, row.ended_at)

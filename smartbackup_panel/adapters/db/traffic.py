"""Records of requests a day and of how far access logs were read."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from smartbackup_panel.adapters.db.tables import log_positions, traffic_days
from smartbackup_panel.core.surroundings import LogPosition
from smartbackup_panel.core.traffic import Hours


def list_positions(tx: Connection, domain_id: str) -> list[LogPosition]:
    query = select(log_positions).where(log_positions.c.domain_id == domain_id)
    rows = tx.execute(query.order_by(log_positions.c.device, log_positions.c.inode))
    return [LogPosition(**{name: getattr(row, name) for name in LogPosition.__slots__}) for row in rows]


def save_positions(tx: Connection, domain_id: str, positions: tuple[LogPosition, ...]) -> None:
    """Record how far a domain's logs are read now, in place of what was known."""
    tx.execute(delete(log_positions).where(log_positions.c.domain_id == domain_id))
    rows = {(row.device, row.inode): {name: getattr(row, name) for name in LogPosition.__slots__} for row in positions}
    if rows:
        tx.execute(insert(log_positions), [{"domain_id": domain_id, **row} for row in rows.values()])


def add_hours(tx: Connection, domain_id: str, hours: Hours) -> None:
    """Add counted requests to the days that they belong to (UTC)."""
    for day in sorted({hour.date() for hour in (*hours.requests, *hours.bots)}):
        place = (traffic_days.c.domain_id == domain_id, traffic_days.c.day == day.isoformat())
        row = tx.execute(select(traffic_days).where(*place)).first()
        requests = _added(row.requests if row else [0] * 24, day, hours.requests)
        bots = _added(row.bots if row else [0] * 24, day, hours.bots)
        if row is None:
            values = {"domain_id": domain_id, "day": day.isoformat(), "requests": requests, "bots": bots}
            tx.execute(insert(traffic_days).values(**values))
        else:
            tx.execute(update(traffic_days).where(*place).values(requests=requests, bots=bots))


def list_days(tx: Connection, domain_id: str, since: date) -> dict[date, list[int]]:
    """Return people's requests by hour of each recorded day from `since` on."""
    query = (
        select(traffic_days.c.day, traffic_days.c.requests)
        .where(traffic_days.c.domain_id == domain_id, traffic_days.c.day >= since.isoformat())
        .order_by(traffic_days.c.day)
    )
    return {date.fromisoformat(row.day): row.requests for row in tx.execute(query)}


def count_last_day(tx: Connection, domain_id: str, now: datetime) -> int:
    """Return all requests, bots' included, of the hour that runs and the 23 before it."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    query = select(traffic_days).where(
        traffic_days.c.domain_id == domain_id, traffic_days.c.day >= first.date().isoformat()
    )
    total = 0
    for row in tx.execute(query):
        begin = datetime.combine(date.fromisoformat(row.day), datetime.min.time(), now.tzinfo)
        for hour, (people, bots) in enumerate(zip(row.requests, row.bots, strict=True)):
            if first <= begin + timedelta(hours=hour) <= now:
                total += people + bots
    return total


def forget_days(tx: Connection, before: date) -> int:
    """Remove the days before a date and return how many there were."""
    return tx.execute(delete(traffic_days).where(traffic_days.c.day < before.isoformat())).rowcount


def forget_domain(tx: Connection, domain_id: str) -> None:
    for table in (traffic_days, log_positions):
        tx.execute(delete(table).where(table.c.domain_id == domain_id))


def _added(counts: list[int], day: date, more: dict[datetime, int]) -> list[int]:
    added = list(counts)
    for hour, count in more.items():
        if hour.date() == day:
            added[hour.hour] += count
    return added

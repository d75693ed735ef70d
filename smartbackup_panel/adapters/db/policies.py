"""What was chosen for one domain instead of the settings, and which points are spoken for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, and_, insert, or_, select, update

from smartbackup_panel.adapters.db.jobs import UNFINISHED
from smartbackup_panel.adapters.db.tables import jobs, policies
from smartbackup_panel.core.model import JobKind


@dataclass(frozen=True, slots=True)
class Policy:
    """What a domain has of its own, {} where the settings decide: numbers of retention, fields of exclusions and of rows."""

    retention: dict[str, object] = field(default_factory=dict)
    exclusions: dict[str, object] = field(default_factory=dict)
    databases: dict[str, object] = field(default_factory=dict)


def find_policy(tx: Connection, domain_id: str) -> Policy:
    """Return what was chosen for a domain; an empty policy where nothing was."""
    row = tx.execute(select(policies).where(policies.c.domain_id == domain_id)).first()
    return Policy() if row is None else Policy(row.retention, row.exclusions, row.databases)


def save_policy(tx: Connection, domain_id: str, policy: Policy) -> None:
    values = {"retention": policy.retention, "exclusions": policy.exclusions, "databases": policy.databases}
    if tx.execute(update(policies).where(policies.c.domain_id == domain_id).values(**values)).rowcount == 0:
        tx.execute(insert(policies).values(domain_id=domain_id, **values))


def points_in_use(tx: Connection, domain_id: str, planned_since: datetime) -> set[str]:
    """Return the ids of points that a job of the domain waits for or works on, or that a plan made since then shows."""
    is_open = jobs.c.state.in_(UNFINISHED)
    is_shown = and_(jobs.c.kind == JobKind.PLAN, jobs.c.finished_at >= planned_since)
    query = select(jobs.c.params).where(jobs.c.domain_id == domain_id, or_(is_open, is_shown))
    return {str(row.params["point"]) for row in tx.execute(query) if row.params.get("point")}

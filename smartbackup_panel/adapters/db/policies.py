"""What was chosen for one domain instead of the settings, and which points are spoken for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

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


def has_policy(tx: Connection, domain_id: str) -> bool:
    """Return whether anything was ever chosen for a domain, be it to let the settings decide again."""
    return tx.execute(select(policies.c.domain_id).where(policies.c.domain_id == domain_id)).first() is not None


def list_policies(tx: Connection) -> dict[str, Policy]:
    """Return what was chosen, by domain id."""
    return {row.domain_id: Policy(row.retention, row.exclusions, row.databases) for row in tx.execute(select(policies))}


def delete_policy(tx: Connection, domain_id: str) -> None:
    tx.execute(delete(policies).where(policies.c.domain_id == domain_id))


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

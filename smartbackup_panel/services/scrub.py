"""The nightly reading: some archives of a domain are read again, byte by byte, until somebody needs the domain."""

from __future__ import annotations

import time

from smartbackup_panel.adapters.db import jobs, points
from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.model import PRIORITY, Domain, JobKind, Point, Verified
from smartbackup_panel.core.tree import Progress
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.mending import mend_sidecars
from smartbackup_panel.services.tenants import start_agent
from smartbackup_panel.services.verification import find_cut_chains, find_damage, is_readable, record_findings

LOOK_EVERY_SECONDS = 2.0


class _GivesWay(Exception):  # it ends the reading early; nothing went wrong
    """Somebody waits for this domain; the reading goes on another night."""


def scrub(context: JobContext, domain: Domain) -> Outcome:
    """Read the job's points again, longest unread first; what is damaged is marked and makes the job fail.

    Each finding is recorded at once, so that a reading that was cut off has lost nothing.
    """
    installation, started = context.installation, time.monotonic()
    chosen = _points(context, domain)
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    with store.open_store(installation, domain) as folder_fd, start_agent(installation, domain) as agent:
        watch = _Watch(context, domain, agent)
        checked = find_cut_chains(installation, folder_fd, every)
        broken = record_findings(installation, domain, checked, Verified.READ_BACK)
        left = [point for point in chosen if is_readable(point, every, checked)]
        try:
            while left:
                watch.look()
                checked |= find_damage(context, agent, folder_fd, left[0], every, Verified.READ_BACK, watch.hear)
                left.pop(0)
                broken = record_findings(installation, domain, checked, Verified.READ_BACK)
        except _GivesWay:
            context.say("gives way: somebody waits for this domain; the rest is read another night")
    mend_sidecars(context, domain)
    damage = [found for found in checked.values() if found]
    result: dict[str, object] = {
        "domain": domain.name,
        "read": len(chosen) - len(left),
        "left": len(left),
        "damaged": sorted(broken),
        "seconds": round(time.monotonic() - started, 3),
    }
    if not damage:
        return Outcome(result)
    return Outcome(result, failure=ArchiveDamaged(f"{len(broken)} points are damaged: {damage[0]}"))


def _points(context: JobContext, domain: Domain) -> list[Point]:
    wanted = context.job.params.get("points")
    order = [str(point_id) for point_id in wanted] if isinstance(wanted, list) else []
    with context.installation.state.read() as tx:
        by_id = {point.id: point for point in points.list_points(tx, domain.id)}
    return [by_id[point_id] for point_id in order if point_id in by_id]


class _Watch:
    """Hands progress on, and stops the reading when a more urgent job of the domain waits."""

    def __init__(self, context: JobContext, domain: Domain, agent: Agent) -> None:
        self._context = context
        self._domain = domain
        self._hand_on = on_step(context, "verifying", agent)
        self._looked_at = 0.0

    def hear(self, step: Progress) -> None:
        self._hand_on(step)
        if time.monotonic() - self._looked_at >= LOOK_EVERY_SECONDS:
            self.look()

    def look(self) -> None:
        """Raise _GivesWay where somebody waits."""
        self._looked_at = time.monotonic()
        with self._context.installation.state.read() as tx:
            waiting = jobs.list_queued(tx)
        if any(row.domain_id == self._domain.id and row.priority < PRIORITY[JobKind.SCRUB] for row in waiting):
            raise _GivesWay("a job of this domain waits")

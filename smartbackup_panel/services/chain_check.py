"""Reading back what a point builds on, before the next one is built on it."""

from __future__ import annotations

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.damage import with_parents
from smartbackup_panel.core.model import Domain, Point, Verified
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.jobs import JobContext
from smartbackup_panel.services.mending import mend_sidecars
from smartbackup_panel.services.verification import find_cut_chains, find_damage, is_readable, record_findings


def is_chain_sound(context: JobContext, domain: Domain, agent: Agent, folder_fd: int, point: Point) -> bool:
    """Return whether every byte of a point and of all that it builds on is as it was written; what is not is marked."""
    installation = context.installation
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    checked = find_cut_chains(installation, folder_fd, every)
    hear = on_step(context, "reading earlier points back", agent)
    for link in with_parents([point], every):
        if is_readable(link, every, checked):
            checked |= find_damage(context, agent, folder_fd, link, every, Verified.READ_BACK, hear)
    broken = record_findings(installation, domain, checked, Verified.CHAIN)
    mend_sidecars(context, domain)
    return point.id not in broken

"""Points are read back; what is damaged is marked, with everything that builds on it, and never offered for a restore."""

from __future__ import annotations

import time

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, UnknownPoint
from smartbackup_panel.core.model import Domain, Point, PointState, Verified
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.dumping import check_dump
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.tenants import start_agent

DAMAGE = (ArchiveDamaged, ArchiveMissing, ArchiveRefused)


def verify(context: JobContext, domain: Domain) -> Outcome:
    """Read back a point with all that it needs, or every point of the domain; the job fails when something is damaged."""
    installation, started = context.installation, time.monotonic()
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    wanted = context.job.params.get("point")
    chosen = [point for point in every if wanted in (None, point.id)]
    if wanted is not None and not chosen:
        raise UnknownPoint("there is no such restore point")
    damage: dict[str, str] = {}
    with store.open_store(installation, domain) as folder_fd, start_agent(installation, domain) as agent:
        for point in reversed(chosen):
            found = damage.get(point.parent_id or "") or _find_damage(context, agent, folder_fd, point, bool(wanted))
            if found:
                damage[point.id] = found
                context.say(f"{point.archive}: {found}", "error")
    _record(context, chosen, every, damage)
    result: dict[str, object] = {
        "domain": domain.name,
        "points": [_row(point, damage) for point in chosen],
        "damaged": [point.id for point in chosen if point.id in damage],
        "seconds": round(time.monotonic() - started, 3),
    }
    if not damage:
        return Outcome(result)
    first = next(iter(damage.values()))
    return Outcome(result, failure=ArchiveDamaged(f"{len(damage)} of {len(chosen)} points are damaged: {first}"))


def _find_damage(context: JobContext, agent: Agent, folder_fd: int, point: Point, whole_chain: bool) -> str | None:
    """Return what is wrong with a point in one sentence, or None when every byte is as it was written."""
    try:
        if point.archive is not None:
            with store.open_point(context.installation, folder_fd, point.archive) as archive:
                if archive.own.facts.root_digest.hex() != point.root_digest:
                    return f"{point.archive} is not the archive that was recorded"
                agent.verify(archive, whole_chain=whole_chain, on_progress=on_step(context, "verifying"))
        for dump in point.databases:
            check_dump(context.installation, folder_fd, dump)
    except DAMAGE as error:
        return error.message
    return None


def _record(context: JobContext, chosen: list[Point], every: list[Point], damage: dict[str, str]) -> None:
    """Mark damaged points and all that build on them; a point that is sound again is offered again."""
    now = context.installation.clock.now()
    broken = set(damage)
    for point in reversed(every):
        if point.parent_id in broken:
            broken.add(point.id)
    with context.installation.state.write() as tx:
        for point in every:
            if point.id in broken:
                points.set_point_state(tx, point.id, PointState.DAMAGED)
            elif point in chosen:
                points.set_verified(tx, point.id, Verified.READ_BACK, now)
                if point.state is PointState.DAMAGED:
                    is_partial = bool(point.warnings)
                    points.set_point_state(tx, point.id, PointState.PARTIAL if is_partial else PointState.GOOD)


def _row(point: Point, damage: dict[str, str]) -> dict[str, object]:
    return {"point": point.id, "archive": point.archive, "ok": point.id not in damage, "error": damage.get(point.id)}

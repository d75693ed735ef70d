"""Points are read back; what is damaged is marked, with everything that builds on it, and never offered for a restore."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.damage import broken_points, proved_level, with_parents
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, UnknownPoint
from smartbackup_panel.core.model import Domain, Point, Verified
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import OnStep, on_step
from smartbackup_panel.services.dumping import check_dump
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.mending import mend_sidecars
from smartbackup_panel.services.tenants import start_agent

DAMAGE = (ArchiveDamaged, ArchiveMissing, ArchiveRefused)
SAMPLE_FILES = 200

Findings = dict[str, str | None]


def verify(context: JobContext, domain: Domain) -> Outcome:
    """Read back a point, or every point of the domain, as far as the job's `level` says; damage makes the job fail.

    Without a level one point is read with everything it builds on, and of all points each archive once.
    """
    installation, started = context.installation, time.monotonic()
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    wanted = context.job.params.get("point")
    chosen = [point for point in every if wanted in (None, point.id)]
    if wanted is not None and not chosen:
        raise UnknownPoint("there is no such restore point")
    level = Verified(str(context.job.params.get("level") or Verified.CHAIN))
    looked_at = with_parents(chosen, every) if level is Verified.CHAIN else chosen[::-1]
    with store.open_store(installation, domain) as folder_fd, start_agent(installation, domain) as agent:
        checked = find_cut_chains(installation, folder_fd, every)
        for point in looked_at:
            if is_readable(point, every, checked):
                hear = on_step(context, "verifying", agent)
                checked |= find_damage(context, agent, folder_fd, point, every, level, hear)
    broken = record_findings(installation, domain, checked, level)
    mend_sidecars(context, domain)
    return _outcome(domain, chosen, broken, checked, started)


def find_damage(
    context: JobContext,
    agent: Agent,
    folder_fd: int,
    point: Point,
    every: Sequence[Point],
    level: Verified,
    hear: OnStep,
) -> Findings:
    """Return what is wrong with a point's own archive and dumps in one sentence, or None, by the point's id.

    A damaged dump is found for every point that refers to it.
    """
    sample = SAMPLE_FILES if level is Verified.SAMPLED else 0
    dump_name = None
    try:
        if point.archive is not None:
            with store.open_point(context.installation, folder_fd, point.archive) as archive:
                agent.verify(archive, sample_files=sample, on_progress=hear)
        for dump in point.databases:
            dump_name = dump.archive
            check_dump(context.installation, folder_fd, dump)
    except DAMAGE as error:
        context.say(f"{dump_name or point.archive}: {error.message}", "error")
        sharing = [row for row in every if dump_name in {dump.archive for dump in row.databases}]
        return {row.id: error.message for row in (point, *sharing)}
    return {point.id: None}


def is_readable(point: Point, every: Sequence[Point], checked: Mapping[str, str | None]) -> bool:
    """Return whether a point's own archive is there, and so is everything that it builds on."""
    return checked.get(point.id) is None and (point.parent_id or "") not in broken_points(every, checked)


def record_findings(
    installation: Installation, domain: Domain, checked: Mapping[str, str | None], level: Verified
) -> dict[str, str]:
    """Mark damaged points and all that build on them, and what the others are proved to be; return what is wrong by id."""
    now = installation.clock.now()
    with installation.state.write() as tx:
        every = points.list_points(tx, domain.id)
        broken = broken_points(every, checked)
        for point in every:
            if point.id in broken:
                points.mark_damaged(tx, point.id, broken[point.id], now)
            elif point.id in checked:
                proved = level if level is Verified.SAMPLED else proved_level(point, every, checked)
                points.set_verified(tx, point, proved, now)
            else:
                points.lift_damage(tx, point)
    return broken


def find_cut_chains(installation: Installation, folder_fd: int, every: Sequence[Point]) -> Findings:
    """Return by id what is wrong with points whose archives are missing, cut off or others; their content is not read."""
    found: Findings = {}
    for point in every:
        if point.archive is not None:
            try:
                with store.open_point(installation, folder_fd, point.archive) as archive:
                    if archive.own.facts.root_digest.hex() != point.root_digest:
                        found[point.id] = f"{point.archive} is not the archive that was recorded"
            except DAMAGE as error:
                found[point.id] = error.message
    return found


def _outcome(
    domain: Domain, chosen: Sequence[Point], broken: Mapping[str, str], checked: Findings, started: float
) -> Outcome:
    damaged = [point for point in chosen if point.id in broken]
    result: dict[str, object] = {
        "domain": domain.name,
        "points": [
            {"point": row.id, "archive": row.archive, "ok": row.id not in broken, "error": broken.get(row.id)}
            for row in chosen
        ],
        "damaged": [point.id for point in damaged],
        "seconds": round(time.monotonic() - started, 3),
    }
    if not damaged:
        return Outcome(result)
    first = next(found for found in [*checked.values(), *broken.values()] if found)
    return Outcome(result, failure=ArchiveDamaged(f"{len(damaged)} of {len(chosen)} points are damaged: {first}"))

"""A kept increment whose chain is over is written again as a full point of its own, with its id and its time.

In this order: written, read back, compared with what it was, published under a noted name, recorded; the archive that it
had goes after that. A crash at any instant leaves the increment with its chain or the full point, never neither, and a note
of the files that whoever comes next removes (SECURITY rules 16 and 18).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from smartbackup_panel.adapters.db import people, points, policies
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, NoSpace
from smartbackup_panel.core.model import Domain, Point, PointKind, Verified
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.core.tree import ArchiveSummary, WriteOptions
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.point_copy import find_difference
from smartbackup_panel.services import publishing, store
from smartbackup_panel.services.alarms import clock_is_suspect
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.jobs import JobContext
from smartbackup_panel.services.policies import judge
from smartbackup_panel.services.requests import PLAN_HOLDS
from smartbackup_panel.services.tenants import start_agent

CANNOT = (ArchiveDamaged, ArchiveMissing, ArchiveRefused, NoSpace)


def make_new_fulls(context: JobContext, domain: Domain, needs: dict[str, set[str]]) -> list[Point]:
    """Write kept increments of chains that are over as full points and return them as they are now.

    `needs`, the archives that each point refers to, follows. What cannot be done (no room, damage) is said, and the chain
    stays as it is.
    """
    installation, now = context.installation, context.installation.clock.now()
    with installation.state.read() as tx:
        verdicts = [] if clock_is_suspect(tx, now) else judge(installation, tx, domain)
    wanted = [verdict.point for verdict in verdicts if verdict.becomes_full]
    left = {verdict.point.id for verdict in verdicts}
    made: list[Point] = []
    for point in wanted:
        if any(point.archive in needs.get(point_id, ()) for point_id in left - {point.id}):
            context.say(f"{point.archive} stays an increment: another archive needs it", "warning")
            continue
        try:
            full = _make_full(context, domain, point)
        except CANNOT as error:
            context.say(f"{point.archive} stays an increment: {error.message}", "warning")
            continue
        finally:
            store.remove_leftovers(installation, domain)
        if full is not None:
            needs[full.id] = {str(full.archive)}
            made.append(full)
            context.say(f"{point.archive} became a full point of its own, {full.archive}")
    return made


def _make_full(context: JobContext, domain: Domain, point: Point) -> Point | None:
    """Return the point as a full one; None where something has come to need the increment meanwhile."""
    installation = context.installation
    with (
        store.open_store(installation, domain) as folder_fd,
        store.open_point(installation, folder_fd, str(point.archive)) as earlier,
    ):
        sink = ArchiveSink.create(
            folder_fd,
            store.archive_name(point.created_at, PointKind.FULL, earlier.facts.codec),
            codec=earlier.facts.codec,
            key=installation.signing_key,
            byte_limit=store.check_room(installation, folder_fd),
        )
        try:
            summary = _write(context, domain, folder_fd, earlier, point, sink)
            full = _as_full(point, sink.name, summary, installation.clock.now())
            context.point_of_no_return("publishing")
            publishing.put_in_place(installation, domain, folder_fd, full, None, [sink])
        finally:
            sink.discard()
    return full if _record(context, domain, point, full) else None


def _write(
    context: JobContext, domain: Domain, folder_fd: int, earlier: ArchiveSet, point: Point, sink: ArchiveSink
) -> ArchiveSummary:
    """Write the full archive, read all of it back and compare its list with the point's."""
    installation = context.installation
    codec, level = store.compression(installation)
    options = WriteOptions(
        PointKind.FULL,
        bytes.fromhex(point.id),
        point.created_at,
        sink.codec,
        level if codec is sink.codec else store.DEFAULT_LEVELS[sink.codec],
        context.breather.threads(),
    )
    with start_agent(installation, domain) as agent:
        summary = agent.copy_point(sink, options, earlier, on_step(context, "writing", agent))
        with store.open_unpublished(installation, folder_fd, sink) as written:
            agent.verify(written, on_progress=on_step(context, "verifying", agent))
            if (path := find_difference(earlier, written)) is not None:
                raise ArchiveDamaged(f"{sink.name} differs from {earlier.name} at {quoted(path)}")
    return summary


def _as_full(point: Point, archive: str, summary: ArchiveSummary, now: datetime) -> Point:
    return replace(
        point,
        kind=PointKind.FULL,
        archive=archive,
        archive_bytes=summary.archive_bytes,
        parent_id=None,
        root_digest=summary.root_digest.hex(),
        sha256=summary.archive_sha256.hex(),
        unchanged=False,
        synthetic=True,
        verified=Verified.READ_BACK,
        verified_at=now,
    )


def _record(context: JobContext, domain: Domain, point: Point, full: Point) -> bool:
    """Record the new archive and note the old one for removal; not where a job or another point needs the old one now."""
    installation, now = context.installation, context.installation.clock.now()
    with installation.state.write() as tx:
        every = {row.id: row for row in points.list_points(tx, domain.id)}
        found = every.get(point.id)
        is_needed = any(row.parent_id == point.id for row in every.values())
        is_in_use = point.id in policies.points_in_use(tx, domain.id, now - PLAN_HOLDS)
        if found is None or found.archive != point.archive or not found.is_restorable or is_needed or is_in_use:
            return False
        detail: dict[str, object] = {"point": point.id, "archive": point.archive, "full": full.archive}
        people.add_audit(tx, now, context.job.actor, "full point of an increment", domain.id, context.job.id, detail)
        points.replace_archive(tx, full)
        store.forget_names(tx, domain)
        store.note_removal(tx, domain, [point], now)
    return True

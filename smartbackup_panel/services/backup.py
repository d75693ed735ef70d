"""A restore point is made: databases, then files; read back; published; recorded. In that order (SECURITY rule 16)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime

from smartbackup_panel.adapters.db import jobs, points
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.damage import broken_points
from smartbackup_panel.core.errors import DatabaseRefused, SmartBackupError
from smartbackup_panel.core.model import (
    Domain,
    Point,
    PointKind,
    PointState,
    Strategy,
    Verified,
)
from smartbackup_panel.core.strategy import NextPoint, choose_point
from smartbackup_panel.core.tree import ArchiveSummary, NameList, ScanOptions, ScanSummary, WriteOptions
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import conclude, on_step
from smartbackup_panel.services.chain_check import is_chain_sound
from smartbackup_panel.services.dumping import Dumps, dump_databases
from smartbackup_panel.services.exclusions import Site, find_critical, left_out_fields, scan_options
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.mending import mend_sidecars
from smartbackup_panel.services.publishing import publish, renew_lists
from smartbackup_panel.services.tenants import start_agent
from smartbackup_panel.services.verification import DAMAGE, find_cut_chains, record_findings

LISTED_SKIPPED = 200
NAMED_SILENT = 5
AFTER_DAMAGE = NextPoint(PointKind.FULL, "the point to build on is damaged", None, reads_whole=True)


@dataclass
class Work:
    """A point in the making: what was asked for, what was found so far, and how long each phase took (seconds)."""

    context: JobContext
    domain: Domain
    folder_fd: int
    moment: datetime
    limit_bytes: int
    found: dict[str, object] = field(default_factory=dict)
    dumps: Dumps = field(default_factory=Dumps)
    sink: ArchiveSink | None = None
    summary: ArchiveSummary | None = None
    chosen: NextPoint | None = None
    options: ScanOptions = field(default_factory=ScanOptions)
    warnings: list[str] = field(default_factory=list)
    left_out: dict[str, object] | None = None
    phases: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("scan", "write", "databases", "verify"), 0.0)
    )

    def wants(self, part: str) -> bool:
        return bool(self.context.job.params.get(part, True))

    def discard(self) -> None:
        """Remove what was written and not published."""
        self.dumps.discard()
        if self.sink is not None:
            self.sink.discard()


def back_up(context: JobContext, domain: Domain) -> Outcome:
    """Make a restore point of a domain and return it as the command line's JSON has it."""
    started = time.monotonic()
    if context.job.result is not None:
        return _recorded_before(context, domain)
    store.remove_leftovers(context.installation, domain)
    with (
        store.open_store(context.installation, domain) as folder_fd,
        start_agent(context.installation, domain) as agent,
    ):
        moment = store.free_moment(folder_fd, context.installation.clock.now())
        work = Work(context, domain, folder_fd, moment, store.check_room(context.installation, folder_fd))
        with on_failure(work.discard):
            work.found = agent.inspect()
            if work.wants("databases"):
                began = time.monotonic()
                work.dumps = dump_databases(
                    context, domain, work.found, folder_fd, moment, work.limit_bytes, may_refer=work.wants("files")
                )
                work.phases["databases"] = time.monotonic() - began
            if work.wants("files"):
                _write_files(work, agent)
            elif not work.dumps.files:
                raise _nothing_dumped(work)
            outcome = _publish(work, started)
    renew_lists(context, domain)
    return outcome


def _nothing_dumped(work: Work) -> DatabaseRefused:
    """Return why a point of databases alone cannot be made: an empty one would be offered for a restore."""
    return DatabaseRefused(
        work.dumps.warnings[0] if work.dumps.warnings else f"no database of {work.domain.name} was found",
        hint="Back up the files, or put a login that works into the site's configuration.",
    )


def _recorded_before(context: JobContext, domain: Domain) -> Outcome:
    """Finish a job that was killed after its point was recorded: the point is its own, and is not made twice."""
    assert context.job.result is not None, "asked before"
    context.say("the restore point had been recorded before the interruption")
    with context.installation.state.read() as tx:
        point = points.find_point(tx, domain.id, context.job.id)
    renew_lists(context, domain)
    return Outcome(dict(context.job.result), is_partial=point is not None and point.state is PointState.PARTIAL)


def _write_files(work: Work, agent: Agent) -> None:
    """Scan, decide what kind of point this is, write it, and read it back."""
    installation, began = work.context.installation, time.monotonic()
    work.options = scan_options(installation, work.domain, work.found)
    _warn_of_critical(work)
    earlier = _plan_point(work, Strategy.INCREMENTAL)
    base = _open_parent(work, earlier)
    try:
        summary = agent.scan(work.options, base, on_step(work.context, "reading the site", agent))
        work.left_out = left_out_fields(work.options, summary.excluded)
        concluded = conclude(work.context, work.domain, summary, work.found, time.monotonic() - began)
        work.chosen = _plan_point(work, concluded.schedule.strategy)
        base = _proved(work, agent, base)
        if base is not None and work.chosen.parent is not None and work.chosen.parent.archive != base.name:
            base.close()
            base = _open_parent(work, work.chosen)
            agent.compare(base)
        if base is None and work.chosen.parent is not None:
            work.chosen = AFTER_DAMAGE
        work.phases["scan"] = time.monotonic() - began
        _write_archive(work, agent, base, summary)
    except DAMAGE as error:
        if base is None:
            raise
        _write_alone(work, error)
    finally:
        if base is not None:
            base.close()


def _proved(work: Work, agent: Agent, base: ArchiveSet | None) -> ArchiveSet | None:
    """Return the point to build on, read back with its whole chain where all content is due to be read; None if damaged."""
    parent = work.chosen.parent if work.chosen is not None and work.chosen.reads_whole else None
    if base is None or parent is None:
        return base
    if is_chain_sound(work.context, work.domain, agent, work.folder_fd, parent):
        return base
    base.close()
    return None


def _write_alone(work: Work, error: SmartBackupError) -> None:
    """Write a full point that takes nothing from earlier ones, after damage was met in them; say which are damaged."""
    work.context.say(f"{error.message} A full point is made instead.", "warning")
    if work.sink is not None:
        work.sink.discard()
    work.chosen = AFTER_DAMAGE
    with start_agent(work.context.installation, work.domain) as agent:
        last = _last_with_files(work)
        if last is not None:
            is_chain_sound(work.context, work.domain, agent, work.folder_fd, last)
        summary = agent.scan(work.options, None, on_step(work.context, "reading the site", agent))
        _write_archive(work, agent, None, summary)


def _warn_of_critical(work: Work) -> None:
    """Say in the point what the patterns leave out that its site cannot be put back without."""
    missing = find_critical(work.options.exclude, Site.of(work.domain, work.found))
    if missing:
        work.warnings.append(f"The rules leave out what this site needs: {', '.join(missing)}.")


def _plan_point(work: Work, strategy: Strategy) -> NextPoint:
    asked = work.context.job.params.get("type", "auto")
    kind = None if asked == "auto" else PointKind(str(asked))
    installation = work.context.installation
    with installation.state.read() as tx:
        earlier = points.list_points(tx, work.domain.id)
    settings = installation.settings
    return choose_point(kind, strategy, earlier, work.moment, settings.full_every_days, settings.rehash_days)


def _open_parent(work: Work, planned: NextPoint) -> ArchiveSet | None:
    """Return the archives of the point to build on or to count against; None where it is damaged or there is none."""
    parent = planned.parent or planned.source or _last_with_files(work)
    if parent is None or parent.archive is None:
        return None
    try:
        opened = store.open_point(work.context.installation, work.folder_fd, parent.archive)
        opened.open_all()
    except DAMAGE as error:
        work.context.say(f"{error.message} A full point is made instead.", "warning")
        _mark_cut_chains(work, parent, error.message)
        return None
    return opened


def _mark_cut_chains(work: Work, parent: Point, damage: str) -> None:
    """Mark every point whose archives cannot be opened, this one among them."""
    installation, domain = work.context.installation, work.domain
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    cut = find_cut_chains(installation, work.folder_fd, every)
    if parent.id not in broken_points(every, cut):
        cut[parent.id] = damage
    record_findings(installation, domain, cut, Verified.READ_BACK)
    mend_sidecars(work.context, domain)


def _last_with_files(work: Work) -> Point | None:
    with work.context.installation.state.read() as tx:
        every = points.list_points(tx, work.domain.id)
    return next((point for point in every if point.archive and point.is_restorable), None)


def _write_archive(work: Work, agent: Agent, base: ArchiveSet | None, summary: ScanSummary) -> None:
    assert work.chosen is not None, "planned before"
    installation, began = work.context.installation, time.monotonic()
    codec, level = store.compression(installation)
    kind = work.chosen.kind
    work.context.say(f"{kind} point: {work.chosen.reason}; {summary.file_count} files, {summary.size_bytes} bytes")
    name = store.archive_name(work.moment, kind, codec)
    work.sink = ArchiveSink.create(
        work.folder_fd, name, codec=codec, key=installation.signing_key, byte_limit=work.limit_bytes
    )
    options = WriteOptions(
        kind,
        bytes.fromhex(work.context.job.id),
        work.moment,
        codec,
        level,
        work.context.breather.threads(),
        read_again=work.chosen.reads_whole,
        is_synthetic=work.chosen.source is not None and base is not None,
    )
    work.summary = agent.write(work.sink, options, base, on_step(work.context, "writing", agent))
    work.phases["write"] = time.monotonic() - began
    began = time.monotonic()
    with store.open_unpublished(installation, work.folder_fd, work.sink) as written:
        agent.verify(written, on_progress=on_step(work.context, "verifying", agent))
    work.phases["verify"] = time.monotonic() - began


def _publish(work: Work, started: float) -> Outcome:
    """Give the files their names and record the point with the job's result: all of it or, after a crash, nothing."""
    installation, domain = work.context.installation, work.domain
    parent = work.chosen.parent if work.chosen else None
    point = _point(work, parent, time.monotonic() - started)
    work.context.point_of_no_return("publishing")
    changes, outcome = work.summary.changes if work.summary else None, _outcome(work, point)
    publish(
        installation,
        domain,
        work.folder_fd,
        point,
        parent,
        [*work.dumps.sinks, *([work.sink] if work.sink else [])],
        changed=(*changes.added.names, *changes.changed.names) if changes else (),
        record_with=lambda tx: jobs.set_result(tx, work.context.job.id, outcome.result),
    )
    return outcome


def _point(work: Work, parent: Point | None, seconds: float) -> Point:
    summary, sink = work.summary, work.sink
    warnings = [*work.warnings, *work.dumps.warnings]
    is_partial = work.dumps.is_partial
    skipped = summary.skipped if summary else None
    if summary and summary.unstable.count:
        warnings.append(f"{summary.unstable.count} files changed while they were read; their content may be mixed.")
    if summary and summary.silent.count:
        warnings.append(_silent_warning(summary.silent))
    if skipped and skipped.loss_count:
        warnings.append(f"{skipped.loss_count} paths could not be read and are not in this point.")
        is_partial = True
    is_partial |= bool(summary and summary.unstable.count)
    return Point(
        id=work.context.job.id,
        domain_id=work.domain.id,
        kind=summary.kind if summary else PointKind.FULL,
        state=PointState.PARTIAL if is_partial else PointState.GOOD,
        verified=Verified.READ_BACK,
        created_at=work.moment,
        archive=sink.name if sink else None,
        archive_bytes=summary.archive_bytes if summary else 0,
        original_bytes=summary.original_bytes if summary else 0,
        file_count=summary.file_count if summary else 0,
        added=summary.changes.added.count if summary else 0,
        changed=summary.changes.changed.count if summary else 0,
        deleted=summary.changes.removed.count if summary else 0,
        parent_id=parent.id if parent else None,
        root_digest=summary.root_digest.hex() if summary else None,
        sha256=summary.archive_sha256.hex() if summary else None,
        databases=tuple(work.dumps.files),
        skipped=tuple(
            {"path": row.path.decode("utf-8", "surrogateescape"), "reason": row.reason, "detail": row.detail}
            for row in (skipped.first[:LISTED_SKIPPED] if skipped else ())
        ),
        skipped_count=skipped.count if skipped else 0,
        warnings=tuple(warnings),
        seconds=round(seconds, 3),
        database_only=sink is None,
        unchanged=bool(summary and summary.is_unchanged),
        synthetic=bool(summary and work.chosen and work.chosen.source),
        read_whole=bool(summary and work.chosen and work.chosen.reads_whole),
        left_out=work.left_out,
    )


def _silent_warning(silent: NameList) -> str:
    named = ", ".join(name.decode("utf-8", "backslashreplace") for name in silent.names[:NAMED_SILENT])
    return (
        f"{silent.count} files have other content than in the earlier points although nothing says that they were changed: "
        f"{named}{'…' if silent.count > NAMED_SILENT else ''}. A disk may be failing; the earlier points have what they were."
    )


def _outcome(work: Work, point: Point) -> Outcome:
    result: dict[str, object] = {
        "domain": work.domain.name,
        "point": point.id,
        "type": point.kind,
        "archive": point.archive,
        "archive_bytes": point.archive_bytes,
        "original_bytes": point.original_bytes,
        "file_count": point.file_count,
        "changed": point.added + point.changed,
        "added": point.added,
        "deleted": point.deleted,
        "unchanged": point.unchanged,
        "synthetic": point.synthetic,
        "databases": [
            {
                "database": dump.database,
                "archive": dump.archive,
                "archive_bytes": dump.archive_bytes,
                "unchanged": dump.is_earlier,
            }
            for dump in point.databases
        ],
        "skipped": list(point.skipped),
        "skipped_count": point.skipped_count,
        "warnings": list(point.warnings),
        "verified": point.verified,
        "state": point.state,
        "seconds": point.seconds,
        "phases": {name: round(seconds, 3) for name, seconds in work.phases.items()},
    }
    return Outcome(result, is_partial=point.state is PointState.PARTIAL)

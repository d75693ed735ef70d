"""One archive of another program unpacked, and the point that is made of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import NoSpace, UnknownPoint
from smartbackup_panel.core.import_chain import Place
from smartbackup_panel.core.model import Domain, Point, PointKind, PointState, Verified
from smartbackup_panel.core.tree import ArchiveSummary, ScanOptions, TarSurvey, WriteOptions
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.import_dumps import ImportedDumps
from smartbackup_panel.services.import_sources import OpenSource, Source
from smartbackup_panel.services.jobs import JobContext
from smartbackup_panel.services.publishing import publish

LISTED_SKIPPED = 200
BLOCK_BYTES = 4096
"""What a file takes on a disk at least."""


@dataclass
class Scratch:
    """The folder that archives are unpacked into (`scratch_fd`), and the domain's of the store (`folder_fd`).

    `tree_of` is the point whose files it holds now; "" when it is empty or holds nothing whole.
    """

    context: JobContext
    domain: Domain
    folder_fd: int
    scratch_fd: int
    tree_of: str = ""
    warnings: tuple[str, ...] = ()
    began: float = 0.0

    def unpack(self, source: Source, found: OpenSource, survey: TarSurvey, place: Place | None, agent: Agent) -> None:
        """Unpack an archive, an increment over the files of the point before it. Raises NoSpace and what agents raise."""
        self.began = time.monotonic()
        previous = None if place is None else self._point(place.previous.point_id)
        is_there = previous is not None and self.tree_of == previous.id
        self.tree_of = ""
        self.check_room(survey, None if is_there else previous)
        self._lay_out(previous, agent, is_there=is_there)
        told = on_step(self.context, "unpacking", agent)
        unpacked = agent.unpack_tar(found.fd, source.name, survey.strip, told, may_replace=previous is not None)
        found.refuse_changed(source.name)
        self.warnings = unpacked.warnings

    def _lay_out(self, previous: Point | None, agent: Agent, *, is_there: bool) -> None:
        """Let the folder hold what an increment is laid over, and the agent know whose files that are; else be empty."""
        if previous is None:
            agent.use_folder(self.scratch_fd)
            agent.empty(self.scratch_fd)
            return
        with self._open(previous) as archives:
            if is_there:
                agent.use_folder(self.scratch_fd, archives)
                return
            agent.use_folder(self.scratch_fd)
            agent.empty(self.scratch_fd)
            agent.fill(archives, self.scratch_fd, on_step(self.context, "laying out", agent))

    def make_point(
        self,
        agent: Agent,
        moment: datetime,
        parent_id: str | None,
        dumps: ImportedDumps,
        imported: dict[str, object],
        warnings: Sequence[str],
        *,
        is_partial: bool,
    ) -> Point:
        """Return the point of what was unpacked: written, read back and recorded."""
        parent = None if parent_id is None else self._point(parent_id)
        point_id = secrets.token_hex(16)
        with ExitStack() as begun:
            begun.enter_context(on_failure(dumps.discard))
            with nullcontext() if parent is None else self._open(parent) as earlier:
                sink, summary = self._write(agent, moment, point_id, earlier)
            begun.enter_context(on_failure(sink.discard))
            said = (*warnings, *self.warnings, *dumps.warnings)
            is_partial |= dumps.is_partial or bool(summary.skipped.loss_count)
            point = self._new_point(point_id, moment, dumps, imported, said, is_partial=is_partial)
            point = _with_files(point, sink, summary, parent)
            changed = (*summary.changes.added.names, *summary.changes.changed.names)
            publish(
                self.context.installation,
                self.domain,
                self.folder_fd,
                point,
                parent,
                [*dumps.sinks, sink],
                changed=changed,
            )
        self.tree_of = point.id
        return point

    def make_point_of_dumps(self, moment: datetime, dumps: ImportedDumps, imported: dict[str, object]) -> Point:
        """Return the point of dumps alone."""
        point = self._new_point(
            secrets.token_hex(16), moment, dumps, imported, tuple(dumps.warnings), is_partial=dumps.is_partial
        )
        with on_failure(dumps.discard):
            publish(self.context.installation, self.domain, self.folder_fd, point, None, dumps.sinks)
        return point

    def _write(
        self, agent: Agent, moment: datetime, point_id: str, earlier: ArchiveSet | None
    ) -> tuple[ArchiveSink, ArchiveSummary]:
        """Return the written archive of the unpacked files, read back and not published yet."""
        installation = self.context.installation
        codec, level = store.compression(installation)
        kind = PointKind.FULL if earlier is None else PointKind.INCREMENTAL
        agent.scan(ScanOptions(), earlier, on_step(self.context, "reading the files", agent))
        sink = ArchiveSink.create(
            self.folder_fd,
            store.archive_name(moment, kind, codec),
            codec=codec,
            key=installation.signing_key,
            byte_limit=store.check_room(installation, self.folder_fd),
        )
        with on_failure(sink.discard):
            options = WriteOptions(kind, bytes.fromhex(point_id), moment, codec, level, self.context.breather.threads())
            summary = agent.write(sink, options, earlier, on_step(self.context, "writing", agent))
            with store.open_unpublished(installation, self.folder_fd, sink) as written:
                agent.verify(written, on_progress=on_step(self.context, "verifying", agent))
        return sink, summary

    def _new_point(
        self,
        point_id: str,
        moment: datetime,
        dumps: ImportedDumps,
        imported: dict[str, object],
        warnings: tuple[str, ...],
        *,
        is_partial: bool,
    ) -> Point:
        """Return a point of dumps alone, pinned: nobody knows whether there is another copy."""
        return Point(
            id=point_id,
            domain_id=self.domain.id,
            kind=PointKind.FULL,
            state=PointState.PARTIAL if is_partial else PointState.GOOD,
            verified=Verified.READ_BACK,
            created_at=moment,
            archive=None,
            archive_bytes=0,
            original_bytes=0,
            file_count=0,
            added=0,
            changed=0,
            deleted=0,
            parent_id=None,
            root_digest=None,
            sha256=None,
            databases=tuple(dumps.files),
            warnings=warnings,
            seconds=round(time.monotonic() - self.began, 3) if self.began else 0.0,
            database_only=True,
            pinned=True,
            verified_at=self.context.installation.clock.now(),
            imported=imported,
        )

    def check_room(self, survey: TarSurvey, laid_out: Point | None = None) -> None:
        """Raise NoSpace where the unpacked files and an archive that compresses nothing of them would pass the reserve."""
        usable = store.check_room(self.context.installation, self.folder_fd)
        needed = 2 * survey.size_bytes + BLOCK_BYTES * survey.file_count
        if laid_out is not None:
            needed += laid_out.original_bytes + BLOCK_BYTES * laid_out.file_count
        if needed > usable:
            raise NoSpace(f"the import needs {needed} bytes in the store, and there are {usable} besides the reserve")

    def _point(self, point_id: str) -> Point:
        with self.context.installation.state.read() as tx:
            found = points.find_point(tx, self.domain.id, point_id)
        if found is None:
            raise UnknownPoint("the point that the increment builds on is no longer there")
        return found

    def _open(self, point: Point) -> ArchiveSet:
        assert point.archive is not None, "made of an archive"
        return store.open_point(self.context.installation, self.folder_fd, point.archive)


def _with_files(point: Point, sink: ArchiveSink, summary: ArchiveSummary, parent: Point | None) -> Point:
    """Return the point with what its archive holds."""
    return replace(
        point,
        kind=summary.kind,
        archive=sink.name,
        archive_bytes=summary.archive_bytes,
        original_bytes=summary.original_bytes,
        file_count=summary.file_count,
        added=summary.changes.added.count,
        changed=summary.changes.changed.count,
        deleted=summary.changes.removed.count,
        parent_id=parent.id if parent else None,
        root_digest=summary.root_digest.hex(),
        sha256=summary.archive_sha256.hex(),
        skipped=tuple(
            {"path": row.path.decode("utf-8", "surrogateescape"), "reason": row.reason, "detail": row.detail}
            for row in summary.skipped.first[:LISTED_SKIPPED]
        ),
        skipped_count=summary.skipped.count,
        database_only=False,
        unchanged=summary.is_unchanged,
    )

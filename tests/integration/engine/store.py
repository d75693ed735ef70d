"""A store for the engine's tests: points of one site, written, verified, published and restored by real agents."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smartbackup_panel.core.tree import (
    AgentPurpose,
    ArchiveSummary,
    Codec,
    PointKind,
    Progress,
    RestoreOptions,
    ScanOptions,
    ScanSummary,
    StageSummary,
    Tenant,
    VerifySummary,
    WriteOptions,
)
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink

KEY = b"a key that only the worker holds"
SUFFIXES = {PointKind.FULL: "", PointKind.INCREMENTAL: "_incremental", PointKind.DIFFERENTIAL: "_differential"}
START = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
OnProgress = Callable[[Progress], None]


class Store:
    """The archives of one site. `names` are in the order of writing."""

    def __init__(self, folder: Path, site: Path, tenant: Tenant | None = None) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.site = site
        self.tenant = tenant
        self.names: list[str] = []
        self.scanned: ScanSummary | None = None
        self.fd = os.open(folder, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.fd)

    def agent(self, purpose: AgentPurpose = AgentPurpose.READ) -> Agent:
        """Start an agent for the site as its tenant."""
        return Agent.start(str(self.site), self.tenant, purpose=purpose)

    def sink(self, kind: PointKind, codec: Codec = Codec.GZIP, byte_limit: int | None = None) -> ArchiveSink:
        """Begin the next archive."""
        moment = START + timedelta(hours=len(self.names))
        ending = "gz" if codec is Codec.GZIP else "zst"
        name = f"backup_{moment:%Y%m%d_%H%M%S}{SUFFIXES[kind]}.tar.{ending}"
        return ArchiveSink.create(self.fd, name, codec=codec, key=KEY, byte_limit=byte_limit)

    def back_up(
        self,
        kind: PointKind = PointKind.FULL,
        *,
        earlier: int | None = None,
        codec: Codec = Codec.GZIP,
        level: int = 6,
        scan: ScanOptions | None = None,
        read_again: bool = False,
        is_synthetic: bool = False,
        on_progress: OnProgress | None = None,
    ) -> ArchiveSummary:
        """Write, read back and publish a point; `earlier` is the number of the point it builds on."""
        base = None if earlier is None else self.open(earlier)
        sink = self.sink(kind, codec)
        try:
            with self.agent() as agent:
                self.scanned = agent.scan(scan or ScanOptions(), base, on_progress)
                options = WriteOptions(
                    kind, os.urandom(16), START, codec, level, read_again=read_again, is_synthetic=is_synthetic
                )
                summary = agent.write(sink, options, base, on_progress)
                self.verify_unpublished(agent, sink)
            sink.publish()
        finally:
            sink.discard()
            if base is not None:
                base.close()
        self.names.append(sink.name)
        return summary

    def verify_unpublished(self, agent: Agent, sink: ArchiveSink) -> VerifySummary:
        """Read back a finished archive before it is published."""
        own = ArchiveFile(sink.open_for_reading(), sink.name, KEY)
        with ArchiveSet(own, self.fd, KEY) as written:
            return agent.verify(written)

    def open(self, number: int = -1) -> ArchiveSet:
        """Open a point by its number."""
        return ArchiveSet.open(self.fd, self.names[number], KEY)

    def path_of(self, sink: ArchiveSink) -> Path:
        """Return the unpublished file of a sink."""
        return self.folder / f"{sink.name}.part"

    def path(self, number: int = -1) -> Path:
        """Return the file of a point's own archive."""
        return self.folder / self.names[number]

    def verify(self, number: int = -1, *, whole_chain: bool = True) -> VerifySummary:
        """Read back a point."""
        with self.open(number) as point, self.agent() as agent:
            return agent.verify(point, whole_chain=whole_chain)

    def restore_into(self, folder: Path, number: int = -1, options: RestoreOptions | None = None) -> StageSummary:
        """Restore a point into a folder of its own."""
        with self.open(number) as point, self.agent(AgentPurpose.RESTORE) as agent:
            return agent.write_into(point, str(folder), options or RestoreOptions())

    def restore(self, number: int = -1, options: RestoreOptions | None = None, job: str = "deadbeef") -> StageSummary:
        """Restore a point over the live site by stage, swap and discard of the old tree."""
        with self.open(number) as point, self.agent(AgentPurpose.RESTORE) as agent:
            staging = agent.prepare_staging(job)
            try:
                staged = agent.stage(point, staging, options or RestoreOptions())
                agent.swap(staging)
            finally:
                agent.discard(staging)
            return staged

"""Dumps in the store: one table is loaded from its own sections, without reading the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from smartbackup_panel.core.databases import DumpRun, LoadPart
from smartbackup_panel.core.model import DumpFile, Progress
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.dumps import write_dump
from smartbackup_panel.services import dumping
from smartbackup_panel.services.dump_pieces import stored_pieces
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext
from tests.integration.databases.schemas import RICH
from tests.integration.databases.tenant import Tenant


@dataclass
class Keys:
    """What reading a dump needs of an installation, and writing one of a job."""

    signing_key: bytes = b"k" * 32

    def progress(self, progress: Progress) -> None:
        assert progress.done_bytes > 0


def stored(folder_fd: int, run: DumpRun, name: str = "database_1.sql.gz") -> DumpFile:
    sink = ArchiveSink.create(folder_fd, name, codec=Codec.GZIP, key=Keys().signing_key, byte_limit=1 << 30)
    context = cast(JobContext, Keys())  # only its progress is called
    summary = write_dump(stored_pieces(context, run), sink)
    sink.publish()
    fields: dict[str, Any] = run.report.to_fields()
    return DumpFile("db", "mysql", name, summary.dump_bytes, summary.plain_bytes, summary.dump_sha256.hex(), fields)


def test_one_table_is_loaded_without_reading_the_others(alice: Tenant, tmp_path: Path) -> None:
    alice.sql(*RICH)
    folder_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    run = alice.adapter.dump(alice.login)
    dump = stored(folder_fd, run)
    before = alice.facts()
    alice.sql("DROP TABLE kinds")
    chosen = frozenset({"kinds"})
    installation = cast(Installation, Keys())  # only its key is read
    chunks = list(dumping.dump_bytes(installation, folder_fd, dump, chosen))
    assert b"INSERT INTO `children`" not in b"".join(chunks)
    alice.adapter.load(alice.login, chunks, "restore-1", run.report, part=LoadPart(chosen))
    alice.adapter.swap(alice.login, "restore-1")
    assert alice.facts() == before
    os.close(folder_fd)

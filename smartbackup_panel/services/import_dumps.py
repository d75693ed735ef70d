"""Dumps of the original design become dumps of ours: read to their end, statement by statement, and written anew.

What a restore could not run safely is refused here, so that a point never holds a dump that only looks like one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.errors import Cancelled, LoadFailed, SmartBackupError
from smartbackup_panel.core.import_chain import Known
from smartbackup_panel.core.model import Domain, DumpFile
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.dumps import verify_dump, write_dump
from smartbackup_panel.engine.gzip_stream import GzipStream
from smartbackup_panel.services import store
from smartbackup_panel.services.dump_pieces import stored_pieces
from smartbackup_panel.services.dumping import Dumps
from smartbackup_panel.services.import_sources import OpenSource, Source, opened
from smartbackup_panel.services.jobs import JobContext

KIND = "mysql"
MOST_BYTES = 1 << 42
MOST_RATIO = 200
_CHUNK_BYTES = 1024 * 1024

Row = dict[str, object]


@dataclass
class ImportedDumps(Dumps):
    """Dumps that were taken over, not published yet, with what a point records of their sources."""

    fields: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    _taken: list[Row] = field(default_factory=list)

    def take(self, file: DumpFile, sink: ArchiveSink, sha256: str, row: Row) -> None:
        """Take in a dump that was written; `row` is its source's."""
        self.sinks.append(sink)
        self.add(file)
        self.fields.append({"source": row["source"], "sha256": sha256, "made_at": row["created_at"]})
        row["database"] = file.database
        self._taken.append(row)

    def say_point(self, point_id: str) -> None:
        """Say in the rows of the sources which point holds them."""
        for row in self._taken:
            row |= {"state": "imported", "point": point_id}


def import_dumps(
    context: JobContext,
    domain: Domain,
    folder_fd: int,
    dumps: Sequence[Source],
    logins: Sequence[DatabaseLogin],
    moment: datetime,
    known: Known,
    *,
    is_dry: bool,
) -> ImportedDumps:
    """Return what was taken over of dumps of one moment; one that is refused makes the point partial.

    `rows` of the result say of each source what became of it. `known` are the sources that are points already.
    """
    made = ImportedDumps()
    with on_failure(made.discard):
        for source in dumps:
            row = source.row()
            made.rows.append(row)
            name = store.dump_name(moment, source.named.database if len(dumps) > 1 else None)
            try:
                with opened(source, domain, context.installation.signing_key) as found:
                    point_id = known.find(found.sha256, source.made.at, source.kind)
                    if point_id is not None:
                        row |= {"state": "known", "point": point_id}
                    elif is_dry:
                        row |= {"state": "would be imported", **_read_through(context, source, found, logins)}
                    else:
                        made.take(*_store(context, source, found, logins, folder_fd, name), found.sha256, row)
            except Cancelled:
                raise
            except SmartBackupError as error:
                context.say(f"{source.path}: {error.message}", "warning")
                row |= refusal(error)
                made.warnings.append(f"The dump {source.name} is not in this point: {error.message}")
                made.is_partial = True
    return made


def refusal(error: SmartBackupError) -> Row:
    """Return what a source's row says of an error."""
    return {"state": "refused", "reason": error.message, "code": error.code, "hint": error.hint}


def _read_through(
    context: JobContext, source: Source, found: OpenSource, logins: Sequence[DatabaseLogin]
) -> dict[str, object]:
    """Return which database a dump is of and how many tables it holds; nothing is written."""
    run = context.installation.read_foreign_dump(source.name, _chunks(source, found))
    for _ in stored_pieces(context, run):
        pass
    return {"database": _database(source, run.report.name, logins), "tables": len(run.report.tables)}


def _store(
    context: JobContext,
    source: Source,
    found: OpenSource,
    logins: Sequence[DatabaseLogin],
    folder_fd: int,
    name: str,
) -> tuple[DumpFile, ArchiveSink]:
    """Return a dump written as ours under `name` and read back. Raises LoadFailed, ArchiveDamaged, NoSpace."""
    installation = context.installation
    run = installation.read_foreign_dump(source.name, _chunks(source, found))
    limit_bytes = store.check_room(installation, folder_fd)
    sink = ArchiveSink.create(folder_fd, name, codec=Codec.GZIP, key=installation.signing_key, byte_limit=limit_bytes)
    with on_failure(sink.discard):
        summary = write_dump(stored_pieces(context, run), sink, created_at=source.made.at)
        verify_dump(sink.open_for_reading(), name, installation.signing_key)
        found.refuse_changed(source.name)
        report = replace(run.report, name=_database(source, run.report.name, logins), started_at=source.made.at)
    file = DumpFile(
        database=report.name,
        kind=KIND,
        archive=name,
        archive_bytes=summary.dump_bytes,
        original_bytes=summary.plain_bytes,
        sha256=summary.dump_sha256.hex(),
        report=report.to_fields(),
        is_foreign=True,
    )
    return file, sink


def _chunks(source: Source, found: OpenSource) -> Iterator[bytes]:
    stream = GzipStream(found.fd, source.name, MOST_BYTES, MOST_RATIO)
    while chunk := stream.read_some(_CHUNK_BYTES):
        yield chunk


def _database(source: Source, said: str, logins: Sequence[DatabaseLogin]) -> str:
    """Return the database's name as the dump, its file's name or the site's configuration says it.

    It is a label: a restore goes into a database of the site's own configuration, whatever a dump says (rule 10).
    """
    own = [login.name for login in logins if login.kind == KIND]
    name = said or source.named.database or (own[0] if len(own) == 1 else "")
    if not name:
        raise LoadFailed(
            f"{source.name} does not say which database it is of, nor does the site's configuration",
            hint="Import it together with the archive of the site that it belongs to.",
        )
    return name

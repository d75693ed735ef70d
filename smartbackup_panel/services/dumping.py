"""The databases of a point: which there are, and their dumps into the store, read back before they count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.errors import DatabaseRefused, DumpFailed
from smartbackup_panel.core.model import Domain, DumpFile
from smartbackup_panel.core.row_rules import DumpPolicy, RowChoice, choose_policy
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.dumps import read_dump, read_sections, verify_dump, write_dump
from smartbackup_panel.services.database_logins import find_logins
from smartbackup_panel.services.dump_pieces import BETWEEN, open_dump, stored_pieces
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext
from smartbackup_panel.services.left_out import row_choice
from smartbackup_panel.services.store import dump_name
from smartbackup_panel.services.tenants import database_server
from smartbackup_panel.services.unchanged_dumps import find_unchanged

MOST_TRIES = 3
MOST_GIVEN_UP = 10
"""Tables of a database whose rows a point may lack; a database with more of them is not in it."""


@dataclass
class Dumps:
    """What was dumped, its sinks (finished, not published), and sentences about what is missing."""

    files: list[DumpFile] = field(default_factory=list)
    sinks: list[ArchiveSink] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_partial: bool = False

    def add(self, file: DumpFile) -> None:
        """Take in one database's dump with what its report says."""
        report = DumpReport.from_fields(file.report)
        self.files.append(file)
        self.warnings += report.warnings
        self.is_partial |= bool(report.missing)

    def discard(self) -> None:
        for sink in self.sinks:
            sink.discard()


def dump_databases(
    context: JobContext,
    domain: Domain,
    found: Mapping[str, object],
    folder_fd: int,
    moment: datetime,
    limit: int,
    may_refer: bool,
) -> Dumps:
    """Dump every database of the domain into unpublished files; `may_refer`: an unchanged one may use the last dump.

    A database that cannot be dumped makes the point partial with a sentence; the files are kept all the same.
    """
    made = Dumps()
    with on_failure(made.discard):
        with context.installation.state.read() as tx:
            choice = row_choice(context.installation, tx, domain)
        logins, made.warnings = find_logins(context.installation, domain, found)
        made.is_partial = bool(made.warnings)
        for login in logins:
            if login.kind not in context.installation.database_servers:
                made.warnings.append(
                    f"The database {login.name} is of a kind ({login.kind}) that is not backed up yet."
                )
                made.is_partial = True
                continue
            name = dump_name(moment, login.name if len(logins) > 1 else None)
            try:
                _dump_one(
                    context, domain, login, _policy_of(found, login, choice), folder_fd, name, limit, made, may_refer
                )
            except (DumpFailed, DatabaseRefused) as error:
                context.say(f"{error.message} {error.hint}", "error")
                made.warnings.append(f"The database {login.name} is not in this point: {error.message}")
                made.is_partial = True
    return made


def _policy_of(found: Mapping[str, object], login: DatabaseLogin, choice: RowChoice) -> DumpPolicy:
    """Return what is left out of a database of the application that was found."""
    rows = found.get("databases")
    listed = rows if isinstance(rows, Sequence) else ()
    prefix = next((row.get("table_prefix") for row in listed if row.get("name") == login.name), None)
    return choose_policy(str(found.get("kind")), str(prefix or ""), choice)


def _without(policy: DumpPolicy, failed: DumpFailed) -> DumpPolicy:
    """Return the policy for a dump without the table that stops it each time; raises the failure where there is none."""
    if failed.table is None or failed.table in policy.given_up or len(policy.given_up) >= MOST_GIVEN_UP:
        raise failed
    return replace(policy, given_up={**policy.given_up, failed.table: "it stopped the dump each time"})


def _dump_one(
    context: JobContext,
    domain: Domain,
    login: DatabaseLogin,
    policy: DumpPolicy,
    folder_fd: int,
    name: str,
    limit: int,
    made: Dumps,
    may_refer: bool,
) -> None:
    server = database_server(context.installation, domain, login.kind)
    earlier = find_unchanged(context, domain, server, login, policy, folder_fd) if may_refer else None
    if earlier is not None:
        context.say(f"{login.name} has not changed; the point refers to its dump {earlier.archive}")
        made.add(earlier)
        return
    attempt = 1
    while True:
        run = server.dump(login, policy)
        sink = ArchiveSink.create(
            folder_fd, name, codec=Codec.GZIP, key=context.installation.signing_key, byte_limit=limit
        )
        try:
            with on_failure(sink.discard):
                summary = write_dump(stored_pieces(context, run), sink)
                verify_dump(sink.open_for_reading(), name, context.installation.signing_key)
        except DumpFailed as failed:
            if attempt < MOST_TRIES:
                attempt += 1
                context.say(f"the dump of {login.name} failed, trying again: {failed.message}", "warning")
                continue
            policy = _without(policy, failed)
            context.say(f"trying without the rows of {failed.table}: {failed.message}", "warning")
        else:
            break
    made.sinks.append(sink)
    made.add(
        DumpFile(
            database=login.name,
            kind=login.kind,
            archive=name,
            archive_bytes=summary.dump_bytes,
            original_bytes=summary.plain_bytes,
            sha256=summary.dump_sha256.hex(),
            report=run.report.to_fields(),
        )
    )


def check_dump(installation: Installation, folder_fd: int, dump: DumpFile) -> None:
    """Read back a dump of the store. Raises ArchiveMissing, ArchiveDamaged, ArchiveRefused."""
    verify_dump(open_dump(folder_fd, dump), dump.archive, installation.signing_key)


def dump_bytes(
    installation: Installation, folder_fd: int, dump: DumpFile, tables: frozenset[str] | None = None
) -> Iterator[bytes]:
    """Yield the SQL of a dump of the store, each part after its checksum; of some tables, without reading the others.

    Raises UnknownPath for a table that the dump does not have.
    """
    sections: list[str] | None = None
    if tables is not None:
        file = ArchiveFile(open_dump(folder_fd, dump), dump.archive, installation.signing_key)
        with closing(file):
            names = [section.name for section in read_sections(file)]
        between = [name for name in names if name.startswith(BETWEEN)]
        sections = [*between, *(f"table:{table}" for table in tables)]
    return read_dump(open_dump(folder_fd, dump), dump.archive, installation.signing_key, sections)

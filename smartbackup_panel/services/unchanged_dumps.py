"""A database that has not changed costs a point no bytes: the point refers to the earlier dump.

Unchanged means that a new dump would be the same text to the last byte, which is found by making it and comparing the checksums
of its sections; nothing is compressed or written, and the first difference ends it. Neither of the server's own answers
would do: UPDATE_TIME is forgotten by a restart, and CHECKSUM TABLE adds up one CRC a row, so that two rows which exchange
their values go unnoticed by chance (tests/integration/databases/test_unchanged.py has such rows). What
the server says is used the other way round alone: a table that it knows to have changed spares the comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from smartbackup_panel.adapters.db import points
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import DatabaseServer, DumpPiece, DumpReport
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused, DumpFailed
from smartbackup_panel.core.model import Domain, DumpFile
from smartbackup_panel.core.row_rules import DumpPolicy
from smartbackup_panel.core.tree import DumpSection
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.dumps import read_sections, verify_dump
from smartbackup_panel.services.dump_pieces import open_dump, stored_pieces
from smartbackup_panel.services.jobs import JobContext


def find_unchanged(
    context: JobContext,
    domain: Domain,
    server: DatabaseServer,
    login: DatabaseLogin,
    policy: DumpPolicy,
    folder_fd: int,
) -> DumpFile | None:
    """Return the last dump of a database, read back now, when a new one would be the same; else None.

    Its report is the new one's. Raises DatabaseRefused.
    """
    earlier = _last_dump(context, domain, login)
    if earlier is None:
        return None
    report = DumpReport.from_fields(earlier.report)
    try:
        run = server.dump_again(login, policy, report)
        if run is None:
            return None
        with closing(stored_pieces(context, run)) as pieces:
            if not _is_same(pieces, _sections(context, folder_fd, earlier)):
                return None
        verify_dump(open_dump(folder_fd, earlier), earlier.archive, context.installation.signing_key)
    except (DumpFailed, ArchiveDamaged, ArchiveMissing, ArchiveRefused) as error:
        context.say(f"{login.name} is dumped anew: {error.message}", "warning")
        return None
    return replace(earlier, report=run.report.to_fields(), is_earlier=True)


def _last_dump(context: JobContext, domain: Domain, login: DatabaseLogin) -> DumpFile | None:
    with context.installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    last = next((point for point in every if point.is_restorable and point.databases), None)
    dumps = last.databases if last is not None else ()
    return next((dump for dump in dumps if (dump.kind, dump.database) == (login.kind, login.name)), None)


def _sections(context: JobContext, folder_fd: int, dump: DumpFile) -> list[DumpSection]:
    with closing(ArchiveFile(open_dump(folder_fd, dump), dump.archive, context.installation.signing_key)) as file:
        return read_sections(file)


def _is_same(pieces: Iterable[DumpPiece], expected: list[DumpSection]) -> bool:
    """Return whether the pieces have the names and contents of the sections; the first that has not ends it."""
    number, digest = -1, hashlib.sha256()
    for piece in pieces:
        if number < 0 or piece.section != expected[number].name:
            if number >= 0 and digest.digest() != expected[number].sha256:
                return False
            number, digest = number + 1, hashlib.sha256()
            if number >= len(expected) or expected[number].name != piece.section:
                return False
        digest.update(piece.chunk)
    return number == len(expected) - 1 and digest.digest() == expected[number].sha256

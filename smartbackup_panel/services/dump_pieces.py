"""Dumps between a database server and the store: their pieces as the store wants them, and their files."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing

from smartbackup_panel.core.databases import DumpPiece, DumpRun
from smartbackup_panel.core.errors import ArchiveMissing
from smartbackup_panel.core.model import DumpFile, Progress
from smartbackup_panel.services.jobs import JobContext

BETWEEN = "sql:"
"""Sections of this beginning hold what stands between tables; every load of a part needs them."""


def stored_pieces(context: JobContext, run: DumpRun) -> Generator[DumpPiece, None, None]:
    """Yield the pieces as the store wants them: what stands between sections has a name as well."""
    done, between, current = 0, 0, ""
    with closing(run.pieces()) as pieces:
        for piece in pieces:
            done += len(piece.chunk)
            context.progress(Progress("dumping", done_bytes=done))
            if piece.section is None and not current.startswith(BETWEEN):
                between += 1
            name = piece.section or f"{BETWEEN}{between}"
            yield DumpPiece(name, piece.chunk)
            current = name


def open_dump(folder_fd: int, dump: DumpFile) -> int:
    """Return a descriptor of a dump of the store. Raises ArchiveMissing."""
    try:
        return os.open(dump.archive, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    except FileNotFoundError:
        raise ArchiveMissing(f"the dump {dump.archive} is not in the store") from None

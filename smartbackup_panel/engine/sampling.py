"""Reading back a sample: the index whole, and the content of some files chosen by chance, wherever their bytes lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import randbelow

from smartbackup_panel.core.tree import EntryType, VerifySummary
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import IndexEntry, data_size, entry_type

Advanced = Callable[[int, int], None]


def verify_sample(point: ArchiveSet, wanted_files: int, advanced: Advanced) -> VerifySummary:
    """Check the whole index and `wanted_files` files of the point against their sha256. Raises ArchiveDamaged, ArchiveRefused.

    Every file is equally likely to be among them (reservoir sampling), so that repeated samples reach all of them.
    """
    started = time.monotonic()
    point.own.check_tables()
    chosen = _choose(point, wanted_files)
    chosen.sort(key=lambda entry: (entry.archive, entry.frame, entry.offset))
    read_bytes = 0
    for number, entry in enumerate(chosen, 1):
        for _ in point.checked_data(entry):
            pass
        read_bytes += data_size(entry)
        advanced(number, read_bytes)
    archives = {entry.archive for entry in chosen}
    return VerifySummary(len(archives), 0, len(chosen), read_bytes, time.monotonic() - started)


def _choose(point: ArchiveSet, wanted: int) -> list[IndexEntry]:
    chosen: list[IndexEntry] = []
    seen = 0
    for entry in point.index():
        if entry_type(entry) is not EntryType.FILE:
            continue
        seen += 1
        if len(chosen) < wanted:
            chosen.append(entry)
        elif (place := randbelow(seen)) < wanted:
            chosen[place] = entry
    return chosen

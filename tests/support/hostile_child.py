"""Unpacks a corpus of hostile archives in a process of its own and says how each went.

python -m tests.support.hostile_child tars|forged|contained WORK OUTSIDE
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveRefused
from smartbackup_panel.core.tree import RestoreOptions
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.fsafe import closing, remove_tree
from smartbackup_panel.engine.ownership import Ownership
from smartbackup_panel.engine.plain_extract import PlainExtract
from smartbackup_panel.engine.plain_tar import PlainTar, TarLimits, open_plain_tar
from smartbackup_panel.engine.restore_choice import choose
from smartbackup_panel.engine.restore_writer import Finisher, RestoreWriter
from tests.support import hostile_indexed, hostile_tars
from tests.unit.engine.forge import KEY, NAME

LIMITS = TarLimits(entries=50_000, seconds=8.0)
OWNERSHIP = Ownership(may_chown=False, uids=frozenset(), gids=frozenset(), web_gids=frozenset())


def ignore(_files: int, _size_bytes: int) -> None:
    """Progress is not what this is about."""


def unpack_tar(place: Path, content: Iterable[bytes]) -> None:
    """Write an archive's file, then unpack it beside it."""
    with (place.parent / "archive.tar.gz").open("wb") as file:
        for chunk in content:
            file.write(chunk)
    began = time.monotonic()
    store_fd, target_fd = os.open(place.parent, os.O_RDONLY), os.open(place, os.O_RDONLY)
    fd = open_plain_tar(store_fd, "archive.tar.gz")
    try:
        PlainExtract(target_fd, Finisher(OWNERSHIP), ignore).write(PlainTar(fd, "archive.tar.gz", LIMITS))
    finally:
        for each in (fd, store_fd, target_fd):
            os.close(each)
        report["seconds"] = time.monotonic() - began


def unpack_point(place: Path, make: Callable[[Path], None]) -> None:
    """Forge a point, then restore it as an agent would, all paths and one by one."""
    make(place.parent)
    began = time.monotonic()
    store_fd, target_fd = os.open(place.parent, os.O_RDONLY), os.open(place, os.O_RDONLY)
    try:
        with ArchiveSet.open(store_fd, NAME, KEY) as point:
            writer = RestoreWriter(point, target_fd, None, Finisher(OWNERSHIP), ignore)
            writer.write(choose(point.index(), (), RestoreOptions()))
    finally:
        os.close(store_fd)
        os.close(target_fd)
        report["seconds"] = time.monotonic() - began


report: dict[str, object] = {}


def _peak_mb() -> int:
    """Return the most memory this program had; getrusage(2) counts what the forked parent had before it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def attempt(name: str, work: Path, unpack: Callable[[Path], None]) -> dict[str, object]:
    """Return how unpacking one archive went."""
    place = work / name / "target"
    place.mkdir(parents=True)
    report.clear()
    try:
        unpack(place)
    except (ArchiveRefused, ArchiveDamaged) as error:
        with closing(os.open(work, os.O_RDONLY)) as work_fd:
            remove_tree(work_fd, os.fsencode(name))
        return report | {"outcome": "refused", "reason": error.message}
    return report | {"outcome": "contained", "reason": ""}


def main() -> None:
    kind, work, outside = sys.argv[1], Path(sys.argv[2]), os.fsencode(sys.argv[3])
    rows: dict[str, dict[str, object]] = {}
    if kind == "tars":
        for name, make in hostile_tars.refused_files(outside).items():
            rows[name] = attempt(name.replace("/", " "), work, partial(unpack_tar, content=make()))
    elif kind == "contained":
        for name, stream in hostile_tars.contained_streams(outside).items():
            rows[name] = attempt(name, work, partial(unpack_tar, content=[gzip.compress(stream)]))
    else:
        for name, forge in hostile_indexed.forged_points().items():
            rows[name] = attempt(name, work, partial(unpack_point, make=forge))
    rows["peak memory"] = {"mb": _peak_mb()}
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()

"""Getting things back: one file out of a chain of 1 and of 60 points, and everything."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.bench import ours
from tests.bench.measure import Contender, Sample, compare, run_pipeline
from tests.bench.site import make_mixed_site
from tests.bench.table import Bench, Row, most_row, ratio_row

_LONG_CHAIN = 60
_GIGABYTE_SCALE = 1.8
_WANTED = "wp-content/plugins/000/07/file-0000371.php"


def measure(bench: Bench) -> list[Row]:
    """Return the rows about reading."""
    site, store = bench.folder / "site", bench.folder / "store"
    size = make_mixed_site(site, bench.scale * _GIGABYTE_SCALE)
    archive = store / ours.ask("write", store, site)["name"]
    rows = [_one_file(bench, f"one file out of a point ({size}), chain of 1", store, site)]
    rows.append(_whole(bench, archive, store, site))
    for number in range(_LONG_CHAIN - 1):
        with open(site / _WANTED.replace("371", f"{372 + number % 20:03d}"), "ab") as file:
            file.write(b"// changed\n")
        ours.ask("write", store, site, kind="incremental")
    rows.insert(1, _one_file(bench, f"… chain of {_LONG_CHAIN}", store, site))
    return rows


def _one_file(bench: Bench, work: str, store: Path, site: Path) -> Row:
    read = Contender("file", lambda _: ours.sample(ours.ask("file", store, site, path=_WANTED)))
    (figure,) = compare([read], bench.rounds)
    return most_row(work, figure.seconds * 1000, 50, "ms")


def _whole(bench: Bench, archive: Path, store: Path, site: Path) -> Row:
    # What is restored stays until the end: ext4 looks for a new inode past each that was removed in the last minutes.
    contenders = [
        Contender("restore", partial(_restore, bench.folder, store, site)),
        Contender("pigz -dc \\| tar x", partial(_unpack, bench.folder, archive)),
    ]
    restored, unpacked = compare(contenders, bench.rounds)
    return ratio_row("whole restore, every file checked, durable", restored, unpacked, 1)


def _restore(folder: Path, store: Path, site: Path, number: int) -> Sample:
    target = folder / f"restored-{number}"
    return ours.sample(ours.ask("restore", store, site, path=target))


def _unpack(folder: Path, archive: Path, number: int) -> Sample:
    target = folder / f"unpacked-{number}"
    os.mkdir(target)
    return run_pipeline(["pigz", "-dc", str(archive)], ["tar", "-x", "-C", str(target)])

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
    contenders = [
        Contender("restore", partial(_restore, bench.folder, store, site)),
        Contender("pigz -dc \\| tar x", partial(_unpack, bench.folder, archive)),
    ]
    restored, unpacked = compare(contenders, bench.rounds)
    return ratio_row("whole restore, every file checked, durable", restored, unpacked, 1)


def _restore(folder: Path, store: Path, site: Path, number: int) -> Sample:
    target = folder / f"restored-{number}"
    took = ours.sample(ours.ask("restore", store, site, path=target))
    _empty_files(target)
    return took


def _unpack(folder: Path, archive: Path, number: int) -> Sample:
    target = folder / f"unpacked-{number}"
    os.mkdir(target)
    took = run_pipeline(["pigz", "-dc", str(archive)], ["tar", "-x", "-C", str(target)])
    _empty_files(target)
    return took


def _empty_files(folder: Path) -> None:
    """Free what a restored tree holds of the disk and of memory, so that all runs find the same.

    Its files stay: ext4 passes by every inode that was removed in the last minutes, which would cost the next run seconds.
    """
    for below, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(below, name)
            if not os.path.islink(path):
                os.truncate(path, 0)

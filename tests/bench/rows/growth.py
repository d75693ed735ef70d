"""How time and memory grow with the number of files."""

from __future__ import annotations

import shutil
from typing import Any

from tests.bench import ours
from tests.bench.site import make_plain_site
from tests.bench.table import Bench, Row, most_row

_STEPS = (1_000, 10_000, 50_000, 100_000, 1_000_000)
_ANALYSIS_AT = 50_000


def measure(bench: Bench) -> list[Row]:
    """Return a row for each step of the curve, and those of analysis and memory."""
    rows: list[Row] = []
    for count in _STEPS:
        if count <= bench.most_files:
            rows += _step(bench, count)
    return rows


def _step(bench: Bench, count: int) -> list[Row]:
    site, store = bench.folder / f"site-{count}", bench.folder / f"store-{count}"
    make_plain_site(site, count)
    scan = ours.ask("scan", store, site)
    full = ours.ask("write", store, site, verify=1)
    increment = ours.ask("write", store, site, kind="incremental", verify=1)
    shutil.rmtree(site)
    shutil.rmtree(store)
    return _rows(count, scan, full, increment)


def _rows(count: int, scan: dict[str, Any], full: dict[str, Any], increment: dict[str, Any]) -> list[Row]:
    each = f"full {full['seconds']:.2f} s, unchanged increment {increment['seconds']:.2f} s"
    peak = max(full["peak_bytes"], increment["peak_bytes"]) / 1e6
    most = 1.0 * max(1.0, count / _ANALYSIS_AT)
    return [
        most_row(f"analysis at {count:,} files", scan["seconds"], most, "s", each),
        most_row(f"memory of a job at {count:,} files", peak, 200, "MB"),
    ]

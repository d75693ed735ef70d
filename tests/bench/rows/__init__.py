"""The rows of the table, by the name that --rows takes. A module of rows has `measure(bench)`."""

from __future__ import annotations

from tests.bench import pacing
from tests.bench.rows import catalog, commands, files, full, growth, increment, synthetic
from tests.bench.table import Measure

ROWS: dict[str, Measure] = {
    "full": full.measure,
    "increment": increment.measure,
    "synthetic": synthetic.measure,
    "files": files.measure,
    "growth": growth.measure,
    "catalog": catalog.measure,
    "commands": commands.measure,
    "pacing": pacing.rows,
}

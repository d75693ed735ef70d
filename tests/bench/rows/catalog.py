"""Questions to the catalog at 100 points of up to 100,000 files; see tests/bench/catalog.py, which also runs alone."""

from __future__ import annotations

from tests.bench.catalog import run
from tests.bench.table import Bench, Row, most_row

_MOST_FILES = 100_000
_POINTS = 100
_BUDGET_MILLISECONDS = 100
_WORK = ("make the catalog", "forget a point", "compare the first")


def measure(bench: Bench) -> list[Row]:
    """Return a row for each question that a person waits for; what the worker does beside its jobs has no budget."""
    files = min(bench.most_files, _MOST_FILES)
    asked = [answer for answer in run(files, _POINTS, bench.folder) if not answer.question.startswith((*_WORK, "("))]
    detail = f"{files:,} files, {_POINTS} points"
    return [
        most_row(f"catalog: {answer.question}", answer.milliseconds, _BUDGET_MILLISECONDS, "ms", detail)
        for answer in asked
    ]

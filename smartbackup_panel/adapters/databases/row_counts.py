"""Rows then and now, and how much of a dump was read: the same for every kind of server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from smartbackup_panel.core.databases import DatabaseListing, DumpReport, LoadPart, Progress, TablePlan

EXACT_COUNT_BELOW_ROWS = 2_000_000


def plan_rows(
    report: DumpReport, listing: DatabaseListing, part: LoadPart, count: Callable[[str], int]
) -> tuple[TablePlan, ...]:
    """Return each table's rows in the dump and now, by name; `count` counts one that is no larger than two million rows.

    Of a part of a dump, its tables alone.
    """
    then = {table.name: table.rows for table in report.tables}
    now = {table.name: table.row_estimate for table in listing.tables}
    plans = []
    for name in sorted(name for name in then.keys() | now.keys() if part.takes(name)):
        is_estimate = now.get(name, 0) >= EXACT_COUNT_BELOW_ROWS
        rows_now = now.get(name) if is_estimate or name not in now else count(name)
        plans.append(TablePlan(name, then.get(name), rows_now, is_estimate))
    return tuple(plans)


def counted(chunks: Iterable[bytes], on_progress: Progress | None) -> Iterator[bytes]:
    """Yield the chunks; `on_progress` hears how many bytes were taken so far."""
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if on_progress is not None:
            on_progress(done)

"""Figures of one domain or of the server: how reliably, how often, how large, how fast, and what was saved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from smartbackup_panel.adapters.db import schedules, statistics
from smartbackup_panel.adapters.db.statistics import PointFigures
from smartbackup_panel.core.model import Actor, JobState, PointKind
from smartbackup_panel.core.schedule import interval_of
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation

PERIOD_DAYS = 90


@dataclass(frozen=True, slots=True)
class Figures:
    """Ratios lie between 0.0 and 1.0 and are None where there is nothing to compute them from; sizes are bytes.

    `saved_by_increments` and `saved_by_compression` are shares of what full, uncompressed points would take;
    `saved_by_exclusions` of the newest points' files with the excluded ones, `saved_by_tables` of their databases' text;
    `achieved_interval_seconds` is the longest time between two points that follow each other.
    """

    runs: int
    success_ratio: float | None
    points: int
    stored_bytes: int
    original_bytes: int
    growth_bytes_a_day: float | None
    planned_interval_seconds: float | None
    achieved_interval_seconds: float | None
    saved_by_increments: float | None
    saved_by_compression: float | None
    saved_by_exclusions: float | None
    saved_by_tables: float | None
    tables_left_out: int
    mean_seconds: float | None
    forecast_seconds: float | None


def domain_figures(installation: Installation, actor: Actor, domain_id: str) -> Figures:
    """Return the figures of one domain over the last 90 days. Raises UnknownDomain."""
    now = installation.clock.now()
    since = now - timedelta(days=PERIOD_DAYS)
    with installation.state.read() as tx:
        domain = domain_by_id(tx, actor, domain_id)
        ended = statistics.count_backups(tx, since, domain.id)
        rows = statistics.list_figures(tx, since, domain.id)
        plan = schedules.find_schedule(tx, domain.id)
    planned = interval_of(plan, now).total_seconds() if plan is not None else None
    return _figures(ended, rows, planned)


def server_figures(installation: Installation) -> Figures:
    """Return the figures of all domains together over the last 90 days; intervals are the domains' own and left out."""
    since = installation.clock.now() - timedelta(days=PERIOD_DAYS)
    with installation.state.read() as tx:
        return _figures(statistics.count_backups(tx, since), statistics.list_figures(tx, since), None, is_server=True)


def _figures(
    ended: dict[str, int], rows: list[PointFigures], planned: float | None, *, is_server: bool = False
) -> Figures:
    runs = sum(count for state, count in ended.items() if state != JobState.CANCELLED)
    good = ended.get(JobState.DONE, 0) + ended.get(JobState.PARTIAL, 0)
    newest = list({row.domain_id: row for row in rows}.values())
    fulls = [row for row in rows if row.kind == PointKind.FULL]
    stored = sum(row.archive_bytes + row.dump_bytes for row in rows)
    content = sum(row.original_bytes for row in rows)
    archives = sum(row.archive_bytes for row in rows)
    full_ratio = _ratio(sum(row.archive_bytes for row in fulls), sum(row.original_bytes for row in fulls))
    return Figures(
        runs=runs,
        success_ratio=_rounded(_ratio(good, runs)),
        points=len(rows),
        stored_bytes=stored,
        original_bytes=sum(row.original_bytes for row in newest),
        growth_bytes_a_day=None if is_server else _growth(rows),
        planned_interval_seconds=planned,
        achieved_interval_seconds=None if is_server else _longest_gap([row.created_at for row in rows]),
        saved_by_increments=_rounded(_saved(archives, content * full_ratio if full_ratio else 0)),
        saved_by_compression=_rounded(1 - full_ratio) if full_ratio is not None else None,
        saved_by_exclusions=_left_out([(row.excluded_bytes, row.original_bytes) for row in newest]),
        saved_by_tables=_left_out([(row.rows_left_out_bytes, row.dump_original_bytes) for row in newest]),
        tables_left_out=sum(row.tables_left_out for row in newest),
        mean_seconds=_rounded(_ratio(sum(row.seconds for row in rows), len(rows))),
        forecast_seconds=_forecast(rows),
    )


def _forecast(rows: list[PointFigures]) -> float | None:
    """Return how long the next run may take: the mean of the last five of the newest one's kind (seconds)."""
    same = [row.seconds for row in rows if row.kind == rows[-1].kind][-5:]
    return round(sum(same) / len(same), 3) if same else None


def _growth(rows: list[PointFigures]) -> float | None:
    if len(rows) < 2 or rows[-1].created_at <= rows[0].created_at:
        return None
    days = (rows[-1].created_at - rows[0].created_at) / timedelta(days=1)
    return round((rows[-1].original_bytes - rows[0].original_bytes) / days, 1)


def _longest_gap(moments: list[datetime]) -> float | None:
    return max(((later - earlier).total_seconds() for earlier, later in pairwise(moments)), default=None)


def _left_out(sizes: list[tuple[int, int]]) -> float | None:
    """Return the share of what was left out, from pairs of its bytes and those that were kept."""
    left_out, kept = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
    return _rounded(_ratio(left_out, left_out + kept))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _saved(taken: float, otherwise: float) -> float | None:
    return max(0.0, 1 - taken / otherwise) if otherwise else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

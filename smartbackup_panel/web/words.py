"""The one object that templates speak through: figures and times in the right zone, states in words, charts.

Templates get it as `sb`, so that nothing is added to the filters of a host panel's own template environment.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from smartbackup_panel.core.databases import DumpReport, TableDump
from smartbackup_panel.core.model import Actor, DumpFile, Job, JobKind, Point, ScheduleLine
from smartbackup_panel.core.scrub import bytes_of
from smartbackup_panel.services.pages import Comparison, DomainRow
from smartbackup_panel.services.policies import rules_in_words
from smartbackup_panel.web import charts, cron_words, filters, wording


@dataclass(frozen=True, slots=True)
class Words:
    """Everything that a page says that is not in its template. `actor` is None only on pages before the login."""

    zone: ZoneInfo
    now: datetime
    actor: Actor | None
    csrf_field: str
    csrf_token: Callable[[], str]
    base_template: str
    is_embedded: bool
    live: str
    has_accounts: bool

    visible = staticmethod(filters.visible)
    visible_line = staticmethod(filters.visible_line)
    count = staticmethod(filters.count)
    size = staticmethod(filters.size)
    duration = staticmethod(filters.duration)
    begin = staticmethod(filters.begin)
    percent = staticmethod(filters.percent)
    domain_status = staticmethod(wording.domain_status)
    point_status = staticmethod(wording.point_status)
    proof_of = staticmethod(wording.proof_of)
    proof_in_short = staticmethod(wording.proof_in_short)
    left_out_of = staticmethod(wording.left_out_of)
    refusal_of = staticmethod(wording.refusal_of)
    job_status = staticmethod(wording.job_status)
    job_headline = staticmethod(wording.job_headline)
    steps_of = staticmethod(wording.steps_of)
    phase_of = staticmethod(wording.phase_of)
    can_be_cancelled = staticmethod(wording.can_be_cancelled)
    skip_reason = staticmethod(wording.skip_reason)
    left_out_files = staticmethod(wording.left_out_files)
    reasons_of = staticmethod(wording.reasons_of)
    rules = staticmethod(rules_in_words)
    bytes_of = staticmethod(bytes_of)
    bar_chart = staticmethod(charts.bar_chart)
    date = staticmethod(filters.calendar_day)

    @property
    def is_admin(self) -> bool:
        return self.actor is not None and self.actor.is_admin

    def job_name(self, kind: JobKind) -> str:
        return wording.JOB_NAMES[kind]

    def at(self, moment: datetime, begin: bool = False) -> Markup:
        """Return a moment as a time element: "14:05", "yesterday 14:05"; with `begin` as the start of a sentence."""
        words = filters.moment(moment, self.zone, self.now)
        return filters.time_tag(moment, filters.begin(words) if begin else words, self.zone)

    def clock(self, moment: datetime) -> Markup:
        return filters.time_tag(moment, filters.clock(moment, self.zone), self.zone)

    def ago(self, moment: datetime) -> Markup:
        """Return a moment as a time element: "3 minutes ago", "in 4 minutes"."""
        return filters.time_tag(moment, filters.relative(moment, self.now), self.zone)

    def moment(self, moment: datetime) -> str:
        """Return a moment as plain words, for a list to choose from."""
        return f"{self.day(moment)}, {filters.clock(moment, self.zone)}"

    def file_time(self, mtime_ns: int) -> Markup | str:
        """Return when a file was modified; what no calendar knows as it is."""
        try:
            return self.at(datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC), begin=True)
        except (OverflowError, ValueError, OSError):
            return f"{mtime_ns // 1_000_000_000} s after 1970"

    def differences(self, compared: Comparison) -> str:
        """Return how much differs between two points, as a sentence."""
        counted = ((compared.changed, "changed"), (compared.removed, "gone"), (compared.added, "new"))
        told = [f"{filters.count(listed.total, 'file')} {word}" for listed, word in counted if listed.total]
        return ", ".join(told) + "." if told else "Nothing differs."

    def day(self, moment: datetime) -> str:
        return filters.day(moment, self.zone, self.now)

    def days_of(self, points: tuple[Point, ...]) -> list[tuple[str, list[Point]]]:
        """Return the points in groups of a day, in the order they came."""
        groups: list[tuple[str, list[Point]]] = []
        for point in points:
            name = self.day(point.created_at)
            if not groups or groups[-1][0] != name:
                groups.append((name, []))
            groups[-1][1].append(point)
        return groups

    def spark(self, row: DomainRow) -> str:
        return charts.spark_points([size_bytes for _, size_bytes in row.size_history])

    def night(self, rows: tuple[DomainRow, ...]) -> charts.Night:
        return charts.night((row.next_run.at for row in rows if row.next_run.at is not None), self.now, self.zone)

    def day_cells(self, points: tuple[Point, ...]) -> tuple[charts.DayCell, ...]:
        return charts.day_cells(points, self.now, self.zone)

    def schedule(self, lines: tuple[ScheduleLine, ...]) -> str:
        """Return when a domain is backed up: for an admin line by line with the kinds, for a customer as one rhythm."""
        if not self.is_admin:
            return cron_words.together([line.cron for line in lines])
        return "; ".join(
            cron_words.in_words(line.cron) + (f" ({line.kind})" if line.kind is not None else "") for line in lines
        )

    def seconds_left(self, job: Job, usual_seconds: float | None) -> float | None:
        """Return how long a job will still take, judged by how long its kind usually takes here; None where nobody knows."""
        if usual_seconds is None:
            return None
        gone = (self.now - job.started_at).total_seconds() if job.started_at else 0.0
        return usual_seconds - gone if gone < usual_seconds else None

    def new_key(self) -> str:
        """Return a fresh idempotency key for a form that changes something."""
        return secrets.token_hex(16)

    def table_count(self, dump: DumpFile) -> int:
        """Return how many tables a dump says it holds."""
        tables = dump.report.get("tables")
        return len(tables) if isinstance(tables, list | tuple) else 0

    def tables_of(self, dump: DumpFile) -> tuple[TableDump, ...]:
        """Return the tables of a dump with their rows and sizes."""
        return DumpReport.from_fields(dump.report).tables if dump.report.get("tables") else ()

    def changes(self, point: Point) -> str:
        """Return what a point holds that the one before did not: "12 new, 31 changed, 4 gone"."""
        if point.database_only:
            return "database only"
        if point.unchanged:
            return "nothing changed"
        if point.parent_id is None:
            return f"everything: {filters.count(point.file_count, 'file')}"
        told = [
            f"{number:,} {word}"
            for number, word in ((point.added, "new"), (point.changed, "changed"), (point.deleted, "gone"))
            if number
        ]
        return ", ".join(told) or "nothing changed"

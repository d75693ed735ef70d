"""What a restore would do, computed before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from smartbackup_panel.adapters.db import jobs, points
from smartbackup_panel.core.database_choice import DatabaseChoice
from smartbackup_panel.core.databases import DumpReport, LoadPart, SwapMode, TablePlan
from smartbackup_panel.core.errors import ArchiveDamaged, SmartBackupError, UnknownPoint
from smartbackup_panel.core.model import Domain, DumpFile, JobKind, Point, PointState
from smartbackup_panel.core.tree import NameList, RestoreMode, RestoreOptions, RestorePlan
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.database_logins import match_logins
from smartbackup_panel.services.exclusions import scan_options
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.newer_rows import ask_for_newer, fields, sentence
from smartbackup_panel.services.tenants import database_server, start_agent

SHOWN_NAMES = 20
PEOPLE_WRITE = {
    "_posts": "posts and pages",
    "_comments": "comments",
    "_users": "accounts",
    "_wc_orders": "orders",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody chose to restore, as a plan's parameters say."""

    files: bool
    databases: bool
    exact: bool
    paths: tuple[bytes, ...]
    to: str | None
    of_databases: DatabaseChoice

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> Choice:
        paths = params.get("paths") or ()
        assert isinstance(paths, list | tuple), "requests made it"
        return cls(
            files=bool(params["files"]),
            databases=bool(params["databases"]),
            exact=bool(params["exact"]),
            paths=tuple(str(path).encode("utf-8", "surrogateescape").strip(b"/") for path in paths),
            to=str(params["to"]) if params.get("to") else None,
            of_databases=DatabaseChoice.from_params(params),
        )

    def options(self, installation: Installation, domain: Domain) -> RestoreOptions:
        mode = RestoreMode.EXACT if self.exact else RestoreMode.MERGE
        return RestoreOptions(mode, self.paths, scan_options(installation, domain))

    def swap_mode(self, dump: DumpFile) -> SwapMode:
        """What stands in another database stays, as do tables that another program left out of its dump; the site's own
        database becomes what it was where that was asked for.
        """
        is_exact = self.exact and self.of_databases.into is None and not dump.is_foreign
        return SwapMode.EXACT if is_exact else SwapMode.MERGE

    def dumps(self, point: Point) -> tuple[DumpFile, ...]:
        """Return the dumps that are restored."""
        return self.of_databases.of(point.databases) if self.databases else ()


def point_to_restore(installation: Installation, domain: Domain, params: Mapping[str, object]) -> Point:
    """Return the point of a plan or restore; raises UnknownPoint, and ArchiveDamaged for one that is not offered."""
    with installation.state.read() as tx:
        point = points.find_point(tx, domain.id, str(params["point"]))
    if point is None:
        raise UnknownPoint("the restore point is no longer there")
    if point.state is PointState.DAMAGED or not point.is_restorable:
        raise ArchiveDamaged(f"the restore point of {point.created_at:%Y-%m-%d %H:%M} is damaged")
    return point


def plan_restore(context: JobContext, domain: Domain) -> Outcome:
    """Compute what a restore would add, replace, remove and keep, which rows there were and are, and the room it needs."""
    installation, params = context.installation, context.job.params
    point = point_to_restore(installation, domain, params)
    choice = Choice.from_params(params)
    result: dict[str, object] = {
        "point": point.id,
        "created_at": point.created_at.isoformat(),
        "files": choice.files and point.archive is not None,
        "databases": bool(choice.dumps(point)),
        "exact": choice.exact,
        "to": choice.to,
        "into": choice.of_databases.into,
        **_files_fields(None),
        "tables": [],
        "lost": [],
        "stays": [],
        "newer": [],
        "warnings": list(point.warnings),
    }
    with store.open_store(installation, domain) as folder_fd, start_agent(installation, domain) as agent:
        if result["files"] and point.archive is not None:
            with store.open_point(installation, folder_fd, point.archive) as archive, _place(choice.to) as elsewhere_fd:
                options = choice.options(installation, domain)
                plan = agent.plan(archive, options, on_step(context, "comparing", agent), elsewhere_fd=elsewhere_fd)
            result |= _files_fields(plan)
        if result["databases"] and choice.to is None:
            result |= _database_fields(context, agent, domain, point, choice)
    with installation.state.read() as tx:
        result["seconds"] = jobs.typical_seconds(tx, domain.id, JobKind.RESTORE)
    return Outcome(result)


@contextmanager
def _place(folder: str | None) -> Iterator[int | None]:
    """Give a descriptor of the nearest folder above `folder` that is there, or None for a restore beside the site."""
    if folder is None:
        yield None
        return
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _files_fields(plan: RestorePlan | None) -> dict[str, object]:
    names = {"added": NameList(), "replaced": NameList(), "removed": NameList(), "kept": NameList()}
    if plan is not None:
        names = {name: getattr(plan, name) for name in names}
    warnings = {}
    if plan is not None and plan.not_kept.count:
        text = f"{plan.not_kept.count} paths of the present site can neither be restored nor carried over; they stay in the undo."
        warnings = {"warnings": [text]}
    return {
        **{name: listed.count for name, listed in names.items()},
        "names": {
            name: [path.decode("utf-8", "surrogateescape") for path in listed.names[:SHOWN_NAMES]]
            for name, listed in names.items()
        },
        "unchanged": plan.unchanged_count if plan else 0,
        "bytes": plan.bytes_needed if plan else 0,
        "free_bytes": plan.bytes_free if plan else None,
        **warnings,
    }


def _database_fields(
    context: JobContext, agent: Agent, domain: Domain, point: Point, choice: Choice
) -> dict[str, object]:
    matched = match_logins(context.installation, domain, agent.inspect(), point)
    tables: list[dict[str, object]] = []
    lost: list[str] = []
    kept: list[str] = []
    newer: list[dict[str, object]] = []
    warnings: list[str] = list(point.warnings)
    for dump in choice.dumps(point):
        login = matched.get(dump.database)
        part = choice.of_databases.part_of(dump)
        if login is None:
            warnings.append(
                f"The site's configuration names no login for {dump.database} now; the one of the restored files is used."
            )
            tables += _rows_then(dump, part)
            continue
        try:
            server = database_server(context.installation, domain, dump.kind)
            planned = server.plan(choice.of_databases.target(login), DumpReport.from_fields(dump.report), part)
        except SmartBackupError as error:
            if choice.of_databases.into is not None:
                raise
            warnings.append(f"The present rows of {dump.database} could not be counted: {error.message}")
            tables += _rows_then(dump, part)
            continue
        tables += [
            {"database": dump.database, "table": row.name, "then": row.rows_then, "now": row.rows_now}
            for row in planned
            if row.rows_then is not None
        ]
        since = DumpReport.from_fields(dump.report).started_at
        found, asked = ask_for_newer(server, choice.of_databases.target(login), planned, part, since)
        for row in found:
            stays = row.question.can_be_kept and bool(part.keep)
            (kept if stays else lost).append(sentence(row, stays))
            newer.append(fields(row))
        lost += _lost(row for row in planned if row.name not in asked)
        if choice.swap_mode(dump) is SwapMode.EXACT and part.tables is None:
            added = [row for row in planned if row.rows_then is None]
            lost += [f"The table {row.name} ({row.rows_now} rows) was not there then; it goes." for row in added]
    return {"tables": tables, "lost": lost, "stays": kept, "newer": newer, "warnings": warnings}


def _rows_then(dump: DumpFile, part: LoadPart) -> list[dict[str, object]]:
    report = DumpReport.from_fields(dump.report)
    return [
        {"database": dump.database, "table": row.name, "then": row.rows, "now": None}
        for row in report.tables
        if part.takes(row.name)
    ]


def _lost(planned: Iterable[TablePlan]) -> list[str]:
    """Return sentences about rows that people wrote since and that the restore would take away."""
    said = []
    for row in planned:
        words = next((words for ending, words in PEOPLE_WRITE.items() if row.name.endswith(ending)), None)
        more = (row.rows_now or 0) - (row.rows_then or 0)
        if words is not None and more > 0:
            said.append(f"{more} more {words} than then ({row.name}: {row.rows_now} now, {row.rows_then} then).")
    return said

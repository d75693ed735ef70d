"""`smartbackup backup`, `points`, `verify`: restore points are made, listed and checked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import EXIT_PARTIAL, Session, command, error_of

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Job, Point


@click.command()
@click.argument("domain", required=False)
@click.option("--all", "every", is_flag=True, help="Back up every domain.")
@click.option("--type", "kind", type=click.Choice(["auto", "full", "incremental", "differential"]), default="auto")
@click.option("--files-only", is_flag=True, help="Leave the databases out.")
@click.option("--databases-only", is_flag=True, help="Leave the files out.")
@click.option("--scheduled", is_flag=True, help="Nobody waits for it: it gives way, and is tried again when it fails.")
@command
def backup(
    session: Session,
    domain: str | None,
    every: bool,
    kind: str,
    files_only: bool,
    databases_only: bool,
    scheduled: bool,
) -> None:
    """Make a restore point of a domain, or of all."""
    from smartbackup_panel.core.errors import WrongUsage
    from smartbackup_panel.core.model import COMMAND_LINE, SCHEDULER

    if (domain is None) == (not every):
        raise WrongUsage("name a domain, or give --all", hint="smartbackup backup shop.example.com")
    session.begin_agent()
    options = {"files": not databases_only, "databases": not files_only}
    requests, actor = session.services.requests, SCHEDULER if scheduled else COMMAND_LINE
    if domain is not None:
        job = requests.backup(actor, session.domain(domain).id, kind, **options)
        session.finish_job(session.run(job), _tell_point)
        return
    from smartbackup_panel.services.domains import reconcile

    reconcile(session.services.installation)
    chosen = session.services.queries.domains(COMMAND_LINE)
    jobs = [requests.backup(actor, item.id, kind, **options) for item in chosen]
    ended = session.run_all(jobs)
    _finish_all(session, [(item.name, job) for item, job in zip(chosen, ended, strict=True)])


@click.command()
@click.argument("domain")
@command
def points(session: Session, domain: str) -> None:
    """List a domain's restore points, newest first."""
    from smartbackup_panel.commands.tables import show_table, size
    from smartbackup_panel.core.model import COMMAND_LINE

    found = session.services.queries.points(COMMAND_LINE, session.domain(domain).id)
    headings = ("point", "made (UTC)", "type", "size", "files", "new, changed, gone", "state")
    rows = [
        (
            point.id[:8],
            f"{point.created_at:%Y-%m-%d %H:%M}",
            point.kind,
            size(point.archive_bytes),
            point.file_count,
            "unchanged" if point.unchanged else f"{point.added}, {point.changed}, {point.deleted}",
            f"{point.state}, {point.verified}" + (", pinned" if point.pinned else ""),
        )
        for point in found
    ]
    session.answer([_row(point) for point in found], lambda: show_table(headings, rows))


@click.command()
@click.argument("domain")
@click.option("--point", help="Only this point, with everything that it builds on.")
@click.option("--level", type=click.Choice(["sampled", "read back", "whole chain"]), help="How far it is read.")
@command
def verify(session: Session, domain: str, point: str | None, level: str | None) -> None:
    """Read back every byte of a domain's points; exits 1 when something is damaged and names it."""
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.core.model import COMMAND_LINE

    session.begin_agent()
    found = session.domain(domain).id
    chosen = session.services.queries.point_named(COMMAND_LINE, found, point).id if point else None
    job = session.services.requests.verify(COMMAND_LINE, found, chosen, level)

    def tell(result: dict[str, Any]) -> None:
        rows = [(row["archive"], "sound" if row["ok"] else f"DAMAGED: {row['error']}") for row in result["points"]]
        show_table(("archive", "state"), rows)

    session.finish_job(session.run(job), tell)


def _finish_all(session: Session, ended: list[tuple[str, Job]]) -> None:
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.core.model import JobState

    rows = [job.result or {"domain": name, "error": error_of(job)} for name, job in ended]
    session.answer(rows, lambda: show_table(("domain", "state"), [(name, job.state) for name, job in ended]))
    states = {job.state for _, job in ended}
    if not states or states == {JobState.DONE}:
        return
    sys.exit(1 if states <= {JobState.FAILED, JobState.CANCELLED} else EXIT_PARTIAL)


def _tell_point(result: dict[str, Any]) -> None:
    from smartbackup_panel.commands.tables import show_facts, size

    facts = [
        ("point", result["point"]),
        ("type", result["type"]),
        ("archive", result["archive"] or "-"),
        ("size", f"{size(result['archive_bytes'])} of {size(result['original_bytes'])}"),
        ("files", f"{result['file_count']} ({_changes(result)})"),
        ("databases", ", ".join(row["database"] for row in result["databases"]) or "-"),
        ("verified", result["verified"]),
        ("seconds", result["seconds"]),
    ]
    show_facts([*facts, *(("warning", warning) for warning in result["warnings"])])


def _changes(result: dict[str, Any]) -> str:
    if result["unchanged"]:
        return "unchanged since the point before"
    return f"{result['changed']} new or changed, {result['deleted']} deleted"


def _row(point: Point) -> dict[str, Any]:
    return {
        "point": point.id,
        "created_at": point.created_at.isoformat(),
        "type": point.kind,
        "archive": point.archive,
        "size_bytes": point.archive_bytes,
        "original_bytes": point.original_bytes,
        "file_count": point.file_count,
        "changed": point.added + point.changed,
        "deleted": point.deleted,
        "unchanged": point.unchanged,
        "synthetic": point.synthetic,
        "databases": [dump.database for dump in point.databases],
        "verified": point.verified,
        "state": point.state,
        "damage": point.damage or None,
        "pinned": point.pinned,
        "parent": point.parent_id,
        "imported": point.imported["source"] if point.imported else None,
        "warnings": list(point.warnings),
    }

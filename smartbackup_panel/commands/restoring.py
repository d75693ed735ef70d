"""`smartbackup restore` and `undo`: the plan first, then what was confirmed."""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

import click

from smartbackup_panel.commands.contents import checked_path, domain_of
from smartbackup_panel.commands.session import Session, command


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help="A point's id, the beginning of it, its archive's name, or 'latest'.")
@click.option("--to", "folder", help="Restore into this folder instead; no database is touched.")
@click.option("--files-only", is_flag=True, help="Leave the databases as they are.")
@click.option("--databases-only", is_flag=True, help="Leave the files as they are.")
@click.option("--path", "paths", multiple=True, help="Only this file or folder; may be given several times.")
@click.option("--table", "tables", multiple=True, help="Only this table of a database; may be given several times.")
@click.option("--database", help="Only this database of the point.")
@click.option("--into", help="Load into this other database of the site's login; tables of other names stay there.")
@click.option("--keep-newer", is_flag=True, help="Keep WordPress comments and WooCommerce orders that came since.")
@click.option("--exact/--merge", default=True, help="Remove what was added since (the default), or keep it.")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def restore(
    session: Session,
    domain: str,
    point: str,
    folder: str | None,
    files_only: bool,
    databases_only: bool,
    paths: tuple[str, ...],
    tables: tuple[str, ...],
    database: str | None,
    into: str | None,
    keep_newer: bool,
    exact: bool,
    only_plan: bool,
    yes: bool,
) -> None:
    """Put a domain back to a restore point: files and databases together, with an undo for seven days."""
    from smartbackup_panel.core.database_choice import named_tables
    from smartbackup_panel.core.errors import WrongUsage
    from smartbackup_panel.core.model import COMMAND_LINE, JobState

    if not (yes or only_plan or sys.stdin.isatty()):
        raise WrongUsage(
            "nobody can be asked here", hint="Add --yes to restore, or --plan to only see what it would do."
        )
    session.begin_agent()
    domain_id = domain_of(session, domain)
    services = session.services
    chosen = services.queries.point_named(COMMAND_LINE, domain_id, point)
    params = services.requests.restore_params(
        COMMAND_LINE,
        domain_id,
        chosen.id,
        files=not databases_only,
        databases=not files_only,
        exact=exact,
        paths=tuple(os.fsdecode(checked_path(path)) for path in paths),
        to=os.path.abspath(folder) if folder else None,
        tables=named_tables(chosen.databases, tables, database),
        into=into,
        keep_newer=keep_newer,
    )
    planned = session.run(services.requests.plan_of(COMMAND_LINE, domain_id, params))
    if only_plan or planned.state is not JobState.DONE:
        session.finish_job(_wrapped(planned), lambda result: _tell_plan(result["plan"]))
        return
    if not yes:
        _tell_plan(planned.result or {})
        click.confirm(f"Restore {domain} to the point of {chosen.created_at:%Y-%m-%d %H:%M} UTC", abort=True)
    done = session.run(services.requests.restore_now(COMMAND_LINE, domain_id, params, secrets.token_hex(16)))
    session.finish_job(_with_plan(done, planned), _tell_done)


@click.command()
@click.argument("domain")
@command
def undo(session: Session, domain: str) -> None:
    """Take back the last restore of a domain."""
    from smartbackup_panel.core.model import COMMAND_LINE

    session.begin_agent()
    job = session.services.requests.undo(COMMAND_LINE, domain_of(session, domain), None, secrets.token_hex(16))
    session.finish_job(session.run(job), _tell_done)


def _wrapped(job: Any) -> Any:
    from dataclasses import replace

    return replace(job, result={"plan": job.result} if job.result is not None else None)


def _with_plan(job: Any, planned: Any) -> Any:
    from dataclasses import replace

    return replace(job, result={"plan": planned.result, **job.result} if job.result is not None else None)


def _tell_plan(plan: dict[str, Any]) -> None:
    from smartbackup_panel.commands.tables import show_facts, size

    facts: list[tuple[str, object]] = [("point", plan.get("created_at")), ("writes", size(int(plan.get("bytes") or 0)))]
    if plan.get("into"):
        facts.append(("into the database", plan["into"]))
    words = {
        "added": "come back",
        "replaced": "are replaced",
        "removed": "are removed",
        "kept": "stay though added since",
    }
    for name, meaning in words.items():
        count, names = plan.get(name, 0), plan.get("names", {}).get(name, [])
        if count:
            facts.append((f"{count} {meaning}", ", ".join(names[:5]) + (" …" if count > 5 else "")))
    facts += [
        (f"{row['database']}.{row['table']}", f"{row['now']} rows now, {row['then']} then") for row in plan["tables"]
    ]
    facts += [("would be lost", sentence) for sentence in plan.get("lost", [])]
    facts += [("stays", sentence) for sentence in plan.get("stays", [])]
    facts += [("warning", sentence) for sentence in plan.get("warnings", [])]
    show_facts(facts)


def _tell_done(result: dict[str, Any]) -> None:
    from smartbackup_panel.commands.tables import show_facts

    shown = ("undone", "restored_files", "removed_files", "databases", "to", "undo_until", "seconds")
    facts = [(name.replace("_", " "), result[name]) for name in shown if result.get(name) is not None]
    after = (result.get("site") or {}).get("after")
    show_facts([*facts, ("the site", after["words"])] if after else facts)

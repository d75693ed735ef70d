"""`smartbackup import`: archives of other programs become restore points."""

from __future__ import annotations

import os
from typing import Any

import click

from smartbackup_panel.commands.session import Session, command


@click.command("import")
@click.argument("domain")
@click.argument("sources", nargs=-1, type=click.Path(), metavar="[FOLDER|FILE]...")
@click.option("--strip", metavar="FOLDER", help="The archives' folder that is the domain's ('.': their own).")
@click.option("--dry-run", is_flag=True, help="Only say what would become a point, of when, and what would be refused.")
@command
def import_(session: Session, domain: str, sources: tuple[str, ...], strip: str | None, dry_run: bool) -> None:
    """Make restore points of archives that other programs made; without a FOLDER, of those of the original design."""
    from smartbackup_panel.core.model import COMMAND_LINE

    places = [os.path.abspath(source) for source in sources]
    folder = "" if strip in (".", "./") else strip
    found = session.domain(domain).id
    requests = session.services.requests
    job = requests.import_archives(COMMAND_LINE, found, places, strip=folder, dry_run=dry_run)
    session.finish_job(session.run(job), _tell)


def _tell(result: dict[str, Any]) -> None:
    from smartbackup_panel.commands.tables import show_table

    rows = [
        (
            os.path.basename(row["source"]),
            str(row.get("created_at", ""))[:16].replace("T", " "),
            row["state"],
            str(row.get("point") or "")[:8],
            _content(row),
        )
        for row in result["sources"]
    ]
    if not rows:
        click.echo("There is nothing to import.")
        return
    show_table(("source", "made (UTC)", "", "point", "holds"), rows)
    for row in result["sources"]:
        if row["state"] == "refused":
            click.echo(click.style(f"{row['source']}: {row['reason']}", fg="red"), err=True)
            click.echo(row["hint"], err=True)
        for warning in row.get("warnings", []):
            click.echo(f"{row['source']}: {warning}")
    if result["note"]:
        click.echo(result["note"])


def _content(row: dict[str, Any]) -> str:
    """Return what a source holds, as far as it was looked through."""
    if row.get("database"):
        return f"database {row['database']}"
    if "files" not in row:
        return ""
    return f"{row['files']} files" + (f" of {row['strip']}" if row["strip"] else "")

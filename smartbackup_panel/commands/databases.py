"""`smartbackup databases`: what dumps leave out of a domain's databases, and what that saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.core.databases import DumpReport, TableDump
    from smartbackup_panel.services.left_out import LeftOut, RowsPreview


@click.command()
@click.argument("domain")
@click.option(
    "--rows",
    type=click.Choice(["nothing", "expired", "all"]),
    help="How much goes of what the application makes again (transients, sessions, caches).",
)
@click.option("--without-rows", "tables", multiple=True, metavar="PATTERN", help="Keep such tables' definitions alone.")
@click.option("--default", "as_settings", is_flag=True, help="Let the settings decide for this domain again.")
@click.option("--dry-run", is_flag=True, help="Only say which tables of the last dumps would keep no rows.")
@command
def databases(
    session: Session, domain: str, rows: str | None, tables: tuple[str, ...], as_settings: bool, dry_run: bool
) -> None:
    """Say or choose which rows the dumps of a domain leave out, and what that saved the last time."""
    from smartbackup_panel.core.model import COMMAND_LINE

    found, left_out = session.domain(domain), session.services.left_out
    if dry_run:
        _tell_look(session, domain, left_out.look(COMMAND_LINE, found.id, rows, tables))
        return
    if as_settings:
        left_out.choose_as_settings(COMMAND_LINE, found.id)
    elif rows or tables:
        left_out.choose(COMMAND_LINE, found.id, rows, tables)
    session.keep_choices()
    _tell(session, domain, left_out.of(COMMAND_LINE, found.id))


def _tell_look(session: Session, domain: str, look: RowsPreview) -> None:
    from smartbackup_panel.commands.tables import show_table, size
    from smartbackup_panel.core.errors import WrongUsage

    if look.choice is None:
        raise WrongUsage("; ".join(message for _, message in look.wrong))
    emptied = [
        {"database": name, "table": table.name, "rows": table.rows, "bytes": table.size_bytes}
        for name, table in look.emptied
    ]
    document = {
        "domain": domain,
        "rows": look.choice.how_much,
        "without_rows": list(look.choice.tables),
        "would_keep_no_rows": emptied,
        "unmatched": list(look.unmatched),
    }

    def show() -> None:
        rows = [(name, table.name, table.rows, size(table.size_bytes)) for name, table in look.emptied]
        show_table(("database", "table without rows", "rows", "size"), rows)
        for pattern in look.unmatched:
            click.echo(f"No table of the last dumps is called {pattern}.")

    session.answer(document, show)


def _tell(session: Session, domain: str, told: LeftOut) -> None:
    document = {
        "domain": domain,
        "rows": told.choice.how_much,
        "without_rows": list(told.choice.tables),
        "own": told.is_own,
        "databases": [_database(report) for report in told.reports],
    }
    session.answer(document, lambda: _show(told))


def _database(report: DumpReport) -> dict[str, object]:
    return {
        "database": report.name,
        "saved_ratio": round(report.saved_ratio, 4),
        "bytes_left_out": sum(table.bytes_left_out for table in report.tables),
        "tables": [
            {
                "table": table.name,
                "rows": table.rows,
                "rows_left_out": table.rows_left_out,
                "bytes_left_out": table.bytes_left_out,
            }
            for table in _touched(report)
        ],
        "held_back": list(report.held_back),
    }


def _touched(report: DumpReport) -> list[TableDump]:
    return [table for table in report.tables if table.data_left_out or table.rows_left_out]


def _show(told: LeftOut) -> None:
    from smartbackup_panel.commands.tables import show_table, size

    whose = "this domain's own choice" if told.is_own else "as the settings say"
    click.echo(f"Left out of what the application makes again: {told.choice.how_much} ({whose}).")
    if told.choice.tables:
        click.echo(f"Tables without rows: {', '.join(told.choice.tables)}.")
    for report in told.reports:
        saved = sum(table.bytes_left_out for table in report.tables)
        click.echo(f"{report.name}: {report.saved_ratio:.0%} left out ({size(saved)}).")
        rows = [(table.name, table.rows, table.rows_left_out, size(table.bytes_left_out)) for table in _touched(report)]
        show_table(("table", "rows kept", "left out", "saved"), rows)

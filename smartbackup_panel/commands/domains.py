"""`smartbackup domains`, `analyze`, `stats`, `reconcile`: what there is and how busy it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Domain


STATS_COLUMNS = (
    *("domain", "points", "runs", "success_ratio", "stored_bytes", "original_bytes", "growth_bytes_a_day"),
    *("saved_by_increments", "saved_by_compression", "saved_by_exclusions", "saved_by_tables", "mean_seconds"),
    "last_point_at",
)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def domains(context: click.Context, as_json: bool) -> None:
    """List the domains, or show one."""
    context.obj.as_json |= as_json
    if context.invoked_subcommand is None:
        context.invoke(list_domains, as_json=False)


@domains.command("list")
@command
def list_domains(session: Session) -> None:
    """List the domains that are covered, after a look at the panel's inventory."""
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.core.errors import MissingDocumentRoot
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.domains import reconcile as reconcile_now

    with suppress(MissingDocumentRoot):  # an inventory that cannot be read changes nothing: what is recorded is shown
        reconcile_now(session.services.installation)
    found = session.services.queries.domains(COMMAND_LINE)
    headings = ("domain", "owner", "state", "application", "folder")
    rows = [(item.name, item.owner, item.state, item.application or "-", item.root) for item in found]
    session.answer([_row(item) for item in found], lambda: show_table(headings, rows))


@domains.command("show")
@click.argument("domain")
@command
def show_domain(session: Session, domain: str) -> None:
    """Show one domain."""
    from smartbackup_panel.commands.tables import show_facts

    row = _row(session.domain(domain))
    session.answer(row, lambda: show_facts(row.items()))


@click.command()
@click.argument("domain")
@command
def analyze(session: Session, domain: str) -> None:
    """Analyse a domain: activity, size, application, and the strategy and schedule that follow."""
    from smartbackup_panel.commands.tables import show_facts
    from smartbackup_panel.core.model import COMMAND_LINE

    session.begin_agent()
    job = session.services.requests.analyse(COMMAND_LINE, session.domain(domain).id)
    session.finish_job(session.run(job), lambda result: show_facts(result.items()))


@click.command()
@command
def reconcile(session: Session) -> None:
    """Look at the panel's inventory now: find new domains, and those that are gone."""
    from smartbackup_panel.commands.tables import show_facts
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.coverage import cover_new_domains
    from smartbackup_panel.services.domains import reconcile as reconcile_now

    found = asdict(reconcile_now(session.services.installation, COMMAND_LINE))
    cover_new_domains(session.services.installation)
    session.answer(found, lambda: show_facts((name, _listed(value)) for name, value in found.items()))


@click.command()
@click.argument("domain", required=False)
@command
def stats(session: Session, domain: str | None) -> None:
    """Show figures of one domain, or of all and the server (the last 90 days)."""
    from smartbackup_panel.commands.tables import show_facts, show_table
    from smartbackup_panel.core.model import COMMAND_LINE
    from smartbackup_panel.services.statistics import server_figures

    if domain:
        row = _stats(session, session.domain(domain))
        session.answer(row, lambda: show_facts(row.items()))
        return
    rows = [_stats(session, item) for item in session.services.queries.domains(COMMAND_LINE)]
    server = asdict(server_figures(session.services.installation))
    table = [tuple(row[name] for name in STATS_COLUMNS) for row in rows]

    def tell() -> None:
        show_table(STATS_COLUMNS, table)
        show_facts((f"server: {name}", value) for name, value in server.items() if value is not None)

    session.answer({"domains": rows, "server": server}, tell)


def _stats(session: Session, domain: Domain) -> dict[str, Any]:
    from smartbackup_panel.core.model import COMMAND_LINE, PointKind
    from smartbackup_panel.services.statistics import domain_figures

    services = session.services
    page = services.queries.domain_page(COMMAND_LINE, domain.id)
    fulls = sum(point.kind is PointKind.FULL for point in page.points)
    return {
        "domain": domain.name,
        **asdict(domain_figures(services.installation, COMMAND_LINE, domain.id)),
        "points": len(page.points),
        "full": fulls,
        "incremental": len(page.points) - fulls,
        "stored_bytes": page.stored_bytes,
        "last_point_at": page.points[0].created_at.isoformat() if page.points else None,
    }


def _row(domain: Domain) -> dict[str, Any]:
    return {
        "domain": domain.name,
        "display_name": domain.display_name,
        "id": domain.id,
        "owner": domain.owner,
        "root": domain.root,
        "document_root": domain.document_root or domain.root,
        "state": domain.state,
        "application": domain.application,
    }


def _listed(value: object) -> object:
    return ", ".join(value) or "-" if isinstance(value, tuple) else value

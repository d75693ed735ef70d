"""`smartbackup …`: everything a page does, and what only an administrator does."""

from __future__ import annotations

import click

from smartbackup_panel import __version__
from smartbackup_panel.commands import accounts, domains, points, restoring, schedules, service
from smartbackup_panel.commands.session import Session


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(), help="The configuration file (default: /etc/smartbackup/config.toml).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.version_option(__version__, prog_name="smartbackup")
@click.pass_context
def main(context: click.Context, config: str | None, as_json: bool) -> None:
    """Backups for web-hosting panels: open archives, instant files, restores with an undo."""
    context.obj = Session(config, as_json)


for added in (
    domains.domains,
    domains.analyze,
    domains.stats,
    domains.reconcile,
    points.backup,
    points.points,
    points.browse,
    points.cat,
    points.diff,
    points.verify,
    restoring.restore,
    restoring.undo,
    schedules.schedule,
    accounts.account,
    service.worker,
    service.web,
    service.hook,
    service.check,
    service.rebuild_catalog,
):
    main.add_command(added)

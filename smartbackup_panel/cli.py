"""`smartbackup …`: everything a page does, and what only an administrator does."""

from __future__ import annotations

import gc
import json
import sys

import click

from smartbackup_panel import __version__
from smartbackup_panel.commands import (
    accounts,
    contents,
    databases,
    domains,
    importing,
    keeping,
    points,
    restoring,
    schedules,
    service,
)
from smartbackup_panel.commands.session import Session
from smartbackup_panel.core.errors import WrongUsage


def main() -> None:
    """Run one command. Wrong usage exits with 2; with --json its error is the JSON document.

    Nothing that a start makes is garbage: it is not looked for before the services are open (Session.services).
    """
    gc.disable()
    try:
        program(standalone_mode=False)
    except click.ClickException as wrong:
        if "--json" in sys.argv:
            error = {"code": WrongUsage.code, "message": wrong.format_message(), "hint": "smartbackup --help"}
            click.echo(json.dumps({"error": error}))
        else:
            wrong.show()
        sys.exit(WrongUsage.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Nothing more is done.", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(), help="The configuration file (default: /etc/smartbackup/config.toml).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.version_option(__version__, prog_name="smartbackup")
@click.pass_context
def program(context: click.Context, config: str | None, as_json: bool) -> None:
    """Backups for web-hosting panels: open archives, instant files, restores with an undo."""
    context.obj = Session(config, as_json)


for added in (
    domains.domains,
    domains.analyze,
    domains.stats,
    domains.reconcile,
    points.backup,
    points.points,
    contents.browse,
    contents.cat,
    contents.diff,
    contents.history,
    contents.search,
    contents.export,
    importing.import_,
    points.verify,
    restoring.restore,
    restoring.undo,
    schedules.schedule,
    databases.databases,
    keeping.retention,
    keeping.pin,
    keeping.unpin,
    keeping.exclusions,
    accounts.account,
    service.worker,
    service.web,
    service.hook,
    service.check,
    service.rebuild_catalog,
):
    program.add_command(added)

"""`smartbackup worker`, `web`, `hook`, `check`, `rebuild-catalog`: the program as a service."""

from __future__ import annotations

import logging
import os
import re
import sys

import click

from smartbackup_panel.commands.session import Session, command

SECRET = ("smtp_url", "notify_webhook", "notify_apprise")


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, then end.")
@command
def worker(session: Session, once: bool) -> None:
    """Run jobs, hooks' events and schedules until told to stop."""
    from smartbackup_panel.log_lines import write_log
    from smartbackup_panel.worker import Worker

    write_log()
    if once:
        count = Worker(session.services).run_once()
        session.answer({"jobs": count}, lambda: click.echo(f"{count} jobs ran."))
    else:
        Worker(session.services).run()
        # The job engine's threads would hold the process until their next poll, or until a job has ended.
        logging.shutdown()
        os._exit(0)


@click.command()
@command
def web(session: Session) -> None:
    """Serve the standalone pages (gunicorn) at the address of SMARTBACKUP_WEB_ADDRESS."""
    from smartbackup_panel.bootstrap import become_web_account
    from smartbackup_panel.standalone import serve

    if stays_root := become_web_account(session.settings):
        click.echo(stays_root, err=True)
    serve(session.settings)


@click.command()
@click.argument("event", type=click.Choice(["domain-created", "domain-deleted"]))
@click.argument("name")
@command
def hook(session: Session, event: str, name: str) -> None:
    """Tell what happened to a domain, as a panel's hook does."""
    from smartbackup_panel.core.names import check_domain_name
    from smartbackup_panel.services.events import write_event

    write_event(session.services.installation, event.replace("-", ".", 1), check_domain_name(name))
    session.answer({"event": event, "domain": name}, lambda: click.echo(f"{event} {name} is noted."))


@click.command()
@command
def check(session: Session) -> None:
    """Check this installation; exits 1 when something needs a person."""
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.services.health import check_installation

    found = check_installation(session.services.installation, session.services.queries)
    rows = [{"check": row.name, "ok": row.is_ok, "found": row.found, "hint": row.hint} for row in found]
    table = [("ok" if row.is_ok else "ATTENTION", row.name, row.found, "" if row.is_ok else row.hint) for row in found]
    ok = all(row.is_ok for row in found)
    settings = {name: _shown(name, getattr(session.settings, name)) for name in session.settings.sources}
    document = {"ok": ok, "checks": rows, "settings": settings, "sources": dict(session.settings.sources)}
    session.answer(document, lambda: show_table(("", "check", "found", "what to do"), table))
    if not ok:
        sys.exit(1)


def _shown(name: str, value: object) -> str:
    """Return a setting as it may be printed: addresses that carry passwords or tokens are only said to be set."""
    if name in SECRET and value:
        return "(set)"
    if name == "state_url":
        return re.sub(r"://[^/@]*@", "://(set)@", str(value))
    return str(value)


@click.command("rebuild-catalog")
@command
def rebuild_catalog(session: Session) -> None:
    """Read the store and record every point that the state does not know (after the state was lost); list their files anew."""
    from smartbackup_panel.commands.tables import show_facts
    from smartbackup_panel.services.catalog import catch_up_all
    from smartbackup_panel.services.rebuild import rebuild

    found = rebuild(session.services.installation)
    found["listed"] = catch_up_all(session.services.installation, anew=True)
    if found["refused"]:
        found["hint"] = (
            "Refused are files that were changed, that lack their archive, or that another installation signed: of such a one "
            f"put the signing-key into {session.services.installation.settings.state_dir} and rebuild again; "
            "where that is lost, `smartbackup import DOMAIN`."
        )
    session.answer(found, lambda: show_facts(found.items()))

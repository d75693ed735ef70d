"""Shows Smart Backup on this machine: `installer/quickstart`, again to see the address, `--stop` to end it, `--check` to try it.

Everything that it makes lies in one folder, by default .state in the checkout.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from installer.check import check
from installer.setup import Failed, Setup, prepare

TOP = Path(__file__).resolve().parents[1]


@click.command()
@click.option("--stop", is_flag=True, help="Stop the pages and the worker that a quickstart started.")
@click.option(
    "--check", "only_check", is_flag=True, help="Back up, verify and restore sample sites, then remove it all."
)
def main(stop: bool, only_check: bool) -> None:
    """Show Smart Backup on this machine. Run it again to see the address and the password again."""
    state = Path(os.environ.get("SMARTBACKUP_STATE_DIR") or TOP / ".state")
    try:
        if only_check:
            check()
        elif stop:
            _stop(state)
        else:
            with _alone(state):
                _show(prepare(state, os.environ))
    except Failed as reason:
        click.echo(f"quickstart: {reason}", err=True)
        sys.exit(1)


def _show(setup: Setup) -> None:
    setup.create_admin()
    started = setup.start()
    click.echo("Smart Backup is running." if started else "Smart Backup is already running.")
    setup.cover_all_domains(say=click.echo)
    click.echo(
        f"\n  Address   {setup.url}\n"
        f"  Login     admin\n"
        f"  Password  {setup.admin_password() or '(its file is gone; `smartbackup account add admin` sets a new one)'}\n\n"
        f"  Domains   {setup.domains_root}\n"
        f"  Archives  {setup.backup_root}\n"
        f"  Commands  {setup.command_line} --help\n"
        f"  Stop      {_stop_command(setup.state)}\n"
    )


def _stop_command(state: Path) -> str:
    """Return what stops this installation, to be typed into a shell."""
    elsewhere = [f"SMARTBACKUP_STATE_DIR={shlex.quote(str(state))}"] if state != TOP / ".state" else []
    return " ".join([*elsewhere, shlex.quote(str(TOP / "installer" / "quickstart")), "--stop"])


def _stop(state: Path) -> None:
    stopped = Setup.stop_programs(state)
    click.echo("Stopped: " + ", ".join(stopped) + "." if stopped else "Nothing was running.")


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Let one quickstart work at a time."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(state.stat().st_mode & 0o710)
    with (state / "quickstart.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main(prog_name="installer/quickstart")

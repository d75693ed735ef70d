"""`smartbackup account add|list|delete`: logins of the standalone host."""

from __future__ import annotations

import secrets
import sys

import click

from smartbackup_panel.commands.session import Session, command


@click.group()
def account() -> None:
    """Logins of the standalone pages (inside a panel, the panel's own login is used)."""


@account.command("add")
@click.argument("login")
@click.option("--role", type=click.Choice(["admin", "customer"]), default="customer")
@click.option("--owner", help="The system user whose domains a customer sees.")
@click.option("--generate-password", is_flag=True, help="Make a password and print it once.")
@command
def add(session: Session, login: str, role: str, owner: str | None, generate_password: bool) -> None:
    """Make a login, or give it a new password; without --generate-password it is read from the standard input."""
    from smartbackup_panel.commands.tables import show_facts
    from smartbackup_panel.core.model import Role

    if generate_password:
        password = secrets.token_urlsafe(15)
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    session.services.accounts.save(login, password, Role(role), owner)
    document = {"login": login, "role": role, "owner": owner}
    if generate_password:
        document["password"] = password
    session.answer(document, lambda: show_facts(document.items()))


@account.command("list")
@command
def list_accounts(session: Session) -> None:
    """List the logins."""
    from smartbackup_panel.commands.tables import show_table

    found = session.services.accounts.list()
    rows = [{"login": item.login, "role": item.role, "owner": item.owner} for item in found]
    session.answer(rows, lambda: show_table(("login", "role", "owner"), [tuple(row.values()) for row in rows]))


@account.command("delete")
@click.argument("login")
@command
def delete(session: Session, login: str) -> None:
    """Remove a login; its sessions end."""
    from smartbackup_panel.core.errors import WrongUsage

    if not session.services.accounts.delete(login):
        raise WrongUsage(f"there is no login {login!r}", hint="`smartbackup account list` lists them.")
    session.answer({"login": login, "deleted": True}, lambda: click.echo(f"{login} is removed."))

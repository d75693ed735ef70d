"""Accounts of the standalone host. In a panel, the panel's own login is used instead."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass

from smartbackup_panel.adapters.db import people
from smartbackup_panel.adapters.db.people import Account
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import COMMAND_LINE, Actor, Role
from smartbackup_panel.services.installation import Installation

SHORTEST_PASSWORD = 10


@functools.cache
def _nobodys_hash() -> str:
    """Return what is checked where there is no such login, so that the answer takes as long."""
    return _hashed(secrets.token_hex(16))


def _hashed(password: str) -> str:
    from werkzeug.security import generate_password_hash  # late: commands that check no password start sooner

    return generate_password_hash(password)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Logins and their passwords (kept as scrypt hashes)."""

    installation: Installation

    def check_password(self, login: str, password: str, address: str) -> Account | None:
        """Return the account whose password this is, else None; a failure is audited with the address it came from."""
        from werkzeug.security import check_password_hash

        with self.installation.state.read() as tx:
            account = people.find_account(tx, login)
        matches = check_password_hash(account.password_hash if account else _nobodys_hash(), password)
        if account is not None and matches:
            return account
        with self.installation.state.write() as tx:
            actor = Actor(login[:255], Role.CUSTOMER, source="web")
            people.add_audit(
                tx, self.installation.clock.now(), actor, "login refused", None, None, {"address": address}
            )
        return None

    def get(self, login: str) -> Account | None:
        """Return an account by its login, or None."""
        with self.installation.state.read() as tx:
            return people.find_account(tx, login)

    def save(self, login: str, password: str, role: Role, owner: str | None) -> None:
        """Make an account, or give it a new password, role and owner; its older sessions end."""
        if not login or len(login) > 255 or not login.isprintable():
            raise WrongUsage("a login needs 1 to 255 printable characters")
        if len(password) < SHORTEST_PASSWORD:
            raise WrongUsage(f"the password is shorter than {SHORTEST_PASSWORD} characters")
        if role is Role.CUSTOMER and not owner:
            raise WrongUsage("a customer needs the system user whose domains it sees", hint="Add --owner USER.")
        now = self.installation.clock.now()
        with self.installation.state.write() as tx:
            people.save_account(tx, login, _hashed(password), role, owner, now)
            people.add_audit(tx, now, COMMAND_LINE, "account saved", None, None, {"login": login, "role": role})

    def list(self) -> list[Account]:
        with self.installation.state.read() as tx:
            return people.list_accounts(tx)

    def delete(self, login: str) -> bool:
        """Remove an account; False where there is none."""
        with self.installation.state.write() as tx:
            return people.delete_account(tx, login)

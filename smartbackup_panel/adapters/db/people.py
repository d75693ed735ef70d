"""Records of the standalone host's accounts, of the audit, and small notes of the program to itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from smartbackup_panel.adapters.db.tables import accounts, audit, notes
from smartbackup_panel.core.model import Actor, Role


@dataclass(frozen=True, slots=True)
class Account:
    """A login of the standalone host. `version` changes with the password, which ends older sessions."""

    login: str
    role: Role
    owner: str | None
    version: int
    password_hash: str = ""

    def __repr__(self) -> str:
        return f"Account({self.login!r}, {self.role})"


def save_account(tx: Connection, login: str, password_hash: str, role: Role, owner: str | None, now: datetime) -> None:
    """Record an account, or its new password, role and owner."""
    values = {"password_hash": password_hash, "role": role, "owner": owner}
    changed = tx.execute(
        update(accounts).where(accounts.c.login == login).values(version=accounts.c.version + 1, **values)
    )
    if changed.rowcount == 0:
        tx.execute(insert(accounts).values(login=login, version=1, created_at=now, **values))


def find_account(tx: Connection, login: str) -> Account | None:
    row = tx.execute(select(accounts).where(accounts.c.login == login)).first()
    return None if row is None else Account(row.login, Role(row.role), row.owner, row.version, row.password_hash)


def list_accounts(tx: Connection) -> list[Account]:
    rows = tx.execute(select(accounts).order_by(accounts.c.login))
    return [Account(row.login, Role(row.role), row.owner, row.version) for row in rows]


def delete_account(tx: Connection, login: str) -> bool:
    return tx.execute(delete(accounts).where(accounts.c.login == login)).rowcount == 1


def add_audit(
    tx: Connection,
    now: datetime,
    actor: Actor,
    action: str,
    domain_id: str | None,
    object_id: str | None,
    detail: dict[str, object],
) -> None:
    """Record who asked for what, before it is done."""
    tx.execute(
        insert(audit).values(
            at=now,
            login=actor.login,
            role=actor.role,
            source=actor.source,
            action=action,
            domain_id=domain_id,
            object_id=object_id,
            detail=detail,
        )
    )


def set_note(tx: Connection, name: str, value: str, now: datetime) -> None:
    if tx.execute(update(notes).where(notes.c.name == name).values(value=value, at=now)).rowcount == 0:
        tx.execute(insert(notes).values(name=name, value=value, at=now))


def find_note(tx: Connection, name: str) -> tuple[str, datetime] | None:
    row = tx.execute(select(notes).where(notes.c.name == name)).first()
    return None if row is None else (row.value, row.at)


def list_notes(tx: Connection, beginning: str) -> dict[str, str]:
    """Return the notes whose names begin so."""
    rows = tx.execute(select(notes.c.name, notes.c.value).where(notes.c.name.startswith(beginning, autoescape=True)))
    return {row.name: row.value for row in rows}


def delete_note(tx: Connection, name: str) -> None:
    tx.execute(delete(notes).where(notes.c.name == name))

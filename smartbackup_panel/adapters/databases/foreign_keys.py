"""Foreign keys around a swap. Their names are unique in a whole database, so old and new tables cannot both have them.

All changes run with checks off, where the server only changes the definition and reads no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from smartbackup_panel.adapters.databases.connection import Session, quoted
from smartbackup_panel.adapters.databases.create_table import ForeignKey, foreign_keys_of


def read_foreign_keys(session: Session, table: str) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of a table as they are now; none for a view or a sequence."""
    return foreign_keys_of(str(session.named_row(f"SHOW CREATE TABLE {quoted(table)}").get("Create Table", "")))


def is_generated(table: str, name: str) -> bool:
    """Return whether the server made the name from the table's; such names follow a RENAME TABLE by themselves."""
    return re.fullmatch(re.escape(table) + r"_ibfk_[0-9]+", name) is not None


def generated_name(table: str, of_table: str, name: str) -> str:
    """Return the name for a scratch table that becomes `name` when the scratch is renamed to `of_table`."""
    return table + name[len(of_table) :]


def add_foreign_key(session: Session, table: str, key: ForeignKey) -> None:
    """Add a foreign key that is not there yet."""
    session.run(f"ALTER TABLE {quoted(table)} ADD {_clause(key)}")


def rename_foreign_key(session: Session, table: str, name: str, new_name: str) -> None:
    """Give a foreign key another name in one step, so that it holds all the time; one that is not there is fine."""
    for key in read_foreign_keys(session, table):
        if key.name == name:
            renamed = _clause(key._replace(name=new_name))
            session.run(f"ALTER TABLE {quoted(table)} DROP FOREIGN KEY {quoted(name)}, ADD {renamed}")


def drop_foreign_keys(session: Session, table: str) -> None:
    """Drop all foreign keys of a table."""
    drops = [f"DROP FOREIGN KEY {quoted(key.name)}" for key in read_foreign_keys(session, table)]
    if drops:
        session.run(f"ALTER TABLE {quoted(table)} {', '.join(drops)}")


def repoint(session: Session, tables: Iterable[str], parents: Mapping[str, str]) -> None:
    """Let the tables' foreign keys refer to `parents[parent]` where they refer to `parent` now.

    A RENAME TABLE takes the references along: a table that stayed in place refers to the replaced table afterwards.
    """
    for table in tables:
        for key in read_foreign_keys(session, table):
            if key.parent in parents:
                session.run(f"ALTER TABLE {quoted(table)} DROP FOREIGN KEY {quoted(key.name)}")
                add_foreign_key(session, table, key._replace(parent=parents[key.parent]))


def _clause(key: ForeignKey) -> str:
    columns = f"FOREIGN KEY {key.columns} REFERENCES {quoted(key.parent)} {key.rules}"
    return f"CONSTRAINT {quoted(key.name)} {columns}"

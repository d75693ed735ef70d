"""Brings a state database to the newest version, once, whoever comes first."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import func, select

from smartbackup_panel.adapters.db.state import State
from smartbackup_panel.core.errors import StateUnavailable

VERSION_TABLE = "smartbackup_alembic"
_LOCK = int.from_bytes(b"smartbup", "big")
"""The number of the advisory lock, any that nobody else in that database uses."""


def upgrade(state: State) -> None:
    """Run the missing migrations in one transaction that holds the write lock, so that two starters do not collide."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with state.write() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's write lock is held already
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as wrong:
            raise StateUnavailable(
                f"the state database has a version that this program does not know: {wrong}",
                hint="It was written by a newer version of Smart Backup; install that version again.",
            ) from wrong

"""Opens the state database: SQLite by default, anything that SQLAlchemy speaks by setting."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from smartbackup_panel.adapters.state_folder import give_to_owner_of
from smartbackup_panel.core.errors import StateUnavailable

HEAD = "0010"  # the newest migration; a test compares it with the migrations folder
BUSY_SECONDS = 60
WAL_IS_SAFE_FROM = (
    3,
    51,
    3,
)  # older versions can corrupt a write-ahead log under concurrent checkpoints (SECURITY rule 23)


def sqlite_module() -> ModuleType:
    """Return the DB-API module: the standard one, or a newer bundled SQLite where the job engine needs it (3.42 on Python 3.12)."""
    if sys.version_info < (3, 12) or sqlite3.sqlite_version_info >= (3, 42):
        return sqlite3
    import sqlean  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only installed where it is needed

    return sqlean  # type: ignore[no-any-return,unused-ignore]


def create_state_engine(url: str) -> Engine:
    """Return an engine for `url`. For SQLite: durable, foreign keys on, waits while another process writes.

    Raises StateUnavailable where the address cannot be used.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        module = sqlite_module()
        engine = create_engine(
            parsed, module=module, connect_args={"timeout": BUSY_SECONDS}, pool_size=16, max_overflow=32
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as wrong:
        raise StateUnavailable(f"the state database address cannot be used: {wrong}") from wrong
    journal = "WAL" if module.sqlite_version_info >= WAL_IS_SAFE_FROM else "TRUNCATE"

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options: dict[str, Any] = dict(connection.get_execution_options())
        connection.exec_driver_sql("BEGIN" if options.get("read_only_hint") else "BEGIN IMMEDIATE")

    return engine


class State:
    """The state database. `read()` and `write()` are transactions; a write holds the database's one write lock from its start."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_state_engine(url)
        self._reader = self.engine.execution_options(read_only_hint=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_state(url: str) -> State:
    """Return the state, made or migrated to the newest version where needed.

    Raises StateUnavailable when it cannot be opened, or was written by a newer version of the product.
    """
    path = make_url(url).database if url.startswith("sqlite") else None
    if path and path != ":memory:":
        _make_private(path)
    state = State(url)
    try:
        if _version(state) != HEAD:
            from smartbackup_panel.adapters.db.migrate import upgrade

            upgrade(state)
    except DatabaseError as wrong:
        raise StateUnavailable(f"the state database cannot be opened: {wrong.orig}") from wrong
    return state


def _make_private(path: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            give_to_owner_of(os.path.dirname(path), fd)
        finally:
            os.close(fd)
    except OSError as wrong:
        raise StateUnavailable(f"the state database {path} cannot be opened: {wrong.strerror}") from wrong


def _version(state: State) -> str | None:
    with state.read() as connection:
        if not state.engine.dialect.has_table(connection, "smartbackup_alembic"):
            return None
        found = connection.execute(text("SELECT version_num FROM smartbackup_alembic")).scalar()
        return None if found is None else str(found)

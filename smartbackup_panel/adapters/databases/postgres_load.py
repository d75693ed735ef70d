"""Load a dump into schemas of its own, and put schemas in place: PostgreSQL changes definitions in transactions.

A dump names its schemas, so the live ones step aside inside one transaction, the dump is run, what it made is given a
scratch name and the live ones come back, all before the commit: nobody else ever sees a moment of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.postgres_extensions import WholeDump, move, refuse_fixed_types, shared_schemas
from smartbackup_panel.adapters.databases.postgres_journal import PostgresJournal, Record
from smartbackup_panel.adapters.databases.postgres_loader import Loader, check_rows, not_put_back
from smartbackup_panel.adapters.databases.postgres_part import load_tables, swap_tables, swap_tables_back
from smartbackup_panel.adapters.databases.postgres_probe import live_schemas
from smartbackup_panel.adapters.databases.postgres_session import Connection, identifier
from smartbackup_panel.adapters.databases.postgres_text import PostgresReader, shown_name
from smartbackup_panel.adapters.databases.row_counts import counted
from smartbackup_panel.core.databases import (
    NEW_PREFIX,
    OLD_PREFIX,
    WHOLE_DUMP,
    DumpReport,
    LoadPart,
    LoadReport,
    Progress,
    RestoreState,
    SwapMode,
    SwapReport,
    TableCount,
)
from smartbackup_panel.core.errors import LoadFailed, NothingToUndo, RestoreFailed

_TABLES = (
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s "
    "AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
)


def load_dump(
    connection: Connection,
    journal: PostgresJournal,
    chunks: Iterable[bytes],
    expected: DumpReport | None,
    on_progress: Progress | None,
    part: LoadPart = WHOLE_DUMP,
) -> LoadReport:
    """Fill scratch schemas from a dump, or from some of its tables, and return their counted rows. LoadFailed: nothing has changed."""
    if journal.read().phase not in (RestoreState.NONE, RestoreState.LOADED):
        raise RestoreFailed(f"The restore {journal.restore_id} has already been put in place.")
    if part.tables is not None:
        return load_tables(connection, journal, chunks, expected, on_progress, part)
    refuse_fixed_types(connection)
    record = Record(RestoreState.LOADED)
    with connection.transaction():
        journal.drop_schemas(NEW_PREFIX)
        live = live_schemas(connection)
        aside = {name: journal.old_name(number) for number, name in enumerate(live, 1)}
        move(connection, aside)
        _make_public(connection)
        held_back = not_put_back(expected, part)
        loader = Loader(connection, record.warnings, WholeDump(connection, aside, record.warnings).take, held_back)
        sent = loader.take(PostgresReader(counted(chunks, on_progress), LoadFailed))
        counts = check_rows(connection, sent, expected, part)
        if empty := sorted(held_back & counts.keys()):
            record.warnings.append(f"The rows of {', '.join(empty)} were not put back: they would run a second time.")
        record.new = {name: journal.new_name(number) for number, name in enumerate(live_schemas(connection), 1)}
        move(connection, record.new)
        move(connection, {old: name for name, old in aside.items()})
        journal.write(record)
    tables = tuple(TableCount(name, rows) for name, rows in sorted(counts.items()))
    return LoadReport(journal.restore_id, tables, tuple(record.warnings))


def swap_schemas(connection: Connection, journal: PostgresJournal, mode: SwapMode) -> SwapReport:
    """Put the loaded schemas in place, all or nothing; already done is fine."""
    record = journal.read()
    if record.tables:
        return swap_tables(connection, journal, record)
    if record.phase is RestoreState.LOADED:
        with connection.transaction():
            live, shared = live_schemas(connection), shared_schemas(connection)
            going = [name for name in live if mode is SwapMode.EXACT or name in record.new]
            record.old = {name: journal.old_name(number) for number, name in enumerate(going, 1)}
            move(connection, record.old, shared)
            move(connection, {new: name for name, new in record.new.items()}, shared)
            record.moved = _carry_over(connection, record.old) if mode is SwapMode.MERGE else []
            record.phase = RestoreState.SWAPPED
            journal.write(record)
    if record.phase is not RestoreState.SWAPPED:
        raise RestoreFailed(f"The restore {journal.restore_id} has nothing loaded to put in place.")
    return _report(connection, journal, record)


def undo_swap(connection: Connection, journal: PostgresJournal) -> SwapReport:
    """Take a swap back, all or nothing; the loaded schemas are scratch again. NothingToUndo where none was made."""
    record = journal.read()
    if record.phase is not RestoreState.SWAPPED:
        raise NothingToUndo(f"The restore {journal.restore_id} has not been put in place.")
    if record.tables:
        return swap_tables_back(connection, journal, record)
    report = _report(connection, journal, record)
    with connection.transaction():
        for schema, table in record.moved:
            _set_schema(connection, schema, table, record.old[schema])
        shared = shared_schemas(connection)
        back = {name: new for name, new in record.new.items() if name in live_schemas(connection)}
        move(connection, back, shared)
        move(connection, {old: name for name, old in record.old.items()}, shared)
        record.old, record.moved, record.phase = {}, [], RestoreState.LOADED
        journal.write(record)
    return report


def discard_restore(connection: Connection, journal: PostgresJournal) -> None:
    """Remove scratch schemas, or the replaced ones that an undo would need, and the record. Nothing there is fine."""
    with connection.transaction():
        journal.drop_schemas(NEW_PREFIX)
        journal.drop_schemas(OLD_PREFIX)
        journal.remove()


def _make_public(connection: Connection) -> None:
    """As a new database has it: the owner of the database owns the schema, whoever that is."""
    connection.execute("CREATE SCHEMA public")
    connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    connection.execute("COMMENT ON SCHEMA public IS 'standard public schema'")
    with contextlib.suppress(psycopg.Error), connection.transaction():
        connection.execute("ALTER SCHEMA public OWNER TO pg_database_owner")


def _carry_over(connection: Connection, old: Mapping[str, str]) -> list[tuple[str, str]]:
    """Move tables that the load does not have into the new schemas; return them."""
    moved = []
    for name, replaced in old.items():
        there = {table for (table,) in connection.execute(_TABLES, [name]).fetchall()}
        for (table,) in connection.execute(_TABLES, [replaced]).fetchall():
            if table not in there:
                _set_schema(connection, replaced, table, name)
                moved.append((name, table))
    return moved


def _set_schema(connection: Connection, schema: str, table: str, target: str) -> None:
    connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(identifier(schema, table), identifier(target)))


def _report(connection: Connection, journal: PostgresJournal, record: Record) -> SwapReport:
    def tables(schemas: Iterable[tuple[str, str]]) -> set[str]:
        pairs = [(name, place) for name, place in schemas]
        return {
            shown_name(name, table)
            for name, place in pairs
            for (table,) in connection.execute(_TABLES, [place]).fetchall()
        }

    now, before = tables((name, name) for name in record.new), tables(record.old.items())
    return SwapReport(
        journal.restore_id, tuple(sorted(now & before)), tuple(sorted(before - now)), tuple(record.warnings)
    )

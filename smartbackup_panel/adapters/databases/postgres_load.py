"""Load a dump into schemas of its own, and put schemas in place: PostgreSQL changes definitions in transactions.

A dump names its schemas, so the live ones step aside inside one transaction, the dump is run, what it made is given a
scratch name and the live ones come back, all before the commit: nobody else ever sees a moment of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.postgres_journal import PostgresJournal, Record
from smartbackup_panel.adapters.databases.postgres_probe import live_schemas, misplaced_extensions
from smartbackup_panel.adapters.databases.postgres_session import Connection, identifier, reason_of, run_one
from smartbackup_panel.adapters.databases.postgres_text import (
    PostgresReader,
    Rows,
    Statement,
    check_statement,
    copied_table,
    gives_rights,
    is_of_no_use,
    made_schema,
    shown_name,
)
from smartbackup_panel.adapters.databases.row_counts import counted
from smartbackup_panel.core.databases import (
    NEW_PREFIX,
    OLD_PREFIX,
    DumpReport,
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
) -> LoadReport:
    """Fill scratch schemas from a dump and return their counted rows. LoadFailed: nothing has changed."""
    if journal.read().phase not in (RestoreState.NONE, RestoreState.LOADED):
        raise RestoreFailed(f"The restore {journal.restore_id} has already been put in place.")
    _refuse_misplaced_extensions(connection)
    record = Record(RestoreState.LOADED)
    with connection.transaction():
        journal.drop_schemas(NEW_PREFIX)
        live = live_schemas(connection)
        aside = {name: journal.old_name(number) for number, name in enumerate(live, 1)}
        _rename(connection, aside)
        _make_public(connection)
        sent = _Loader(connection, record).take(PostgresReader(counted(chunks, on_progress), LoadFailed))
        counts = _check(connection, sent, expected)
        record.new = {name: journal.new_name(number) for number, name in enumerate(live_schemas(connection), 1)}
        _rename(connection, record.new)
        _rename(connection, {old: name for name, old in aside.items()})
        journal.write(record)
    tables = tuple(TableCount(name, rows) for name, rows in sorted(counts.items()))
    return LoadReport(journal.restore_id, tables, tuple(record.warnings))


def swap_schemas(connection: Connection, journal: PostgresJournal, mode: SwapMode) -> SwapReport:
    """Put the loaded schemas in place, all or nothing; already done is fine."""
    record = journal.read()
    if record.phase is RestoreState.LOADED:
        _refuse_misplaced_extensions(connection)
        with connection.transaction():
            live = live_schemas(connection)
            going = [name for name in live if mode is SwapMode.EXACT or name in record.new]
            record.old = {name: journal.old_name(number) for number, name in enumerate(going, 1)}
            _rename(connection, record.old)
            _rename(connection, {new: name for name, new in record.new.items()})
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
    report = _report(connection, journal, record)
    with connection.transaction():
        for schema, table in record.moved:
            _set_schema(connection, schema, table, record.old[schema])
        back = {name: new for name, new in record.new.items() if name in live_schemas(connection)}
        _rename(connection, back)
        _rename(connection, {old: name for name, old in record.old.items()})
        record.old, record.moved, record.phase = {}, [], RestoreState.LOADED
        journal.write(record)
    return report


def discard_restore(connection: Connection, journal: PostgresJournal) -> None:
    """Remove scratch schemas, or the replaced ones that an undo would need, and the record. Nothing there is fine."""
    with connection.transaction():
        journal.drop_schemas(NEW_PREFIX)
        journal.drop_schemas(OLD_PREFIX)
        journal.remove()


class _Loader:
    def __init__(self, connection: Connection, record: Record) -> None:
        self._connection = connection
        self._record = record

    def take(self, reader: PostgresReader) -> dict[tuple[str, str], int]:
        """Run the whole dump; return the rows that were sent to each table. LoadFailed names what stopped it."""
        sent: dict[tuple[str, str], int] = {}
        parts = iter(reader)
        for part in parts:
            assert isinstance(part, Statement), "rows are taken with their COPY"
            if is_of_no_use(part.text):
                continue
            check_statement(part.text)
            try:
                table = copied_table(part.text)
                if table is not None:
                    sent[table] = self._copy(part.text, parts)
                else:
                    self._run(part.text)
            except psycopg.Error as error:
                if self._connection.closed:
                    raise
                start = " ".join(part.text[:80].decode("utf-8", "replace").split())
                raise LoadFailed(
                    f"The database server refused a part of the dump ({start}): {reason_of(error)}."
                ) from None
        return sent

    def _run(self, text: bytes) -> None:
        schema = made_schema(text)
        if schema is not None:
            self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier(schema)))
        elif gives_rights(text):
            self._give_rights(text)
        else:
            run_one(self._connection, text)

    def _give_rights(self, text: bytes) -> None:
        """Roles of the server may be gone: what they could do is a warning, never a reason to lose a restore."""
        try:
            with self._connection.transaction():
                run_one(self._connection, text)
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            start = " ".join(text[:120].decode("utf-8", "replace").split())
            self._record.warnings.append(f"Rights of another role were not given again ({start}): {reason_of(error)}.")

    def _copy(self, text: bytes, parts: Iterator[Statement | Rows]) -> int:
        with self._connection.cursor() as cursor:
            with cursor.copy(text.rstrip(b";")) as copy:
                is_first = True
                for part in parts:
                    assert isinstance(part, Rows), "the rows of a COPY follow it"
                    if part.is_end:
                        copy.write(b"\n" if not is_first else b"")
                        break
                    data = part.raw[1:].rstrip(b"\n") if is_first else part.raw.rstrip(b"\n")
                    copy.write(data)
                    is_first = is_first and not data
            return cursor.rowcount


def _check(connection: Connection, sent: Mapping[tuple[str, str], int], expected: DumpReport | None) -> dict[str, int]:
    """Count what arrived and compare it with what was sent and with the dump's own list."""
    counts: dict[str, int] = {}
    for (schema, table), rows in sent.items():
        found = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(identifier(schema, table))).fetchone()
        name = shown_name(schema, table)
        counts[name] = int(found[0]) if found else 0
        if counts[name] != rows:
            raise LoadFailed(f"{name} has {counts[name]} rows after the load; the dump has {rows}.")
    for wanted in expected.tables if expected is not None else ():
        if wanted.data_left_out:
            continue
        if wanted.name not in counts:
            raise LoadFailed(f"The dump should hold the table {wanted.name} and does not.")
        if counts[wanted.name] != wanted.rows:
            raise LoadFailed(
                f"{wanted.name} has {counts[wanted.name]} rows after the load; the restore point has {wanted.rows}."
            )
    unnamed = counts.keys() - {table.name for table in expected.tables} if expected is not None else set()
    if unnamed:
        raise LoadFailed(f"The dump holds the table {min(unnamed)}, which its own list does not name.")
    return counts


def _rename(connection: Connection, names: Mapping[str, str]) -> None:
    for source, target in names.items():
        statement = sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(identifier(source), identifier(target))
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise RestoreFailed(
                f"The site's login may not replace the schema {source}: {reason_of(error)}.",
                hint="Make the login the owner of its database and of the schemas in it, and try again.",
            ) from None


def _make_public(connection: Connection) -> None:
    """As a new database has it: the owner of the database owns the schema, whoever that is."""
    connection.execute("CREATE SCHEMA public")
    connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    connection.execute("COMMENT ON SCHEMA public IS 'standard public schema'")
    with contextlib.suppress(psycopg.Error), connection.transaction():
        connection.execute("ALTER SCHEMA public OWNER TO pg_database_owner")


def _refuse_misplaced_extensions(connection: Connection) -> None:
    """An extension belongs to the server's administrator and would go away with the schema that is replaced."""
    for name in misplaced_extensions(connection)[:1]:
        raise RestoreFailed(
            f"The extension {name} lies among the site's own tables, so that they cannot be replaced as a whole.",
            hint=f"Once, as the administrator: CREATE SCHEMA extensions; ALTER EXTENSION {name} SET SCHEMA extensions.",
        )


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

"""Chosen tables of a PostgreSQL database: loaded in scratch schemas, exchanged with the live ones in one transaction.

Views and foreign keys of the rest of the database hold on to a table, not to its name, so an exchange points them at what
comes. A table that is put aside has no foreign keys: they would hold up, or follow, what the site does with its live ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.postgres_journal import PostgresJournal, Record
from smartbackup_panel.adapters.databases.postgres_loader import Loader, check_rows
from smartbackup_panel.adapters.databases.postgres_part_text import ForeignKey, PartOfDump, Place
from smartbackup_panel.adapters.databases.postgres_session import Connection, identifier, reason_of, run_one
from smartbackup_panel.adapters.databases.postgres_text import PostgresReader, shown_name
from smartbackup_panel.adapters.databases.row_counts import counted
from smartbackup_panel.core.databases import (
    NEW_PREFIX,
    DumpReport,
    LoadPart,
    LoadReport,
    Progress,
    RestoreState,
    SwapReport,
    TableCount,
)
from smartbackup_panel.core.errors import LoadFailed, RestoreFailed

_LIVE = (
    "SELECT c.oid, c.relispartition OR c.relkind = 'p' OR EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"
)
_KEYS = (
    "SELECT n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid), k.conrelid = ANY(%(oids)s) FROM pg_constraint k "
    "JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE k.contype = 'f' AND (k.conrelid = ANY(%(oids)s) OR k.confrelid = ANY(%(oids)s)) ORDER BY 1, 2, 3"
)
_VIEWS = (
    "SELECT DISTINCT n.nspname, c.relname, coalesce(array_to_string(c.reloptions, ', '), ''), pg_get_viewdef(c.oid) FROM pg_depend d "
    "JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(%(oids)s) "
    "AND c.relkind = 'v' ORDER BY 1, 2"
)
_OTHERS = (
    "SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass "
    "AND c.oid = d.objid LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid LEFT JOIN pg_class v "
    "ON v.oid = r.ev_class LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid "
    "WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(%(oids)s) OR d.refclassid = 'pg_type'::regclass "
    "AND d.refobjid IN (SELECT t.oid FROM pg_type t JOIN pg_class k ON k.reltype IN (t.oid, t.typelem) WHERE k.oid = ANY(%(oids)s))) "
    "AND d.deptype = 'n' AND (d.classid = 'pg_proc'::regclass OR c.relkind IN ('r', 'p', 'f', 'm', 'c') AND c.oid <> ALL(%(oids)s) "
    "OR v.relkind <> 'v' AND v.oid <> ALL(%(oids)s) OR p.polrelid <> ALL(%(oids)s)) LIMIT 1"
)


def load_tables(
    connection: Connection,
    journal: PostgresJournal,
    chunks: Iterable[bytes],
    expected: DumpReport | None,
    on_progress: Progress | None,
    part: LoadPart,
) -> LoadReport:
    """Fill scratch schemas with chosen tables and return their counted rows; live tables are not even locked.

    LoadFailed: nothing has changed; also for a table that cannot be put back alone, with the reason.
    """
    record = Record(RestoreState.LOADED)
    with connection.transaction():
        journal.drop_schemas(NEW_PREFIX)

        def scratch(schema: str) -> str:
            if schema not in record.new:
                record.new[schema] = journal.new_name(len(record.new) + 1)
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(identifier(record.new[schema])))
            return record.new[schema]

        chosen = PartOfDump(part, scratch)
        reader = PostgresReader(counted(chunks, on_progress), LoadFailed)
        sent = Loader(connection, record.warnings, chosen.take).take(reader)
        absent = sorted((part.tables or frozenset()) - {shown_name(*place) for place in chosen.made})
        if absent:
            raise LoadFailed(f"The dump does not hold the table {absent[0]}.")
        counts = check_rows(connection, sent, expected, part, scratch)
        record.tables, record.keys = sorted(chosen.made), chosen.keys
        record.later = [text.decode("utf-8", "surrogateescape") for text in chosen.later]
        record.warnings += chosen.warnings
        _find_surroundings(connection, record.tables)
        journal.write(record)
    return LoadReport(
        journal.restore_id, tuple(TableCount(*count) for count in sorted(counts.items())), tuple(record.warnings)
    )


def swap_tables(connection: Connection, journal: PostgresJournal, record: Record) -> SwapReport:
    """Exchange the loaded tables with the live ones, all or nothing; already done is fine."""
    if record.phase is RestoreState.LOADED:
        with connection.transaction():
            record.old = {schema: journal.old_name(number) for number, schema in enumerate(sorted(record.new), 1)}
            _make_schemas(connection, [*record.new, *record.old.values()])
            record.keys = _exchange(connection, record, record.old, record.new)
            loader = Loader(connection, record.warnings)
            for text in record.later:
                loader.run(text.encode("utf-8", "surrogateescape"))
            record.later, record.phase = [], RestoreState.SWAPPED
            journal.write(record)
    return _report(connection, journal, record)


def swap_tables_back(connection: Connection, journal: PostgresJournal, record: Record) -> SwapReport:
    """Exchange them again, all or nothing; the loaded tables are scratch tables afterwards."""
    report = _report(connection, journal, record)
    with connection.transaction():
        record.keys = _exchange(connection, record, record.new, record.old)
        record.phase = RestoreState.LOADED
        journal.write(record)
    return report


@dataclass(slots=True)
class _Surroundings:
    """What holds on to live tables: their own foreign keys, those of other tables, and views as (place, options, text)."""

    live: list[Place] = field(default_factory=list)
    own_keys: list[ForeignKey] = field(default_factory=list)
    keys: list[ForeignKey] = field(default_factory=list)
    views: list[tuple[str, str, str, str]] = field(default_factory=list)


def _find_surroundings(connection: Connection, tables: Iterable[Place]) -> _Surroundings:
    """Raises LoadFailed for a live table that cannot be exchanged alone; nothing is changed."""
    found, oids = _Surroundings(), []
    for place in tables:
        row = connection.execute(_LIVE, place).fetchone()
        if row is not None and row[1]:
            raise LoadFailed(
                f"The table {shown_name(*place)} is spread over several tables or inherits from one, so it cannot be put back alone.",
                hint="Restore the whole database.",
            )
        if row is not None:
            oids.append(row[0])
            found.live.append(place)
    other = connection.execute(_OTHERS, {"oids": oids}).fetchone()
    if other is not None:
        raise LoadFailed(
            f"The {other[0]} is built on a chosen table and would stay with the replaced one.",
            hint="Restore the whole database.",
        )
    for schema, table, name, definition, is_own in connection.execute(_KEYS, {"oids": oids}):
        (found.own_keys if is_own else found.keys).append(ForeignKey(schema, table, name, definition))
    found.views = [(row[0], row[1], row[2], row[3]) for row in connection.execute(_VIEWS, {"oids": oids})]
    return found


def _exchange(
    connection: Connection, record: Record, out: Mapping[str, str], back: Mapping[str, str]
) -> list[ForeignKey]:
    """Move live tables to the schemas of `out`, those of `back` in place; return the keys of the tables that went."""
    around = _find_surroundings(connection, record.tables)
    try:
        for key in (*around.own_keys, *around.keys):
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                    identifier(key.schema, key.table), identifier(key.name)
                )
            )
        for schema, table in around.live:
            _move(connection, schema, table, out[schema])
        for schema, table in record.tables:
            if connection.execute(_LIVE, [back[schema], table]).fetchone() is not None:
                _move(connection, back[schema], table, schema)
        for key in (*around.keys, *record.keys):
            _add_key(connection, record, key)
        for schema, name, options, text in around.views:
            head = sql.SQL("CREATE OR REPLACE VIEW {} ").format(identifier(schema, name))
            _run(connection, head, f"WITH ({options}) AS {text}" if options else f"AS {text}")
    except psycopg.Error as error:
        if connection.closed:
            raise
        raise RestoreFailed(
            f"The chosen tables cannot be put in place alone: {reason_of(error)}.", hint="Restore the whole database."
        ) from None
    return around.own_keys


def _add_key(connection: Connection, record: Record, key: ForeignKey) -> None:
    """Add a foreign key; rows that refer to nothing are a warning, and the key holds for what comes."""
    place, name = identifier(key.schema, key.table), identifier(key.name)
    definition = key.definition.removesuffix(" NOT VALID")
    _run(connection, sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(place, name), f"{definition} NOT VALID")
    try:
        with connection.transaction():
            connection.execute(sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(place, name))
    except psycopg.errors.ForeignKeyViolation as error:
        record.warnings.append(
            f"Rows of {shown_name(key.schema, key.table)} refer to rows that are not there ({key.name}): {reason_of(error)}."
        )


def _run(connection: Connection, head: sql.Composed, rest: str) -> None:
    """Run a statement whose end is a dump's or the server's own text: the server takes no second one after it."""
    run_one(connection, (head.as_string(connection) + rest).encode("utf-8", "surrogateescape"))


def _move(connection: Connection, schema: str, table: str, target: str) -> None:
    connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(identifier(schema, table), identifier(target)))


def _make_schemas(connection: Connection, names: Iterable[str]) -> None:
    for name in names:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier(name)))


def _report(connection: Connection, journal: PostgresJournal, record: Record) -> SwapReport:
    replaced = [
        shown_name(schema, table)
        for schema, table in record.tables
        if connection.execute(_LIVE, [record.old[schema], table]).fetchone() is not None
    ]
    return SwapReport(journal.restore_id, tuple(sorted(replaced)), (), tuple(record.warnings))

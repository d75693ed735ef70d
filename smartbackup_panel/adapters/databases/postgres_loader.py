"""Run the statements of a PostgreSQL dump one by one, and compare what arrived with what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import psycopg
from psycopg import sql

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
from smartbackup_panel.core.databases import WHOLE_DUMP, DumpReport, LoadPart
from smartbackup_panel.core.errors import LoadFailed

Place = tuple[str, str]
"""Schema and table."""


def all_of_it(text: bytes) -> list[bytes]:
    """Return a statement as it is: a whole dump is run."""
    return [text]


class Loader:
    """Runs a dump in the caller's transaction. `choose` gives what is run for a statement: nothing, it, or others.

    Of the tables `held_back` no rows are sent.
    """

    def __init__(
        self,
        connection: Connection,
        warnings: list[str],
        choose: Callable[[bytes], list[bytes]] = all_of_it,
        held_back: frozenset[str] = frozenset(),
    ) -> None:
        self._connection = connection
        self._warnings = warnings
        self._choose = choose
        self._held_back = held_back

    def take(self, reader: PostgresReader) -> dict[Place, int]:
        """Run the whole dump; return the rows that were sent to each table. LoadFailed names what stopped it."""
        sent: dict[Place, int] = {}
        parts = iter(reader)
        for part in parts:
            assert isinstance(part, Statement), "rows are taken with their COPY"
            if is_of_no_use(part.text):
                continue
            check_statement(part.text)
            chosen, table = self._choose(part.text), copied_table(part.text)
            try:
                if table is None:
                    for text in chosen:
                        self.run(text)
                elif chosen and shown_name(*table) not in self._held_back:
                    sent[table] = self._copy(chosen[0], parts)
                else:
                    sent |= {table: 0} if chosen else {}
                    _pass_over(parts)
            except psycopg.Error as error:
                if self._connection.closed:
                    raise
                start = " ".join(part.text[:80].decode("utf-8", "replace").split())
                raise LoadFailed(
                    f"The database server refused a part of the dump ({start}): {reason_of(error)}."
                ) from None
        return sent

    def run(self, text: bytes) -> None:
        """Run one statement; rights of roles that are gone become a warning. psycopg's errors come out."""
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
            self._warnings.append(f"Rights of another role were not given again ({start}): {reason_of(error)}.")

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


def check_rows(
    connection: Connection,
    sent: Mapping[Place, int],
    expected: DumpReport | None,
    part: LoadPart = WHOLE_DUMP,
    located: Callable[[str], str] = str,
) -> dict[str, int]:
    """Return the counted rows by table, the same as were sent and as the dump's own list says; else LoadFailed.

    `located` gives the schema in which the tables of one of the dump's schemas lie.
    """
    counts: dict[str, int] = {}
    for (schema, table), rows in sent.items():
        place = identifier(located(schema), table)
        found = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(place)).fetchone()
        name = shown_name(schema, table)
        counts[name] = int(found[0]) if found else 0
        if counts[name] != rows:
            raise LoadFailed(f"{name} has {counts[name]} rows after the load; the dump has {rows}.")
    if expected is not None:
        _compare(counts, expected, part)
    return counts


def not_put_back(expected: DumpReport | None, part: LoadPart) -> frozenset[str]:
    """Return the tables whose rows stay in the dump: they were not asked for, and would run a second time."""
    return frozenset() if expected is None or part.with_held_back else frozenset(expected.held_back)


def _compare(counts: Mapping[str, int], expected: DumpReport, part: LoadPart) -> None:
    held_back = not_put_back(expected, part)
    for wanted in expected.tables:
        if wanted.data_left_out or wanted.name in held_back or not part.takes(wanted.name):
            continue
        if wanted.name not in counts:
            raise LoadFailed(f"The dump should hold the table {wanted.name} and does not.")
        if counts[wanted.name] != wanted.rows:
            raise LoadFailed(
                f"{wanted.name} has {counts[wanted.name]} rows after the load; the restore point has {wanted.rows}."
            )
    unnamed = counts.keys() - {table.name for table in expected.tables}
    if unnamed:
        raise LoadFailed(f"The dump holds the table {min(unnamed)}, which its own list does not name.")


def _pass_over(parts: Iterator[Statement | Rows]) -> None:
    """Read the rows of a table that is not wanted; the text is cut rightly only that way."""
    for part in parts:
        if isinstance(part, Rows) and part.is_end:
            return

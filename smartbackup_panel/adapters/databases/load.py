"""Load a dump into scratch tables and check it; the live tables are not touched.

A statement at a time through a connection that takes one statement a call: there is no client that would understand `\\!`,
`source` or `LOAD DATA LOCAL`, and nothing is sent that `grammar` did not take apart first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import pymysql

from smartbackup_panel.adapters.databases.connection import Session, error_facts, is_lost, quoted
from smartbackup_panel.adapters.databases.create_table import CreateTable
from smartbackup_panel.adapters.databases.grammar import Action, CreateSequence, DumpGrammar, Insert, SetSequence
from smartbackup_panel.adapters.databases.journal import Journal, Record
from smartbackup_panel.adapters.databases.newer_rows import prepare_kept
from smartbackup_panel.adapters.databases.programs import Kind, Program, definer_user
from smartbackup_panel.adapters.databases.rights import server_wide_rights
from smartbackup_panel.adapters.databases.row_counts import counted
from smartbackup_panel.adapters.databases.statements import StatementReader
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import (
    NEW_PREFIX,
    WHOLE_DUMP,
    DumpReport,
    LoadPart,
    LoadReport,
    Progress,
    RestoreState,
    TableCount,
)
from smartbackup_panel.core.errors import DatabaseRefused, LoadFailed, RestoreFailed

CHECKS_OFF = "SET SESSION foreign_key_checks = 0, unique_checks = 0"


def load(
    session: Session,
    login: DatabaseLogin,
    journal: Journal,
    chunks: Iterable[bytes],
    expected: DumpReport | None,
    on_progress: Progress | None,
    part: LoadPart = WHOLE_DUMP,
    scratch: str | None = None,
) -> LoadReport:
    """Fill scratch tables from a dump, or from a part of it, and return their counted rows; what an earlier, broken load left is removed first.

    `scratch` is an empty database to load into; what was checked there moves beside the live tables in one statement.
    Without one the tables are loaded beside the live ones. `login` is the tenant's, also where the session is a job's own.
    LoadFailed (or whatever `chunks` or `on_progress` raise) after the scratch tables were removed again.
    """
    refuse_server_wide(session, login)
    if journal.read().phase not in (RestoreState.NONE, RestoreState.LOADING, RestoreState.LOADED):
        raise RestoreFailed(f"The restore {journal.restore_id} has already been put in place.")
    session.run(CHECKS_OFF)
    journal.drop_tables(NEW_PREFIX)
    journal.write(Record(RestoreState.LOADING))
    loader = _Loader(session, login, journal, expected, part, scratch)
    with on_failure(partial(_clear, journal)):
        loader.take(counted(chunks, on_progress))
        report = loader.check()
        if part.keep and expected is not None:
            prepare_kept(session, journal, part.keep, expected)
        return report


def refuse_server_wide(session: Session, login: DatabaseLogin) -> None:
    """DatabaseRefused for a login that reaches more than its own database: an untrusted dump is not run with it."""
    rights = server_wide_rights(session)
    if rights:
        raise DatabaseRefused(
            f"The login {login.user} has rights on the whole database server ({', '.join(rights[:5])}); nothing is loaded with it.",
            hint=f"Give the site a database user of its own with rights on {login.name} alone, and try again.",
        )


class _Loader:
    def __init__(
        self,
        session: Session,
        login: DatabaseLogin,
        journal: Journal,
        expected: DumpReport | None,
        part: LoadPart,
        scratch: str | None,
    ) -> None:
        self._session = session
        self._login = login
        self._journal = journal
        self._expected = expected
        self._part = part
        self._scratch_database = scratch
        self._own_users = {None, login.user, *([expected.user] if expected is not None and expected.user else ())}
        self._held_back = frozenset() if expected is None or part.with_held_back else frozenset(expected.held_back)
        self._record = Record(RestoreState.LOADED, is_part=part.tables is not None)
        self._sequences: set[str] = set()
        self._sent: dict[str, int] = defaultdict(int)

    def take(self, chunks: Iterable[bytes]) -> None:
        """Read the whole dump; LoadFailed names the statement or the table that stopped it."""
        grammar = DumpGrammar(self._expected.name if self._expected is not None else self._login.name)
        packet_bytes = int(self._session.value("SELECT @@max_allowed_packet"))
        for statement in StatementReader(chunks, LoadFailed, packet_bytes):
            action = grammar.read(statement.text)
            if action is not None and self._is_wanted(action):
                self._apply(action)

    def _is_wanted(self, action: Action) -> bool:
        """Of a part, only its tables with their rows and triggers; of tables that are held back, no rows."""
        if isinstance(action, Insert):
            return self._part.takes(action.table) and action.table not in self._held_back
        if isinstance(action, CreateTable):
            return self._part.takes(action.table)
        is_trigger = isinstance(action, Program) and action.kind is Kind.TRIGGER
        return self._part.tables is None or (is_trigger and self._part.takes(getattr(action, "table", "")))

    def _apply(self, action: Action) -> None:
        try:
            if isinstance(action, Insert):
                self._sent[action.table] += self._session.send(
                    b"INSERT INTO " + self._scratch(action.table) + action.rest
                )
            elif isinstance(action, CreateTable):
                self._session.send(action.sql(self._new_scratch(action.table)))
                self._record.keys += [(action.table, key) for key in action.foreign_keys]
                self._record.defaults += action.sequence_defaults
            elif isinstance(action, CreateSequence):
                self._sequences.add(action.name)
                self._session.run(f"CREATE SEQUENCE {self._new_scratch(action.name)}{action.rest}")
            elif isinstance(action, SetSequence):
                self._session.send(b"DO SETVAL(" + self._scratch(action.name) + action.rest.encode() + b")")
            else:
                self._keep(action)
        except pymysql.err.MySQLError as error:
            if is_lost(error):
                raise
            name = action.name if isinstance(action, CreateSequence | SetSequence | Program) else action.table
            raise LoadFailed(f"The database server refused a part of {name}: {error_facts(error)[1]}.") from None

    def _new_scratch(self, table: str) -> str:
        if table in self._record.new:
            raise LoadFailed(f"The dump defines {table} twice.")
        scratch = self._journal.scratch_name(len(self._record.new) + 1)
        self._record.new[table] = scratch
        return self._place(table)

    def _scratch(self, table: str) -> bytes:
        if table not in self._record.new:
            raise LoadFailed(f"The dump has rows for {table}, which it does not define.")
        return self._place(table).encode()

    def _place(self, table: str) -> str:
        return quoted(self._record.new[table], self._scratch_database)

    def _move_in(self) -> None:
        """Move what was loaded and checked in a scratch database beside the live tables, all of it or nothing."""
        if self._scratch_database is not None and self._record.new:
            moves = [
                f"{self._place(name)} TO {quoted(new, self._login.name)}" for name, new in self._record.new.items()
            ]
            self._session.run(f"RENAME TABLE {', '.join(moves)}")

    def _keep(self, program: Program) -> None:
        if program.kind is Kind.TRIGGER and program.table not in self._record.new:
            raise LoadFailed(f"The dump has a trigger for {program.table}, which it does not define.")
        definer = definer_user(program.create_sql)
        if definer in self._own_users:
            self._record.programs.append(program)
            return
        self._record.refused.append((program.kind, program.name))
        self._record.warnings.append(
            f"The {program.label()} belongs to {definer} and not to this site; a restore does not make it."
        )

    def check(self) -> LoadReport:
        """Count what arrived and compare it with what was sent and with the dump's own list, then call it loaded."""
        counts = {name: self._count(name) for name in self._record.new if name not in self._sequences}
        for name, rows in counts.items():
            if rows != self._sent[name]:
                raise LoadFailed(f"{name} has {rows} rows after the load; the dump has {self._sent[name]}.")
        if self._expected is not None:
            self._compare(counts, self._expected)
        absent = sorted((self._part.tables or frozenset()) - counts.keys())
        if absent:
            raise LoadFailed(f"The dump does not hold the table {absent[0]}.")
        empty = sorted(self._held_back & counts.keys())
        if empty:
            self._record.warnings.append(
                f"The rows of {', '.join(empty)} were not put back: they would run a second time."
            )
        self._record.rows = counts
        self._move_in()
        self._journal.write(self._record)
        tables = tuple(TableCount(name, rows) for name, rows in sorted(counts.items()))
        return LoadReport(self._journal.restore_id, tables, tuple(self._record.warnings))

    def _compare(self, counts: dict[str, int], expected: DumpReport) -> None:
        wanted = {table.name: table.rows for table in expected.tables if self._part.takes(table.name)}
        for name in sorted(wanted.keys() | counts.keys()):
            if name not in counts:
                raise LoadFailed(f"The dump should hold the table {name} and does not.")
            if name not in wanted:
                raise LoadFailed(f"The dump holds the table {name}, which its own list does not name.")
            if name not in self._held_back and counts[name] != wanted[name]:
                raise LoadFailed(
                    f"{name} has {counts[name]} rows after the load; the restore point has {wanted[name]}."
                )

    def _count(self, table: str) -> int:
        return int(self._session.value(f"SELECT COUNT(*) FROM {self._place(table)}"))  # noqa: S608  # quoted


def _clear(journal: Journal) -> None:
    """Remove what a failed load left; a server that is gone keeps it until `discard` is called again."""
    try:
        journal.drop_tables(NEW_PREFIX)
        journal.remove()
    except pymysql.err.MySQLError:
        return

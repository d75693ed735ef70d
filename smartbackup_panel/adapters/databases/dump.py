"""One attempt at a dump: tables and rows by the dump client, programs by us, counted and compared with what is there.

SECURITY rule 14: it is good only if the client exited 0, wrote its end marker, and every table of the inventory came out.
Rows are counted in the dump's own text, so that the figure is of exactly what was stored, at no cost for the server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pymysql

from smartbackup_panel.adapters.databases.client import dump_options, find_dump_program, login_file
from smartbackup_panel.adapters.databases.connection import Session, connection_error, is_lost, quoted
from smartbackup_panel.adapters.databases.grammar import DumpGrammar, count_rows
from smartbackup_panel.adapters.databases.probe import Inventory, is_transactional, take_inventory, versioned_tables
from smartbackup_panel.adapters.databases.programs import (
    Kind,
    Program,
    Unreadable,
    definer_user,
    dump_program,
    in_creation_order,
    read_program,
)
from smartbackup_panel.adapters.databases.rights import lacking_for_a_restore, server_wide_rights
from smartbackup_panel.adapters.databases.row_filter import RowFilter, filters_for
from smartbackup_panel.adapters.databases.statements import NAME, Statement, StatementReader, own_name
from smartbackup_panel.adapters.process import Account, Child, start
from smartbackup_panel.core.database_hosts import Address, DatabaseLogin
from smartbackup_panel.core.databases import DumpPiece, DumpReport, TableDump
from smartbackup_panel.core.errors import DumpFailed, LoadFailed
from smartbackup_panel.core.row_rules import DumpPolicy

END_MARKER = b"-- Dump completed"
DUMP_LIMIT_SECONDS = 6 * 3600
_STOPPED_BY = re.compile(
    r"dumping table `([^`]+)`|(?:CREATE TABLE|FIELDS FROM|COLUMNS FROM|FROM) `([^`]+)`"
    r"|table '(?:[^'./]+\.|\./[^'/]+/)?([^'/]+)'",
    re.IGNORECASE,
)
"""How mariadb-dump, mysqldump and the servers name the table that stopped a dump."""

_SECTION = re.compile(rb"DROP (TABLE|SEQUENCE) IF EXISTS (" + NAME + rb")")
_TAIL = b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */"
_EMPTY_HEAD = b"/*!40101 SET NAMES utf8mb4 */;\n"
_WIDEST_PACKET = 1_073_741_824


@dataclass(slots=True)
class _Tally:
    """What has come out of the dump client so far."""

    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sizes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sequences: list[str] = field(default_factory=list)
    widest: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    warnings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class MariaDBDump:
    """Iterate `pieces` once, to the end; then `report` is there. An error means that nothing of the dump counts."""

    def __init__(
        self,
        login: DatabaseLogin,
        address: Address,
        account: Account | None,
        policy: DumpPolicy,
        session: Callable[[], AbstractContextManager[Session]],
        client_login: Callable[[list[str]], AbstractContextManager[DatabaseLogin]],
    ) -> None:
        self._login = login
        self._address = address
        self._account = account
        self._policy = policy
        self._session = session
        self._client_login = client_login
        self._grammar = DumpGrammar(login.name)
        self._tally = _Tally()
        self._filters: dict[str, RowFilter] = {}
        self._report: DumpReport | None = None

    @property
    def report(self) -> DumpReport:
        """What the finished dump holds; DumpFailed before `pieces` came to its end."""
        if self._report is None:
            raise DumpFailed(f"The dump of {self._login.name} was not read to its end.")
        return self._report

    def pieces(self) -> Generator[DumpPiece, None, None]:
        """Yield the dump, section by section. DumpFailed: try again; DatabaseRefused: do not."""
        started_at = datetime.now(UTC)
        try:
            with self._session() as session:
                inventory = self._without_given_up(take_inventory(session))
                programs = self._read_programs(session, inventory)
                self._warn_about(session, inventory)
                packet_bytes = int(session.value("SELECT @@max_allowed_packet"))
                self._filters = filters_for(session, inventory.listing.table_names(), self._policy)
                empty = list(self._tables_without_rows(session, inventory, programs))
        except pymysql.err.MySQLError as error:
            raise connection_error(self._login, error) from None
        names = [name for name in inventory.listing.table_names() if self._policy.keeps_rows(name)]
        names = [*inventory.listing.sequences, *names]
        if names:
            yield from self._client_pieces(names, programs, empty)
        else:
            yield DumpPiece(None, _EMPTY_HEAD)
            yield from self._program_pieces(programs, empty)
            yield DumpPiece(None, END_MARKER + b"\n")
        self._compare(inventory)
        self._warn_about_rows(packet_bytes)
        self._report = self._finished(inventory, programs, started_at)

    def _without_given_up(self, inventory: Inventory) -> Inventory:
        """Return what is there, with the tables that stopped earlier tries among those that cannot be read."""
        listing = inventory.listing
        given_up = {name: why for name, why in self._policy.given_up.items() if name in listing.table_names()}
        readable = tuple(table for table in listing.tables if table.name not in given_up)
        return replace(
            inventory, listing=replace(listing, tables=readable, unreadable={**listing.unreadable, **given_up})
        )

    def _client_pieces(self, names: list[str], programs: list[Program], empty: list[DumpPiece]) -> Iterator[DumpPiece]:
        program = find_dump_program()
        with (
            self._client_login(self._tally.warnings) as login,
            login_file(login, self._address, self._account) as secret,
        ):
            options = [f"--defaults-file={secret.path}", *dump_options(program)]
            with start(
                program,
                options,
                [self._login.name, *names],
                time_limit_seconds=DUMP_LIMIT_SECONDS,
                account=self._account,
                secret=secret,
            ) as child:
                reader = StatementReader(child.chunks(), DumpFailed, _WIDEST_PACKET)
                yield from self._sections(self._whole(reader, child), programs, empty)
                self._check_end(child, reader.tail)
                yield DumpPiece(None, reader.tail)

    def _whole(self, reader: StatementReader, child: Child) -> Iterator[Statement]:
        """The reader's statements; a text that is cut short is blamed on the client that failed, not on its text."""
        try:
            yield from reader
        except DumpFailed:
            ended = child.finish()
            if ended.returncode != 0:
                raise self._client_failed(ended.returncode, ended.stderr_tail) from None
            raise

    def _sections(
        self, statements: Iterator[Statement], programs: list[Program], empty: list[DumpPiece]
    ) -> Iterator[DumpPiece]:
        section: str | None = None
        triggers: dict[str, list[Program]] = defaultdict(list)
        for program in programs:
            if program.kind is Kind.TRIGGER:
                triggers[f"table:{program.table}"].append(program)
        for statement in statements:
            match = _SECTION.fullmatch(statement.text)
            if match is not None or statement.text == _TAIL:
                yield from self._trigger_pieces(section, triggers)
                section = None if match is None else self._begin(match)
            if statement.text == _TAIL:
                yield from self._program_pieces(programs, empty)
            kept = self._kept(section, statement)
            if kept is not None:
                self._count(section, kept)
                yield DumpPiece(section, kept.raw)

    def _kept(self, section: str | None, statement: Statement) -> Statement | None:
        """The statement without the rows that the policy leaves out; None where nothing of it stays."""
        rows = self._filters.get((section or "").removeprefix("table:"))
        return statement if rows is None or not statement.text.startswith(b"INSERT INTO ") else rows.kept(statement)

    def _begin(self, match: re.Match[bytes]) -> str:
        name = own_name(match[2])
        if match[1] == b"SEQUENCE":
            self._tally.sequences.append(name)
            return f"sequence:{name}"
        self._tally.rows[name] += 0
        return f"table:{name}"

    def _count(self, section: str | None, statement: Statement) -> None:
        """Count rows and bytes; read what a restore will have to read, of the rows the first INSERT of a table."""
        table = section.removeprefix("table:") if section is not None and section.startswith("table:") else None
        if table is not None:
            self._tally.sizes[table] += len(statement.raw)
        if statement.text.startswith(b"INSERT INTO ") and table is not None:
            is_first = self._tally.rows[table] == 0
            self._tally.rows[table] += count_rows(statement.text)
            self._tally.widest[table] = max(self._tally.widest[table], len(statement.text))
            if not is_first:
                return
        try:
            self._grammar.read(statement.text)
        except LoadFailed as refusal:
            self._tally.warnings.append(f"A restore would refuse a part of {section or 'the dump'}: {refusal.message}")

    def _trigger_pieces(self, section: str | None, triggers: dict[str, list[Program]]) -> Iterator[DumpPiece]:
        for program in triggers.get(section or "", ()):
            yield DumpPiece(section, dump_program(program))

    def _program_pieces(self, programs: list[Program], empty: list[DumpPiece]) -> Iterator[DumpPiece]:
        yield from empty
        for program in in_creation_order([p for p in programs if p.kind in (Kind.FUNCTION, Kind.PROCEDURE)]):
            yield DumpPiece("routines", dump_program(program))
        for program in in_creation_order([p for p in programs if p.kind is Kind.VIEW]):
            yield DumpPiece(f"view:{program.name}", dump_program(program))
        for program in programs:
            if program.kind is Kind.EVENT:
                yield DumpPiece("events", dump_program(program))

    def _read_programs(self, session: Session, inventory: Inventory) -> list[Program]:
        wanted = [(Kind.VIEW, name, "") for name in inventory.listing.views]
        wanted += [(program.kind, program.name, program.table) for program in inventory.programs]
        found: list[Program] = []
        for kind, name, table in wanted:
            program = read_program(session, kind, name, table)
            if isinstance(program, Unreadable):
                self._tally.missing.append(f"{kind.value} {name}")
                self._tally.warnings.append(f"The {kind.value} {name} is not in the dump: {program.reason}.")
            else:
                found.append(program)
                self._warn_about_view(session, program)
                self._warn_about_definer(program)
        for label in inventory.odd:
            self._tally.missing.append(label)
            self._tally.warnings.append(f"The {label} is not in the dump: dumps hold no programs of this kind.")
        return found

    def _warn_about_view(self, session: Session, program: Program) -> None:
        if program.kind is not Kind.VIEW:
            return
        reason = session.find_trouble(program.name)
        if reason is not None:
            self._tally.missing.append(f"view {program.name}")
            self._tally.warnings.append(f"The view {program.name} does not work; its definition is kept: {reason}.")

    def _warn_about_definer(self, program: Program) -> None:
        definer = definer_user(program.create_sql)
        if definer not in (None, self._login.user):
            self._tally.warnings.append(
                f"The {program.label()} belongs to {definer} and not to this site; a restore would not make it."
            )

    def _tables_without_rows(
        self, session: Session, inventory: Inventory, programs: list[Program]
    ) -> Iterator[DumpPiece]:
        """The definitions of tables whose rows the policy leaves out or that cannot be read, with their triggers."""
        unreadable = inventory.listing.unreadable
        for name, reason in unreadable.items():
            self._tally.missing.append(f"table {name}")
            self._tally.warnings.append(f"The rows of the table {name} are not in the dump: {reason}.")
        left_out = [name for name in inventory.listing.table_names() if not self._policy.keeps_rows(name)]
        for name in sorted({*unreadable, *left_out}):
            try:
                text = session.named_row(f"SHOW CREATE TABLE {quoted(name)}")["Create Table"]
            except pymysql.err.MySQLError as error:
                if is_lost(error) or name not in unreadable:
                    raise
                continue
            sql = f"\nDROP TABLE IF EXISTS {quoted(name)};\n{text};\n".encode("utf-8", "surrogateescape")
            self._tally.rows[name] = 0
            self._tally.sizes[name] = len(sql)
            yield DumpPiece(f"table:{name}", sql)
            for program in programs:
                if program.kind is Kind.TRIGGER and program.table == name:
                    yield DumpPiece(f"table:{name}", dump_program(program))

    def _warn_about(self, session: Session, inventory: Inventory) -> None:
        plain = [table.name for table in inventory.listing.tables if not is_transactional(table)]
        if plain:
            names = ", ".join(plain[:10]) + (" and more" if len(plain) > 10 else "")
            self._tally.warnings.append(f"Not of one moment, because their engines know no transactions: {names}.")
        versioned = versioned_tables(session)
        if versioned:
            self._tally.warnings.append(
                f"Of tables with history only today's rows are kept: {', '.join(versioned[:10])}."
            )
        lacking = " and ".join(lacking_for_a_restore(session))
        if lacking:
            self._tally.warnings.append(
                f"The login {self._login.user} has no right to {lacking} in this database; a restore needs that."
            )
        rights = server_wide_rights(session)
        if rights:
            self._tally.warnings.append(
                f"The login {self._login.user} has rights on the whole database server ({', '.join(rights[:5])}). A restore "
                "needs a login that has rights on this database alone."
            )

    def _warn_about_rows(self, packet_bytes: int) -> None:
        for table, size in self._tally.widest.items():
            if size >= packet_bytes:
                self._tally.warnings.append(
                    f"The table {table} has a row of {size} bytes of SQL, more than the server takes back "
                    f"(max_allowed_packet = {packet_bytes})."
                )

    def _check_end(self, child: Child, tail: bytes) -> None:
        ended = child.finish()
        if ended.timed_out:
            raise DumpFailed(f"The dump of {self._login.name} took more than {DUMP_LIMIT_SECONDS} seconds.")
        if ended.returncode != 0:
            raise self._client_failed(ended.returncode, ended.stderr_tail)
        if END_MARKER not in tail:
            raise DumpFailed(f"The dump of {self._login.name} has no end marker.")

    def _client_failed(self, returncode: int, stderr_tail: str) -> DumpFailed:
        named = _STOPPED_BY.search(stderr_tail)
        return DumpFailed(
            f"The dump client exited {returncode} for {self._login.name}: {stderr_tail}",
            table=None if named is None else next(name for name in named.groups() if name is not None),
        )

    def _compare(self, inventory: Inventory) -> None:
        absent = set(inventory.listing.table_names()) - self._tally.rows.keys()
        absent |= set(inventory.listing.sequences) - set(self._tally.sequences)
        if absent:
            raise DumpFailed(f"The dump of {self._login.name} lacks {', '.join(sorted(absent)[:20])}.")

    def _finished(self, inventory: Inventory, programs: list[Program], started_at: datetime) -> DumpReport:
        tally = self._tally
        damaged = inventory.listing.unreadable
        tables = tuple(self._table(inventory, name, rows, name in damaged) for name, rows in sorted(tally.rows.items()))
        return DumpReport(
            name=self._login.name,
            tables=tables,
            views=_names(programs, Kind.VIEW),
            triggers=_names(programs, Kind.TRIGGER),
            routines=_names(programs, Kind.FUNCTION, Kind.PROCEDURE),
            events=_names(programs, Kind.EVENT),
            server_version=inventory.listing.server_version,
            started_at=started_at,
            consistent=all(is_transactional(table) for table in inventory.listing.tables),
            sequences=tuple(sorted(tally.sequences)),
            missing=tuple(tally.missing),
            warnings=tuple(tally.warnings),
            held_back=tuple(name for name in sorted(tally.rows) if self._policy.is_held_back(name)),
            user=self._login.user,
        )

    def _table(self, inventory: Inventory, name: str, rows: int, is_damaged: bool) -> TableDump:
        size, some = self._tally.sizes[name], self._filters.get(name)
        if not is_damaged and not self._policy.keeps_rows(name):
            live = next(table for table in inventory.listing.tables if table.name == name)
            return TableDump(name, rows, size, True, live.row_estimate, live.size_bytes)
        if some is not None:
            return TableDump(name, rows, size, is_damaged, some.rows_left_out, some.bytes_left_out)
        return TableDump(name, rows, size, is_damaged)


def _names(programs: list[Program], *kinds: Kind) -> tuple[str, ...]:
    return tuple(sorted(program.name for program in programs if program.kind in kinds))

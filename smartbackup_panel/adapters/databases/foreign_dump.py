"""A dump that mysqldump or mariadb-dump wrote with options of its own, read strictly and given as a dump of ours.

What `grammar` takes passes as it is. The forms of triggers and views that those programs wrap into executable comments are
unwrapped and written as ours; settings of the session that our own dumps have too are put into their one form. All else is
refused by name, now and not at a restore. Nothing of it is run, and no server is needed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime

from smartbackup_panel.adapters.databases.create_table import CreateTable
from smartbackup_panel.adapters.databases.grammar import (
    Action,
    CreateSequence,
    DumpGrammar,
    Insert,
    count_rows,
    refused,
)
from smartbackup_panel.adapters.databases.programs import Kind, Program, dump_program
from smartbackup_panel.adapters.databases.statements import NAME, Statement, StatementReader, own_name
from smartbackup_panel.core.databases import DumpPiece, DumpReport, TableDump
from smartbackup_panel.core.errors import LoadFailed

END_MARKER = b"-- Dump completed"
STATEMENT_BYTES = 64 * 1024 * 1024
"""The longest statement and line: mysqldump writes INSERTs of a megabyte and single rows of its max_allowed_packet."""

_HEADER = re.compile(rb"^-- Host: [^\n]*?[ \t]Database: ([^\n]*)$", re.MULTILINE)
_SERVER = re.compile(rb"^-- Server version[ \t]+([^\n]*)$", re.MULTILINE)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$-]{1,64}")
_LAST_SETTING = re.compile(
    rb"/\*(?:!40111 SET SQL_NOTES=@OLD_SQL_NOTES|M!\d{6} SET NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY) \*/"
)
_UTC = b"/*!40103 SET TIME_ZONE='+00:00' */"
_NARROW = re.compile(
    rb"((?:NAMES |character_set_client *= *|CHARACTER_SET_RESULTS *= *))utf8(?:mb3)?(?![a-z0-9])", re.IGNORECASE
)
_DROPPED = re.compile(
    rb"(?:/\*!\d{5,6} )?SET (?:@saved_cs_client *= *@@character_set_client|@saved_cs_results *= *@@character_set_results"
    rb"|@saved_col_connection *= *@@collation_connection|@saved_sql_mode *= *@@sql_mode|@save_time_zone *= *@@TIME_ZONE"
    rb"|sql_mode *= *@saved_sql_mode|time_zone *= *@save_time_zone|character_set_client *= *(?:@saved_cs_client|utf8mb4)"
    rb"|character_set_results *= *(?:@saved_cs_results|utf8mb4)|collation_connection *= *@saved_col_connection)(?: \*/)? ?"
    rb"|SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION\.SQL_LOG_BIN|SET @@SESSION\.SQL_LOG_BIN *= *(?:0|@MYSQLDUMP_TEMP_LOG_BIN)"
    rb"|SET @@GLOBAL\.GTID_PURGED=/\*!80000 '\+'\*/ '[0-9a-f:,\n-]*'"
    rb"|/\*!50001 DROP (?:VIEW|TABLE) IF EXISTS " + NAME + rb" ?\*/"
    rb"|/\*!50001 CREATE (?:VIEW " + NAME + rb" AS SELECT\s|TABLE " + NAME + rb" \()[^;]*\*/"
    rb"|/\*M!\d{6} SET (?:@OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY(?:, NOTE_VERBOSITY=0)?|NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY) \*/"
    rb"|DELIMITER \S{1,8}\n",
    re.DOTALL,
)
_COLLATION = re.compile(rb"/\*!\d{5,6} SET collation_connection *= *([A-Za-z0-9_]+) \*/ ?")
_MODE = re.compile(rb"/\*!\d{5,6} SET (sql_mode|time_zone) *= *('[A-Za-z0-9_,+:/-]*') \*/ ?")
_ANY_NAME = rb"(?:" + NAME + rb"|[A-Za-z0-9_$]++)"
_TRIGGER = re.compile(
    rb"/\*!50003 CREATE\*/ /\*!50017 (DEFINER="
    + NAME
    + rb"@"
    + NAME
    + rb") ?\*/ /\*!50003 TRIGGER\s+("
    + _ANY_NAME
    + rb")"
    rb"\s+(BEFORE|AFTER)\s+(INSERT|UPDATE|DELETE)\s+ON\s+(" + _ANY_NAME + rb")\s+FOR\s+EACH\s+ROW\s+(.*?) ?\*/",
    re.DOTALL | re.IGNORECASE,
)
_VIEW = re.compile(
    rb"/\*!50001 CREATE (ALGORITHM=[A-Z]+) \*/\s/\*!50013 (DEFINER="
    + NAME
    + rb"@"
    + NAME
    + rb" SQL SECURITY [A-Z]+) \*/\s"
    rb"/\*!50001 (VIEW " + NAME + rb".*?) ?\*/",
    re.DOTALL,
)
_SECTION = re.compile(rb"(?:DROP|CREATE) (TABLE|SEQUENCE) (?:IF EXISTS )?(" + NAME + rb")")
_EVENT_OR_ROUTINE = re.compile(rb"/\*!50(?:003|020|106) CREATE ?\*/.*", re.DOTALL)


class ForeignDump:
    """A `DumpRun`: iterate `pieces` once, to the end; then `report` is there. LoadFailed: nothing of it counts."""

    def __init__(self, name: str, chunks: Iterable[bytes]) -> None:
        """Read the plain text of a dump that is called `name` in errors."""
        self._name = name
        self._reader = StatementReader(_with_plain_delimiters(chunks), LoadFailed, STATEMENT_BYTES)
        self._grammar = DumpGrammar("")
        self._rows: dict[str, int] = {}
        self._sizes: dict[str, int] = defaultdict(int)
        self._sequences: list[str] = []
        self._programs: list[Program] = []
        self._section: str | None = None
        self._head = b""
        self._is_utc = False
        self._report: DumpReport | None = None

    @property
    def report(self) -> DumpReport:
        """What the dump holds; LoadFailed before `pieces` came to its end. Its name is "" where the dump says none."""
        if self._report is None:
            raise LoadFailed(f"{self._name} was not read to its end.")
        return self._report

    def pieces(self) -> Generator[DumpPiece, None, None]:
        """Yield it as a dump of ours. Raises LoadFailed, and whatever the chunks raise."""
        last = b""
        for statement in self._reader:
            last = statement.text
            self._head = self._head or statement.leading
            yield from self._taken(statement)
        if END_MARKER not in self._reader.tail and not _LAST_SETTING.fullmatch(last):
            raise LoadFailed(f"{self._name} has no end marker: it is not whole.", hint="Use an earlier dump.")
        if not self._rows:
            raise LoadFailed(f"{self._name} defines no table.", hint="A dump of mysqldump or mariadb-dump is needed.")
        yield DumpPiece(None, b"\n" + END_MARKER + b"\n")
        self._report = self._finished()

    def _taken(self, statement: Statement) -> Iterator[DumpPiece]:
        """Yield what is kept of a statement."""
        text = _unwrapped(statement.text)
        if text is None:
            return
        self._is_utc |= text == _UTC
        try:
            action = self._grammar.read(text)
        except UnicodeDecodeError:
            raise refused(text) from None
        if isinstance(action, Program):
            if action.kind is Kind.TRIGGER and action.table not in self._rows:
                raise LoadFailed(f"{self._name} has a trigger for {action.table}, which it does not define.")
            self._programs.append(action)
            yield DumpPiece(self._section_of(action), dump_program(action))
            return
        if text.startswith((b"/*!50003 SET ", b"/*!50106 SET ")):
            return
        self._section = self._section_at(text)
        raw = statement.leading + text + b";"
        self._count(action, raw)
        yield DumpPiece(self._section, raw + b"\n" if not statement.leading else raw)

    def _section_at(self, text: bytes) -> str | None:
        head = _SECTION.match(text)
        if head is not None:
            return f"{head[1].decode().lower()}:{own_name(head[2])}"
        return None if text.startswith(b"/*!") and b" SET " in text[:16] else self._section

    def _section_of(self, program: Program) -> str:
        if program.kind is Kind.TRIGGER:
            return f"table:{program.table}"
        return f"view:{program.name}" if program.kind is Kind.VIEW else f"{program.kind.value}s"

    def _count(self, action: Action | None, raw: bytes) -> None:
        if isinstance(action, CreateTable):
            if action.table in self._rows:
                raise LoadFailed(f"{self._name} defines {action.table} twice.")
            self._rows[action.table] = 0
        if isinstance(action, CreateSequence):
            self._sequences.append(action.name)
        if isinstance(action, Insert):
            if action.table not in self._rows:
                raise LoadFailed(f"{self._name} has rows for {action.table}, which it does not define.")
            self._rows[action.table] += count_rows(raw[raw.index(b"INSERT INTO ") : -1])
        if isinstance(action, CreateTable | Insert):
            self._sizes[action.table] += len(raw)

    def _finished(self) -> DumpReport:
        said, server = _HEADER.search(self._head), _SERVER.search(self._head)
        name = said[1].decode("utf-8", "replace").strip() if said else ""
        return DumpReport(
            name=name if _PLAIN_NAME.fullmatch(name) else "",
            tables=tuple(TableDump(table, rows, self._sizes[table]) for table, rows in sorted(self._rows.items())),
            views=self._names(Kind.VIEW),
            triggers=self._names(Kind.TRIGGER),
            routines=self._names(Kind.FUNCTION, Kind.PROCEDURE),
            events=self._names(Kind.EVENT),
            server_version=server[1].decode("utf-8", "replace")[:100] if server else "",
            started_at=datetime.now(UTC),
            consistent=False,
            sequences=tuple(sorted(self._sequences)),
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        yield f"{self._name} was made by another program: tables that it does not hold stay as they are at a restore."
        if not self._is_utc:
            yield f"{self._name} does not say in which time zone its timestamps are; they are taken for UTC."

    def _names(self, *kinds: Kind) -> tuple[str, ...]:
        return tuple(sorted(program.name for program in self._programs if program.kind in kinds))


def _unwrapped(text: bytes) -> bytes | None:
    """Return a statement in the form that `grammar` reads, None for one that a dump of ours does not need."""
    if not text.startswith((b"/*!", b"/*M!", b"SET ", b"DELIMITER ")):
        return text
    text = _NARROW.sub(rb"\1utf8mb4", text)
    if _DROPPED.fullmatch(text):
        return None
    if collation := _COLLATION.fullmatch(text):
        return b"/*!50003 SET collation_connection = '" + collation[1] + b"' */ "
    if mode := _MODE.fullmatch(text):
        number = b"50106" if mode[1] == b"time_zone" else b"50003"
        return b"/*!" + number + b" SET " + mode[1] + b" = " + mode[2] + b" */ "
    if trigger := _TRIGGER.fullmatch(text.rstrip(b"\n")):
        definer, name, time, action, table, body = trigger.groups()
        head = [b"CREATE", definer, b"TRIGGER", _quoted(name), time.upper(), action.upper(), b"ON", _quoted(table)]
        return b" ".join([*head, b"FOR EACH ROW", body.strip()])
    if view := _VIEW.fullmatch(text):
        return b" ".join([b"CREATE", view[1], view[2], view[3]])
    if _EVENT_OR_ROUTINE.fullmatch(text):
        raise refused(text)
    return text


def _quoted(name: bytes) -> bytes:
    """Return a name in backticks; a trigger's text is as its author wrote it."""
    return name if name.startswith(b"`") else b"`" + name + b"`"


def _with_plain_delimiters(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text with a trigger's delimiter on a line of its own, as in our dumps; mysqldump writes it behind the comment."""
    delimiter = b";"
    for line in _lines(chunks):
        if line.startswith(b"DELIMITER "):
            delimiter = line[len(b"DELIMITER ") :].strip()
        elif delimiter != b";" and line.endswith(b"*/" + delimiter + b"\n"):
            line = line[: -len(delimiter) - 1] + b"\n" + delimiter + b"\n"
        yield line


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends. LoadFailed for one of more than STATEMENT_BYTES."""
    rest = bytearray()
    for chunk in chunks:
        begin = len(rest)
        rest += chunk
        end = rest.rfind(b"\n", begin)
        if end < 0:
            if len(rest) > STATEMENT_BYTES:
                raise LoadFailed(f"The dump has a line of more than {STATEMENT_BYTES} bytes.")
            continue
        whole = bytes(rest[: end + 1])
        del rest[: end + 1]
        yield from _split(whole)
    if rest:
        yield bytes(rest)


def _split(whole: bytes) -> Iterator[bytes]:
    """Yield lines that end with a newline alone: a carriage return is a byte like any other."""
    start = 0
    while start < len(whole):
        end = whole.index(b"\n", start) + 1
        yield whole[start:end]
        start = end

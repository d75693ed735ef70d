"""The only statements that a dump may hold on its way back, and what each of them means for a load.

A dump is untrusted (SECURITY rules 7 and 13). What is not of a form that our own dumps have is refused by name: nothing is
passed on because it looked harmless. What is accepted is not sent as it is either: settings are read and dropped, tables get
a scratch name, foreign keys and programs are taken out for later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from smartbackup_panel.adapters.databases.create_table import CreateTable, read_create_table
from smartbackup_panel.adapters.databases.programs import PLAIN_COLLATION, PLAIN_MODE, UTC_OFFSET, Kind, Program
from smartbackup_panel.adapters.databases.statements import INSERT_HEAD, NAME, STRING, own_name
from smartbackup_panel.core.errors import LoadFailed

LITERAL = rb"(?:NULL|(?:_binary )?" + STRING + rb"|0x[0-9A-Fa-f]++|-?[0-9][0-9.]*+(?:e[+-]?[0-9]++)?)"
_ROW = rb"\(" + LITERAL + rb"(?:," + LITERAL + rb")*+\)"
ROWS = re.compile(_ROW, re.DOTALL)
_INSERT = re.compile(
    rb"INSERT INTO ("
    + NAME
    + rb")( (?:\((?:"
    + NAME
    + rb"(?:, )?)++\) )?VALUES\s?"
    + _ROW
    + rb"(?:,\n?"
    + _ROW
    + rb")*+)",
    re.DOTALL,
)
_SAVED = rb"@(?:OLD_[A-Z_]+|saved_cs_client)"
_ASSIGNMENT = (
    rb"(?:@OLD_[A-Z_]+=@@[A-Z_]+|@saved_cs_client *= *@@character_set_client|NAMES utf8mb4"
    rb"|(?:UNIQUE_CHECKS|FOREIGN_KEY_CHECKS|SQL_NOTES)=(?:[01]|" + _SAVED + rb")"
    rb"|TIME_ZONE=(?:'\+00:00'|" + _SAVED + rb")|SQL_MODE=(?:'NO_AUTO_VALUE_ON_ZERO'|" + _SAVED + rb")"
    rb"|(?:character_set_client|CHARACTER_SET_CLIENT|CHARACTER_SET_RESULTS|COLLATION_CONNECTION) ?= ?(?:utf8mb4|"
    + _SAVED
    + rb"))"
)
_IGNORED = re.compile(
    rb"(?:/\*!\d{5,6} SET " + _ASSIGNMENT + rb"(?:, " + _ASSIGNMENT + rb")*+ \*/"
    rb"|/\*!40000 ALTER TABLE " + NAME + rb" (?:DISABLE|ENABLE) KEYS \*/"
    rb"|LOCK TABLES " + NAME + rb" WRITE|UNLOCK TABLES"
    rb"|DROP (?:TABLE|SEQUENCE|VIEW|TRIGGER|PROCEDURE|FUNCTION|EVENT) IF EXISTS " + NAME + rb"|DELIMITER \S{1,8}\n)"
)
_PROGRAM_SETTING = re.compile(
    rb"/\*!50(?:003|106) SET (sql_mode|collation_connection|time_zone) = '([A-Za-z0-9_,+:/-]*)' \*/ ?"
)
_SEQUENCE = re.compile(rb"CREATE SEQUENCE (" + NAME + rb")((?: (?:[a-z]++|-?[0-9]++))++(?: ENGINE=[A-Za-z]+)?)")
_SET_SEQUENCE = re.compile(rb"(?:DO|SELECT) SETVAL\((" + NAME + rb")(, -?[0-9]+, [01](?:, [0-9]+)?)\)")
_DEFINER = rb"DEFINER=" + NAME + rb"(?:@" + NAME + rb")? "
_PROGRAM = re.compile(
    rb"CREATE (?:"
    rb"ALGORITHM=(?:UNDEFINED|MERGE|TEMPTABLE) " + _DEFINER + rb"SQL SECURITY (?:DEFINER|INVOKER) "
    rb"(?P<view>VIEW) (?P<view_name>" + NAME + rb")(?: \([^()']*\))? AS .+"
    rb"|" + _DEFINER + rb"(?P<trigger>TRIGGER) (?P<trigger_name>" + NAME + rb") "
    rb"(?:BEFORE|AFTER) (?:INSERT|UPDATE|DELETE) ON (?P<table>" + NAME + rb") FOR EACH ROW .+"
    rb"|" + _DEFINER + rb"(?P<routine>PROCEDURE|FUNCTION) (?P<routine_name>" + NAME + rb")\(.+"
    rb"|" + _DEFINER + rb"(?P<event>EVENT) (?P<event_name>" + NAME + rb") ON SCHEDULE .+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for a table: literals only, checked to the last byte. `rest` is all that follows the name."""

    table: str
    rest: bytes


@dataclass(frozen=True, slots=True)
class CreateSequence:
    """A sequence's definition; `rest` is all that follows the name."""

    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class SetSequence:
    """Where a sequence stands; `rest` are the remaining arguments."""

    name: str
    rest: str


Action = CreateTable | Insert | CreateSequence | SetSequence | Program


@dataclass(slots=True)
class DumpGrammar:
    """Reads one statement after the other; remembers the settings that belong to the next program."""

    database: str
    _settings: dict[str, str] = field(default_factory=dict)

    def read(self, text: bytes) -> Action | None:
        """Return what the statement asks for, None for one that a load has no use for; LoadFailed names a refused one."""
        if text.startswith(b"INSERT INTO "):
            return _read_insert(text)
        if text.startswith(b"CREATE TABLE "):
            return read_create_table(text, self.database)
        if _IGNORED.fullmatch(text):
            return None
        if setting := _PROGRAM_SETTING.fullmatch(text):
            self._settings[setting[1].decode()] = setting[2].decode()
            return None
        if sequence := _SEQUENCE.fullmatch(text):
            return CreateSequence(own_name(sequence[1]), sequence[2].decode())
        if value := _SET_SEQUENCE.fullmatch(text):
            return SetSequence(own_name(value[1]), value[2].decode())
        if program := _PROGRAM.fullmatch(text.rstrip(b"\n")):
            return self._program(program)
        raise refused(text)

    def _program(self, match: re.Match[bytes]) -> Program:
        kind = next(match[group] for group in ("view", "trigger", "routine", "event") if match[group])
        name = next(
            match[f"{group}_name"] for group in ("view", "trigger", "routine", "event") if match[f"{group}_name"]
        )
        return Program(
            Kind(kind.decode().lower()),
            own_name(name),
            _text(match[0]),
            own_name(match["table"]) if match["table"] else "",
            sql_mode=self._settings.get("sql_mode", PLAIN_MODE),
            collation=self._settings.get("collation_connection", PLAIN_COLLATION),
            time_zone=self._settings.get("time_zone", UTC_OFFSET),
        )


def count_rows(insert: bytes) -> int:
    """Return how many rows an INSERT of a dump client holds.

    MariaDB's writes each row on a line of its own, and a newline inside a value is escaped, so lines are rows; MySQL's
    writes all rows in one line, where the rows themselves are matched.
    """
    head = INSERT_HEAD.match(insert)
    if head is None:
        return 0
    if insert.startswith(b"\n", head.end()):
        return insert.count(b"\n", head.end())
    return len(ROWS.findall(insert, head.end()))


def refused(text: bytes) -> LoadFailed:
    """Return the error that names a statement which no dump of ours holds."""
    shown = " ".join(text[:160].decode("utf-8", "replace").split())
    return LoadFailed(
        f"The dump holds a statement that a restore does not run: {shown!r}.",
        hint="Do not use this dump; it was not written by this product or has been altered. Nothing of it was run.",
    )


def _read_insert(text: bytes) -> Insert:
    match = _INSERT.fullmatch(text)
    if match is None:
        raise refused(text)
    return Insert(own_name(match[1]), match[2])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

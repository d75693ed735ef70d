"""Leave rows out of the INSERT statements of a dump on their way through, as a rule says.

The dump client reads all tables in one transaction, and can leave rows out of all tables or none; so the rows go through
here, which keeps the one moment and lets what was saved be measured.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smartbackup_panel.adapters.databases.connection import Session, quoted
from smartbackup_panel.adapters.databases.grammar import LITERAL, ROWS
from smartbackup_panel.adapters.databases.statements import INSERT_HEAD, NAME, Statement
from smartbackup_panel.core.row_rules import TIMEOUTS, DumpPolicy, RowRule

_LITERAL = re.compile(LITERAL, re.DOTALL)
_NAME = re.compile(NAME)
_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)


@dataclass(slots=True)
class RowFilter:
    """Of one table: `goes` decides by the text of the column; what went is counted."""

    columns: list[str]
    column: str
    goes: Callable[[bytes], bool]
    rows_left_out: int = 0
    bytes_left_out: int = 0
    _places: dict[bytes, int] = field(default_factory=dict)

    def kept(self, statement: Statement) -> Statement | None:
        """Return the statement without the rows that go; None when none stays."""
        head = INSERT_HEAD.match(statement.text)
        if head is None:
            return statement
        place = self._place(head[0])
        rows = [match[0] for match in ROWS.finditer(statement.text, head.end())]
        staying = [row for row in rows if not self.goes(_value(row, place))]
        self.rows_left_out += len(rows) - len(staying)
        if len(staying) == len(rows):
            return statement
        text = head[0] + b"\n" + b",\n".join(staying)
        self.bytes_left_out += len(statement.text) - (len(text) if staying else 0)
        return Statement(statement.leading, text, statement.leading + text + b";") if staying else None

    def _place(self, head: bytes) -> int:
        """Where the column stands in a row: the statement names its columns where some are computed or hidden."""
        if head not in self._places:
            listed = [name.decode() for name in _NAME.findall(head)[1:]]
            self._places[head] = (listed or [quoted(name) for name in self.columns]).index(quoted(self.column))
        return self._places[head]


def filters_for(session: Session, tables: tuple[str, ...], policy: DumpPolicy) -> dict[str, RowFilter]:
    """Return a filter for each table that a rule is for and that has the rule's columns."""
    found = {}
    for table in tables:
        rule = policy.rule_for(table)
        if rule is None:
            continue
        sql = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"
        columns = [name for (name,) in session.rows(sql, table)]
        if rule.column in columns and (not rule.expiry_column or rule.expiry_column in columns):
            found[table] = RowFilter(columns, rule.column, _decision(session, table, rule))
    return found


def _decision(session: Session, table: str, rule: RowRule) -> Callable[[bytes], bool]:
    if not rule.starts:
        now = int(time.time())
        return lambda value: value.isdigit() and int(value) < now
    if rule.expiry_column:
        names = _expired_names(session, table, rule)
        return lambda value: value in names
    starts = tuple(start.encode() for start in rule.starts)
    return lambda value: value.startswith(starts)


def _expired_names(session: Session, table: str, rule: RowRule) -> frozenset[bytes]:
    """The names of timeouts that have passed and of what they belong to: the application itself reads neither any more."""
    name, expiry = quoted(rule.column), quoted(rule.expiry_column)
    likes = " OR ".join([f"{name} LIKE %s"] * len(TIMEOUTS))
    sql = f"SELECT {name} FROM {quoted(table)} WHERE ({likes}) AND {expiry} REGEXP '^[0-9]{{1,12}}$' AND {expiry} + 0 < UNIX_TIMESTAMP()"  # noqa: S608
    rows = session.rows(sql, *(f"{start}%".replace("_", "\\_") for start in TIMEOUTS))
    timeouts = {str(found).encode("utf-8", "surrogateescape") for (found,) in rows}
    return frozenset(timeouts | {found.replace(b"transient_timeout_", b"transient_", 1) for found in timeouts})


def _value(row: bytes, place: int) -> bytes:
    """The text of one value of a row; a number as it is written."""
    position = 1
    for _ in range(place):
        match = _LITERAL.match(row, position)
        if match is None:
            return b""
        position = match.end() + 1
    match = _LITERAL.match(row, position)
    raw = b"" if match is None else match[0].removeprefix(b"_binary ")
    return _ESCAPE.sub(lambda found: found[1] or b"'", raw[1:-1]) if raw.startswith(b"'") else raw

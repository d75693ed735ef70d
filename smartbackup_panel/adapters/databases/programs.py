"""Views, triggers, routines and events: read from a server, written into a dump, made again.

They are dumped by this module and not by the dump client, so that one broken view or an unreadable routine is reported by
name while everything else is kept, and so that the text that comes back is of one strict form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pymysql

from smartbackup_panel.adapters.databases.connection import Session, error_facts, is_lost, quoted
from smartbackup_panel.core.errors import LoadFailed

UTC_OFFSET = "+00:00"
PLAIN_MODE = "NO_AUTO_VALUE_ON_ZERO"
PLAIN_COLLATION = "utf8mb4_general_ci"
_DELIMITERS = (";;", "$$", "//", "$sb$", "$sb1$", "$sb2$")


class Kind(StrEnum):
    """The kinds of programs, in the order in which a dump holds them."""

    TRIGGER = "trigger"
    VIEW = "view"
    FUNCTION = "function"
    PROCEDURE = "procedure"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Program:
    """A view, trigger, routine or event with the settings that are part of its meaning.

    `create_sql` is of the server's own form `CREATE … DEFINER=… KIND `name` …`, names unqualified.
    """

    kind: Kind
    name: str
    create_sql: str
    table: str = ""
    sql_mode: str = PLAIN_MODE
    collation: str = PLAIN_COLLATION
    time_zone: str = UTC_OFFSET

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Program:
        return cls(**{**fields, "kind": Kind(fields["kind"])})

    def label(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A program whose definition the server does not give, and its reason."""

    kind: Kind
    name: str
    reason: str


def read_program(session: Session, kind: Kind, name: str, table: str = "") -> Program | Unreadable:
    """Return one program as it is in the session's database; MySQLError only when the connection is lost."""
    try:
        row = session.named_row(f"SHOW CREATE {kind.value.upper()} {quoted(name)}")
    except pymysql.err.MySQLError as error:
        if is_lost(error):
            raise
        return Unreadable(kind, name, error_facts(error)[1])
    text = _definition(row)
    if text is None:
        return Unreadable(kind, name, "the login may not see its definition")
    if kind is Kind.TRIGGER:
        text = _canonical_trigger(session, name, text)
    return Program(
        kind,
        name,
        text,
        table,
        sql_mode=str(row.get("sql_mode", PLAIN_MODE)),
        collation=str(row.get("collation_connection", PLAIN_COLLATION)),
        time_zone=str(row.get("time_zone", UTC_OFFSET)),
    )


def dump_program(program: Program) -> bytes:
    """Return the SQL that makes the program again; the plain `mariadb` client reads it too."""
    delimiter = next(text for text in _DELIMITERS if text not in program.create_sql)
    settings = [
        f"/*!50003 SET sql_mode = '{program.sql_mode}' */ ;",
        f"/*!50003 SET collation_connection = '{program.collation}' */ ;",
        f"/*!50106 SET time_zone = '{program.time_zone}' */ ;",
    ]
    back = [
        f"/*!50003 SET sql_mode = '{PLAIN_MODE}' */ ;",
        f"/*!50003 SET collation_connection = '{PLAIN_COLLATION}' */ ;",
        f"/*!50106 SET time_zone = '{UTC_OFFSET}' */ ;",
    ]
    drop = f"DROP {program.kind.value.upper()} IF EXISTS {quoted(program.name)};"
    body = [f"DELIMITER {delimiter}", program.create_sql, delimiter, "DELIMITER ;"]
    return "\n".join(["", drop, *settings, *body, *back, ""]).encode("utf-8", "surrogateescape")


def create_program(session: Session, program: Program) -> None:
    """Make the program under the session's own account, whoever its definer was; pymysql's errors come out."""
    settings = (program.sql_mode, program.collation, program.time_zone)
    session.run("SET SESSION sql_mode = %s, collation_connection = %s, time_zone = %s", *settings)
    try:
        session.send(without_definer(program.create_sql).encode("utf-8", "surrogateescape"))
    finally:
        plain = (PLAIN_MODE, PLAIN_COLLATION, UTC_OFFSET)
        session.run("SET SESSION sql_mode = %s, collation_connection = %s, time_zone = %s", *plain)


def drop_program(session: Session, kind: Kind, name: str) -> None:
    """Drop it; one that is not there is fine."""
    session.run(f"DROP {kind.value.upper()} IF EXISTS {quoted(name)}")


def in_creation_order(programs: Sequence[Program]) -> list[Program]:
    """Return them so that functions come before views, and each view after the views that its text names."""
    rank = {Kind.FUNCTION: 0, Kind.PROCEDURE: 1, Kind.VIEW: 2, Kind.TRIGGER: 3, Kind.EVENT: 4}
    others = sorted((program for program in programs if program.kind is not Kind.VIEW), key=lambda p: rank[p.kind])
    views = list(_views_in_order([program for program in programs if program.kind is Kind.VIEW]))
    first = [program for program in others if rank[program.kind] < rank[Kind.VIEW]]
    return [*first, *views, *(program for program in others if rank[program.kind] > rank[Kind.VIEW])]


_NAME = r"`(?:[^`]|``)+`"
_DEFINER = re.compile(rf"(CREATE (?:ALGORITHM=\w+ )?)DEFINER=({_NAME})(?:@{_NAME})? ")


def definer_user(create_sql: str) -> str | None:
    """Return the user name of a definition's definer, or None where it names none."""
    match = _DEFINER.match(create_sql)
    return None if match is None else match[2][1:-1].replace("``", "`")


def without_definer(create_sql: str) -> str:
    """Return the definition without its definer: made so, the session's own account becomes the definer."""
    return _DEFINER.sub(r"\1", create_sql, count=1)


def _definition(row: dict[str, Any]) -> str | None:
    for column, value in row.items():
        if column.startswith("Create ") or column == "SQL Original Statement":
            return None if value is None else str(value)
    raise LoadFailed("The database server describes a program in a form that is not known.")


_TRIGGER_HEAD = re.compile(rf"(?is)CREATE\s+(?:{_NAME}|[^`])*?\bFOR\s+EACH\s+ROW\b\s*")


def _canonical_trigger(session: Session, name: str, text: str) -> str:
    """The server keeps a trigger's head as it was typed; give it the one form that a load accepts."""
    columns = "DEFINER, ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE"
    sql = f"SELECT {columns} FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = %s"  # noqa: S608  # constants
    definer, timing, event, table = session.rows(sql, name)[0]
    user, _, host = str(definer).rpartition("@")
    account = f"{quoted(user)}@{quoted(host)}" if user else quoted(host)
    body = _TRIGGER_HEAD.sub("", text, count=1)
    return f"CREATE DEFINER={account} TRIGGER {quoted(name)} {timing} {event} ON {quoted(table)} FOR EACH ROW {body}"


def _views_in_order(views: list[Program]) -> Iterator[Program]:
    waiting = {view.name: view for view in views}
    while waiting:
        ready = [view for view in waiting.values() if not _names_another(view, waiting)] or list(waiting.values())
        for view in ready:
            yield waiting.pop(view.name)


def _names_another(view: Program, waiting: dict[str, Program]) -> bool:
    return any(name != view.name and quoted(name) in view.create_sql for name in waiting)

"""What a tenant's database holds now, as its own login sees it."""

from __future__ import annotations

from dataclasses import dataclass

from smartbackup_panel.adapters.databases.connection import Session
from smartbackup_panel.adapters.databases.programs import Kind
from smartbackup_panel.core.databases import DatabaseListing, TableInfo, is_reserved

_TABLES = (
    "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH, TABLE_COMMENT "
    "FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME"
)
_TRIGGERS = (
    "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() "
    "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
)
_ROUTINES = (
    "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() "
    "ORDER BY ROUTINE_TYPE, ROUTINE_NAME"
)
_EVENTS = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY EVENT_NAME"
_VERSIONED = (
    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SYSTEM VERSIONED' "
    "ORDER BY TABLE_NAME"
)
_TRANSACTIONAL = frozenset({"InnoDB", "ROCKSDB", "TokuDB", "SEQUENCE"})


@dataclass(frozen=True, slots=True)
class ProgramName:
    """A trigger, routine or event by name; `table` is a trigger's table."""

    kind: Kind
    name: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """A listing, and its programs with their kinds. `odd` names routines of kinds that a dump cannot hold."""

    listing: DatabaseListing
    programs: tuple[ProgramName, ...]
    odd: tuple[str, ...]


def take_inventory(session: Session) -> Inventory:
    """Return what the database holds, without the tables that restores of this product keep there."""
    tables: list[TableInfo] = []
    views: list[str] = []
    sequences: list[str] = []
    unreadable: dict[str, str] = {}
    for name, kind, engine, rows, size, comment in session.rows(_TABLES):
        if is_reserved(name):
            continue
        if kind == "VIEW":
            views.append(name)
        elif kind == "SEQUENCE":
            sequences.append(name)
        elif (reason := _trouble(session, name, engine, comment)) is not None:
            unreadable[name] = reason
        else:
            tables.append(TableInfo(name, str(engine), int(rows or 0), int(size or 0)))
    programs, odd = _programs(session)
    listing = DatabaseListing(
        server_version=session.server_version,
        tables=tuple(tables),
        views=tuple(views),
        sequences=tuple(sequences),
        triggers=tuple(program.name for program in programs if program.kind is Kind.TRIGGER),
        routines=tuple(program.name for program in programs if program.kind in (Kind.FUNCTION, Kind.PROCEDURE)),
        events=tuple(program.name for program in programs if program.kind is Kind.EVENT),
        unreadable=unreadable,
    )
    return Inventory(listing, programs, odd)


def versioned_tables(session: Session) -> list[str]:
    """Return the tables whose earlier rows the server keeps; a dump holds the rows of now."""
    return [name for (name,) in session.rows(_VERSIONED) if not is_reserved(name)]


def is_transactional(table: TableInfo) -> bool:
    """Return whether one transaction sees all its rows as of one moment."""
    return table.engine in _TRANSACTIONAL


def _programs(session: Session) -> tuple[tuple[ProgramName, ...], tuple[str, ...]]:
    triggers = session.rows(_TRIGGERS)
    found = [ProgramName(Kind.TRIGGER, name, table) for name, table in triggers if not is_reserved(table)]
    odd = []
    for kind, name in session.rows(_ROUTINES):
        if kind in ("FUNCTION", "PROCEDURE"):
            found.append(ProgramName(Kind(kind.lower()), name))
        else:
            odd.append(f"{kind.lower()} {name}")
    found += [ProgramName(Kind.EVENT, name) for (name,) in session.rows(_EVENTS)]
    return tuple(found), tuple(odd)


def _trouble(session: Session, name: str, engine: str | None, comment: str) -> str | None:
    """Return why a table cannot be read, or None. Tables of crash-prone engines are touched once to know."""
    if engine is None:
        return comment or "the server cannot open it"
    return None if engine in _TRANSACTIONAL else session.find_trouble(name)

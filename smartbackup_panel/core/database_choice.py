"""What of a point's databases is restored, and where to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from smartbackup_panel.core.database_hosts import SYSTEM_DATABASES, DatabaseLogin
from smartbackup_panel.core.databases import DumpReport, LoadPart, is_reserved
from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.model import DumpFile
from smartbackup_panel.core.newer_rows import kept_for

Tables = Mapping[str, Sequence[str]]
"""Chosen tables by the point's database; an empty sequence stands for a whole database, no entry at all for all of them."""
NO_TABLES: Tables = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """`tables` are the chosen ones; with `into`, the one database chosen goes into another one of the same login.

    `keeps_newer`: comments and orders that came since stay, where the application is known.
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    into: str | None = None
    keeps_newer: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> DatabaseChoice:
        """Return the choice that a job's parameters (as `fields_of` makes them) say."""
        tables = params.get("tables") or {}
        assert isinstance(tables, Mapping), "fields_of made it"
        into = params.get("into")
        return cls(
            {str(name): tuple(map(str, listed)) for name, listed in tables.items()},
            str(into) if into else None,
            bool(params.get("keep_newer")),
        )

    def of(self, dumps: Sequence[DumpFile]) -> tuple[DumpFile, ...]:
        """Return the dumps that are restored."""
        return tuple(dump for dump in dumps if not self.tables or dump.database in self.tables)

    def part_of(self, dump: DumpFile) -> LoadPart:
        """Return what of a dump is loaded; rows that are held back come along where their table was chosen."""
        chosen = self.tables.get(dump.database, ())
        stays = self.keeps_newer and self.into is None and dump.kind == "mysql"
        keep = kept_for(_table_names(dump)) if stays else ()
        return LoadPart(frozenset(chosen) if chosen else None, with_held_back=bool(chosen), keep=keep)

    def target(self, login: DatabaseLogin) -> DatabaseLogin:
        """Return the login of the database that is written to."""
        return login if self.into is None else replace(login, name=self.into)


def fields_of(dumps: Sequence[DumpFile], tables: Tables, into: str | None) -> dict[str, object]:
    """Return a checked choice as a job's parameters; nothing for "all of it, where it was". Raises WrongUsage."""
    for database, listed in tables.items():
        names = _table_names(_dump_of(dumps, database))
        for table in listed:
            if table not in names:
                raise WrongUsage(f"the copy of the database {database} holds no table {table!r}")
    if into is not None:
        _check_target(len(tables) or len(dumps), into)
    chosen = {"tables": {name: sorted(set(listed)) for name, listed in sorted(tables.items())}} if tables else {}
    return chosen | ({"into": into} if into is not None else {})


def named_tables(dumps: Sequence[DumpFile], names: Sequence[str], database: str | None) -> dict[str, tuple[str, ...]]:
    """Return chosen tables by database, where the tables are named alone or with their database. Raises WrongUsage."""
    if database is not None:
        _dump_of(dumps, database)
        return {database: tuple(names)}
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        holding = [dump.database for dump in dumps if name in _table_names(dump)]
        if len(holding) != 1:
            why = "no database" if not holding else "several databases"
            raise WrongUsage(f"{why} of this point has a table {name!r}", hint="Name the database with --database.")
        found[holding[0]] = (*found.get(holding[0], ()), name)
    return found


def _dump_of(dumps: Sequence[DumpFile], database: str) -> DumpFile:
    for dump in dumps:
        if dump.database == database:
            return dump
    raise WrongUsage(f"this restore point holds no database {database!r}")


def _table_names(dump: DumpFile) -> set[str]:
    return {table.name for table in DumpReport.from_fields(dump.report).tables}


def _check_target(chosen: int, into: str) -> None:
    if chosen != 1:
        raise WrongUsage(
            "only one database at a time goes into another one", hint="Choose one of the point's databases."
        )
    if not into or "\0" in into or len(into) > 64 or is_reserved(into) or into.lower() in SYSTEM_DATABASES:
        raise WrongUsage(f"{into!r} is no name of a database that a site can have")

"""What a dump, a plan or a load of a database reports, and what services ask of a database server. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.newer_rows import KeptTable, Newer, Question
from smartbackup_panel.core.row_rules import KEEP_ALL_ROWS, DumpPolicy

NEW_PREFIX = "_sbn_"
OLD_PREFIX = "_sbo_"
JOURNAL_TABLE = "_sb_restore"
RESERVED_PREFIXES = (NEW_PREFIX, OLD_PREFIX, JOURNAL_TABLE)
"""Names that a restore uses inside a tenant's database; such tables are never dumped and never shown."""
IDENTIFIER_LIMIT = 64


def is_reserved(name: str) -> bool:
    """Return whether a table or view of this name belongs to a restore of this product."""
    return name.lower().startswith(RESERVED_PREFIXES)


class DumpPiece(NamedTuple):
    """Bytes of a dump. `section` names what they belong to (`table:wp_posts`, `view:v`, `routines`, `events`).

    None is what stands between them, which every load of a part needs as well. The bytes of a section are contiguous: the
    store begins a section where the name changes.
    """

    section: str | None
    chunk: bytes


@dataclass(frozen=True, slots=True)
class TableDump:
    """One table of a dump. `rows` were counted in the dump itself; `size_bytes` are its SQL, uncompressed.

    `rows_left_out` and `bytes_left_out` are what the policy saved: counted in the SQL where some rows were left out, the
    server's own estimates where all were (`data_left_out`).
    """

    name: str
    rows: int
    size_bytes: int
    data_left_out: bool = False
    rows_left_out: int = 0
    bytes_left_out: int = 0


@dataclass(frozen=True, slots=True)
class DumpReport:
    """What a finished dump holds. `consistent` is True when all rows are of one moment (one transaction).

    `missing` names what could not be dumped (a point with such a dump is `partial`); `warnings` are sentences for the page;
    `held_back` are tables whose rows a restore leaves out unless they are asked for. `user` is the login's: its definers are
    the site's own, also where the site has another login by the time of a restore. `restrict_key` is PostgreSQL's: psql takes no commands without it.
    """

    name: str
    tables: tuple[TableDump, ...]
    views: tuple[str, ...]
    triggers: tuple[str, ...]
    routines: tuple[str, ...]
    events: tuple[str, ...]
    server_version: str
    started_at: datetime
    consistent: bool
    sequences: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    held_back: tuple[str, ...] = ()
    user: str = ""
    restrict_key: str = ""

    @property
    def saved_ratio(self) -> float:
        """Return which part of the database was left out, 0.0 to 1.0."""
        kept = sum(table.size_bytes for table in self.tables)
        saved = sum(table.bytes_left_out for table in self.tables)
        return saved / (kept + saved) if saved else 0.0

    def to_fields(self) -> dict[str, Any]:
        """Return it as plain types for JSON; `from_fields` is the reverse."""
        fields = asdict(self)
        fields["started_at"] = self.started_at.isoformat()
        return fields

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> DumpReport:
        """Return the report of a dict that `to_fields` made; KeyError, TypeError or ValueError for any other."""
        names = ("views", "triggers", "routines", "events", "sequences", "missing", "warnings")
        return cls(
            name=str(fields["name"]),
            tables=tuple(TableDump(**table) for table in fields["tables"]),
            server_version=str(fields["server_version"]),
            started_at=datetime.fromisoformat(fields["started_at"]),
            consistent=bool(fields["consistent"]),
            held_back=tuple(str(text) for text in fields.get("held_back", ())),
            user=str(fields.get("user", "")),
            restrict_key=str(fields.get("restrict_key", "")),
            **{name: tuple(str(text) for text in fields[name]) for name in names},
        )


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A live table. `row_estimate` and `size_bytes` are the server's own estimates."""

    name: str
    engine: str
    row_estimate: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DatabaseListing:
    """What a database holds now. `unreadable` maps a table or view that cannot be read to the server's reason."""

    server_version: str
    tables: tuple[TableInfo, ...]
    views: tuple[str, ...]
    sequences: tuple[str, ...]
    triggers: tuple[str, ...]
    routines: tuple[str, ...]
    events: tuple[str, ...]
    unreadable: Mapping[str, str]

    def table_names(self) -> tuple[str, ...]:
        return tuple(table.name for table in self.tables)


class DumpRun(Protocol):
    """One attempt at a dump: iterate `pieces` to the end, then `report` is there."""

    def pieces(self) -> Generator[DumpPiece, None, None]: ...

    @property
    def report(self) -> DumpReport: ...


class RestoreState(StrEnum):
    """Where a restore of one database stands. SWAPPING and UNDOING are seen only after a crash: call the step again."""

    NONE = "none"
    LOADING = "loading"
    LOADED = "loaded"
    SWAPPING = "swapping"
    SWAPPED = "swapped"
    UNDOING = "undoing"


class SwapMode(StrEnum):
    """EXACT: the database equals the point. MERGE: live tables that the load does not hold stay."""

    EXACT = "exact"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class LoadPart:
    """What of a dump is loaded. `tables` None: all of it; else these tables with their triggers, and nothing else.

    `keep` are live rows that came since and stay beside what is loaded; MariaDB alone.
    """

    tables: frozenset[str] | None = None
    with_held_back: bool = False
    keep: tuple[KeptTable, ...] = ()

    def takes(self, table: str) -> bool:
        """Return whether the table is loaded."""
        return self.tables is None or table in self.tables


WHOLE_DUMP = LoadPart()


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of a table, counted."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What lies in the scratch tables, counted there."""

    restore_id: str
    tables: tuple[TableCount, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapReport:
    """What a swap or an undo changed in the live database."""

    restore_id: str
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Rows of a table in the point and now; None where the table is not there. `is_estimate` speaks of `rows_now`."""

    name: str
    rows_then: int | None
    rows_now: int | None
    is_estimate: bool = False


Progress = Callable[[int], None]
"""Called with the number of bytes of the dump that were loaded so far; may raise Cancelled."""


@runtime_checkable
class KnowsNewerRows(Protocol):
    """A kind of server whose applications are known, so that newer rows can be named before a restore takes them away."""

    def newer(self, login: DatabaseLogin, questions: tuple[Question, ...], since: datetime) -> tuple[Newer, ...]: ...


class DatabaseServer(Protocol):
    """What services ask of a kind of database server. Every step can be repeated: after a crash, call it again.

    DatabaseRefused: the login is not allowed or not accepted; asking again is useless. DumpFailed: worth up to three tries.
    """

    def probe(self, login: DatabaseLogin) -> DatabaseListing: ...

    def dump(self, login: DatabaseLogin, policy: DumpPolicy = KEEP_ALL_ROWS) -> DumpRun: ...

    def dump_again(self, login: DatabaseLogin, policy: DumpPolicy, earlier: DumpReport) -> DumpRun | None:
        """Return a dump that is the earlier one's text where nothing has changed; None: the server knows of a change."""

    def plan(self, login: DatabaseLogin, report: DumpReport, part: LoadPart = WHOLE_DUMP) -> tuple[TablePlan, ...]: ...

    def load(
        self,
        login: DatabaseLogin,
        chunks: Iterable[bytes],
        restore_id: str,
        expected: DumpReport | None = None,
        on_progress: Progress | None = None,
        part: LoadPart = WHOLE_DUMP,
    ) -> LoadReport: ...

    def swap(self, login: DatabaseLogin, restore_id: str, mode: SwapMode = SwapMode.EXACT) -> SwapReport: ...

    def undo(self, login: DatabaseLogin, restore_id: str) -> SwapReport: ...

    def discard(self, login: DatabaseLogin, restore_id: str) -> None: ...

    def state_of(self, login: DatabaseLogin, restore_id: str) -> RestoreState: ...

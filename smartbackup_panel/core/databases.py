"""Databases of a domain: logins, the hosts an admin allows, and what a dump, a plan or a load reports. Pure.

SECURITY rule 10: a tenant's file may name a login, never a host. `choose_address` compares what the login asks for with
what the admin allows (setting SMARTBACKUP_DATABASE_HOSTS) and gives an address of the allowed list or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from smartbackup_panel.core.errors import BadSetting, DatabaseRefused
from smartbackup_panel.core.row_rules import KEEP_ALL_ROWS, DumpPolicy

HOSTS_SETTING = "SMARTBACKUP_DATABASE_HOSTS"
DEFAULT_SOCKET = "/run/mysqld/mysqld.sock"
DEFAULT_PORT = 3306
POSTGRES_PORT = 5432
POSTGRES_SOCKET = f"/run/postgresql/.s.PGSQL.{POSTGRES_PORT}"
DEFAULT_DATABASE_HOSTS = (
    f"localhost:{DEFAULT_SOCKET},127.0.0.1:{DEFAULT_PORT},localhost:{POSTGRES_SOCKET},127.0.0.1:{POSTGRES_PORT}"
)
_DEFAULT_PORTS = {"pgsql": POSTGRES_PORT}
_POSTGRES_SOCKET_NAME = ".s.PGSQL."

NEW_PREFIX = "_sbn_"
OLD_PREFIX = "_sbo_"
JOURNAL_TABLE = "_sb_restore"
RESERVED_PREFIXES = (NEW_PREFIX, OLD_PREFIX, JOURNAL_TABLE)
"""Names that a restore uses inside a tenant's database; such tables are never dumped and never shown."""

SYSTEM_DATABASES = frozenset(
    {"mysql", "information_schema", "performance_schema", "sys", "postgres", "template0", "template1"}
)
IDENTIFIER_LIMIT = 64
_FIELD_LIMIT = 1_024
_LOOPBACK = "127.0.0.1"


def is_reserved(name: str) -> bool:
    """Return whether a table or view of this name belongs to a restore of this product."""
    return name.lower().startswith(RESERVED_PREFIXES)


@dataclass(frozen=True, slots=True)
class DatabaseLogin:
    """A login as a site's configuration or a panel gives it. `repr` does not show the password."""

    name: str
    user: str
    password: str = field(repr=False)
    host: str = "localhost"
    port: int | None = None
    socket: str | None = None
    charset: str | None = None
    kind: str = "mysql"

    def __post_init__(self) -> None:
        for label, text in (("name", self.name), ("user", self.user), ("password", self.password)):
            if "\0" in text or len(text) > _FIELD_LIMIT:
                raise DatabaseRefused(f"The database {label} of the site's login cannot be used.")
        if not self.name or not self.user:
            raise DatabaseRefused("The site's database login has no database name or no user.")
        if self.name.lower() in SYSTEM_DATABASES:
            raise DatabaseRefused(f"{self.name} belongs to the database server and is no site's database.")

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> DatabaseLogin:
        """Return the login of a dict as `find_application` gives it; DatabaseRefused where a field is missing or odd."""
        try:
            port = fields.get("port")
            return cls(
                name=str(fields["name"]),
                user=str(fields["user"]),
                password=str(fields["password"]),
                host=str(fields.get("host") or "localhost"),
                port=None if port is None else int(port),
                socket=_text_or_none(fields.get("socket")),
                charset=_text_or_none(fields.get("charset")),
                kind=str(fields.get("kind") or "mysql"),
            )
        except (KeyError, TypeError, ValueError) as missing:
            raise DatabaseRefused(f"The site's database login is incomplete: {missing}.") from None

    def label(self) -> str:
        """Return how pages and messages name it: database and user, never the password."""
        return f"{self.name} (user {self.user})"


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One place where tenants' databases may live: a host and port, or a unix socket."""

    host: str
    port: int | None = None
    socket: str | None = None

    def __str__(self) -> str:
        if self.socket is not None:
            return f"localhost:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: exactly one of `socket` and (`host`, `port`) is set."""

    host: str | None = None
    port: int | None = None
    socket: str | None = None


class Endpoint(NamedTuple):
    """The parts of a host text as WordPress and others write it; what is not named is None."""

    host: str | None
    port: int | None
    socket: str | None


_ENDPOINT = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)|(?P<bare_six>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*))?"
    r"(?::(?P<port>[0-9]{1,5}))?(?::(?P<socket>/[^\0,]+))?"
)


def parse_endpoint(text: str) -> Endpoint | None:
    """Return the parts of `host`, `host:port`, `localhost:/socket`, `:/socket` or `[::1]:3306`; None for anything else."""
    text = text.strip()
    if text.startswith("/"):
        text = f":{text}"
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        return None
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65_535:
        return None
    host = match["six"] or match["host"] or match["bare_six"]
    return Endpoint(None if host is None else host.lower(), port, match["socket"])


def parse_database_hosts(text: str) -> tuple[AllowedHost, ...]:
    """Return the allowed places of a comma-separated list of `host`, `host:port` or `localhost:/socket`.

    An empty text means the local server's standard socket and port. BadSetting names the part that cannot be read.
    """
    allowed = []
    for part in (text.strip() or DEFAULT_DATABASE_HOSTS).split(","):
        endpoint = parse_endpoint(part)
        if endpoint is None or endpoint == (None, None, None):
            raise BadSetting(f"{HOSTS_SETTING} has a part that is no host: {part.strip()!r}.")
        if endpoint.socket is not None:
            if endpoint.host not in (None, "localhost") or not _is_plain_path(endpoint.socket):
                raise BadSetting(f"{HOSTS_SETTING}: a socket is written localhost:/path, not {part.strip()!r}.")
            allowed.append(AllowedHost("localhost", socket=endpoint.socket))
        elif endpoint.host == "localhost" and endpoint.port is None:
            allowed.append(AllowedHost("localhost", socket=DEFAULT_SOCKET))
        else:
            allowed.append(AllowedHost(endpoint.host or "localhost", endpoint.port or DEFAULT_PORT))
    return tuple(allowed)


def choose_address(login: DatabaseLogin, allowed: Sequence[AllowedHost]) -> Address:
    """Return the allowed address that the login means, or raise DatabaseRefused that says what to set.

    As in PHP, "localhost" without a socket means the socket: the first allowed one. No name is looked up in the DNS.
    """
    if login.socket is not None:
        return _allowed_socket(login, allowed)
    host = login.host.lower()
    default_port = _DEFAULT_PORTS.get(login.kind, DEFAULT_PORT)
    port = login.port or default_port
    sockets = [place.socket for place in allowed if place.socket and _speaks(place.socket, login.kind)]
    if host in ("localhost", "") and login.port in (None, default_port) and sockets:
        return Address(socket=sockets[0])
    names = {"localhost", _LOOPBACK} if host in ("localhost", "") else {host}
    for place in allowed:
        if place.socket is None and place.port == port and place.host in names:
            return Address(host=_LOOPBACK if place.host == "localhost" else place.host, port=port)
    wanted = AllowedHost(host or "localhost", port)
    raise DatabaseRefused(
        f"The site keeps its database {login.name} on {wanted}, which this server's settings do not allow.",
        hint=f"If that server is yours, add {wanted} to {HOSTS_SETTING}.",
    )


def _allowed_socket(login: DatabaseLogin, allowed: Sequence[AllowedHost]) -> Address:
    wanted = _socket_key(login.socket or "")
    for place in allowed:
        if place.socket is not None and _socket_key(place.socket) == wanted:
            return Address(socket=place.socket)
    raise DatabaseRefused(
        f"The site reaches its database {login.name} through {login.socket}, which this server's settings do not allow.",
        hint=f"If that socket is your database server's, add localhost:{login.socket} to {HOSTS_SETTING}.",
    )


def _speaks(socket: str, kind: str) -> bool:
    """Return whether a socket is of a kind of server: PostgreSQL names its sockets itself, any other is MariaDB's."""
    return socket.rpartition("/")[2].startswith(_POSTGRES_SOCKET_NAME) == (kind == "pgsql")


def _socket_key(path: str) -> str:
    """/var/run is /run on every system this runs on."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def _is_plain_path(path: str) -> bool:
    return path.startswith("/") and "//" not in path and not {"..", "."} & set(path.split("/"))


def _text_or_none(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


# What a dump yields and reports


class DumpPiece(NamedTuple):
    """Bytes of a dump. `section` names what they belong to (`table:wp_posts`, `view:v`, `routines`, `events`).

    None is the head and the tail, which every load of a part needs as well. The bytes of a section are contiguous.
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
    `held_back` are tables whose rows a restore leaves out unless they are asked for.
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

    def pieces(self) -> Iterator[DumpPiece]: ...

    @property
    def report(self) -> DumpReport: ...


# Restoring


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
    """What of a dump is loaded. `tables` None: all of it; else these tables with their triggers, and nothing else."""

    tables: frozenset[str] | None = None
    with_held_back: bool = False

    def takes(self, table: str) -> bool:
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


class DatabaseServer(Protocol):
    """What services ask of a kind of database server. Every step can be repeated: after a crash, call it again.

    DatabaseRefused: the login is not allowed or not accepted; asking again is useless. DumpFailed: worth up to three tries.
    """

    def probe(self, login: DatabaseLogin) -> DatabaseListing: ...

    def dump(self, login: DatabaseLogin, policy: DumpPolicy = KEEP_ALL_ROWS) -> DumpRun: ...

    def plan(self, login: DatabaseLogin, report: DumpReport) -> tuple[TablePlan, ...]: ...

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

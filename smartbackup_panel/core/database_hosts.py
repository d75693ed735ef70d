"""Logins of sites, and the places where an admin allows databases. Pure.

SECURITY rule 10: a tenant's file may name a login, never a host. `choose_address` compares what the login asks for with
what the admin allows (setting SMARTBACKUP_DATABASE_HOSTS) and gives an address of the allowed list or refuses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from smartbackup_panel.core.errors import BadSetting, DatabaseRefused

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

SYSTEM_DATABASES = frozenset(
    {"mysql", "information_schema", "performance_schema", "sys", "postgres", "template0", "template1"}
)
_FIELD_LIMIT = 1_024
_LOOPBACK = "127.0.0.1"


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
    if login.kind == "pgsql" and not _speaks(wanted, "pgsql"):  # libpq names the folder of a socket
        wanted = f"{wanted.rstrip('/')}/{_POSTGRES_SOCKET_NAME}{login.port or POSTGRES_PORT}"
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


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """A login of a database server that may make databases and accounts. `repr` does not show the password."""

    place: AllowedHost
    user: str
    password: str = field(repr=False)

    def is_for(self, address: Address) -> bool:
        """Return whether it is a login of the server at this address."""
        if address.socket is not None:
            return self.place.socket is not None and _socket_key(self.place.socket) == _socket_key(address.socket)
        host = _LOOPBACK if self.place.host == "localhost" else self.place.host
        return self.place.socket is None and (host, self.place.port) == (address.host, address.port)


def admin_login_for(address: Address, logins: Iterable[AdminLogin]) -> AdminLogin | None:
    """Return the admin's login of the server at an address, where there is one."""
    return next((login for login in logins if login.is_for(address)), None)


def parse_admin_logins(text: str) -> tuple[AdminLogin, ...]:
    """Return the logins of a TOML text with `[[login]]` tables of `place`, `user` and `password`.

    BadSetting, without any of the text, for one that cannot be used.
    """
    try:
        rows = tomllib.loads(text)["login"]
        return tuple(
            AdminLogin(parse_database_hosts(row["place"])[0], str(row["user"]), str(row["password"])) for row in rows
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        raise BadSetting(
            "The file of admin logins of database servers cannot be used.",
            hint="It is TOML: for each server [[login]] with place (as in database_hosts), user and password.",
        ) from None

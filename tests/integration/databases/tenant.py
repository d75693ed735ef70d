"""A tenant's database on the private server, as a hosting panel would have made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pymysql

from smartbackup_panel.adapters.databases.mariadb import MariaDBServer
from smartbackup_panel.core.database_hosts import DatabaseLogin, parse_database_hosts
from smartbackup_panel.core.databases import DumpReport, is_reserved
from tests.support.mariadb import MariaDB


@dataclass
class Tenant:
    """A database, its login and the product's adapter for it."""

    server: MariaDB
    login: DatabaseLogin
    adapter: MariaDBServer
    connection: pymysql.connections.Connection[Any]

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements with the tenant's own login, as the site would; the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows

    def dump(self) -> tuple[bytes, DumpReport]:
        """Return the whole dump and its report."""
        run = self.adapter.dump(self.login)
        text = b"".join(piece.chunk for piece in run.pieces())
        return text, run.report

    def restore(self, text: bytes, report: DumpReport | None = None, restore_id: str = "restore-1") -> None:
        """Load and put in place."""
        self.adapter.load(self.login, in_chunks(text), restore_id, report)
        self.adapter.swap(self.login, restore_id)

    def facts(self) -> dict[str, Any]:
        """Every visible object: definition and checksum of tables, definitions of programs."""
        found: dict[str, Any] = {}
        for name, kind in self._tables():
            definition = self.sql(f"SHOW CREATE TABLE {quoted(name)}")[0][1]
            checksum = self.sql(f"CHECKSUM TABLE {quoted(name)}")[0][1] if kind == "BASE TABLE" else None
            found[f"{kind} {name}"] = (definition, checksum)
        columns = (
            "TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER, SQL_MODE"
        )
        for row in self.sql(f"SELECT {columns} FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"):
            if not is_reserved(row[1]):
                found[f"trigger {row[0]}"] = row[1:]
        sql = "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()"
        for kind, name in self.sql(sql):
            found[f"{kind} {name}"] = self.sql(f"SHOW CREATE {kind} {quoted(name)}")[0][1:4]
        for (name,) in self.sql("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"):
            found[f"EVENT {name}"] = self.sql(f"SHOW CREATE EVENT {quoted(name)}")[0][1:4]
        return found

    def reserved_tables(self) -> list[str]:
        """Names of the tables that restores keep there."""
        sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        return sorted(name for (name,) in self.sql(sql) if is_reserved(name))

    def _tables(self) -> list[tuple[str, str]]:
        sql = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        return [(name, kind) for name, kind in self.sql(sql) if not is_reserved(name)]


def create_tenant(server: MariaDB, stem: str, password: str = "s3cret") -> Tenant:
    """Return a new tenant; its database and user are both called `stem_N`."""
    name = server.unique(stem)
    server.create_tenant(name, name, password)
    hosts = parse_database_hosts(f"localhost:{server.socket},127.0.0.1:{server.port}")
    connection = server.connect(name, password, name)
    return Tenant(server, DatabaseLogin(name, name, password), MariaDBServer(hosts), connection)


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def in_chunks(text: bytes, size: int = 4_093) -> Iterable[bytes]:
    """The text in pieces that end anywhere."""
    return (text[at : at + size] for at in range(0, len(text), size))


def drop_tenant(tenant: Tenant) -> None:
    tenant.connection.close()
    tenant.server.drop_tenant(tenant.login.name, tenant.login.user)

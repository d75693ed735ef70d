"""The record of a restore in the tenant's own PostgreSQL database, in a schema of its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from psycopg import sql

from smartbackup_panel.adapters.databases.postgres_part_text import ForeignKey, Place
from smartbackup_panel.adapters.databases.postgres_session import Connection, identifier
from smartbackup_panel.core.databases import JOURNAL_TABLE, NEW_PREFIX, OLD_PREFIX, RestoreState
from smartbackup_panel.core.errors import RestoreFailed

_TABLE = identifier(JOURNAL_TABLE, "journal")


@dataclass(slots=True)
class Record:
    """A restore: `new` maps live schemas to loaded ones, `old` to replaced ones; `moved` are tables that were carried over.

    Where only some `tables` were chosen, `new` and `old` hold these alone; `keys` are the foreign keys of the ones that are not
    in place, and `later` are statements (triggers, policies, comments, rights) that follow when they are for the first time.
    """

    phase: RestoreState = RestoreState.NONE
    new: dict[str, str] = field(default_factory=dict)
    old: dict[str, str] = field(default_factory=dict)
    moved: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: list[Place] = field(default_factory=list)
    keys: list[ForeignKey] = field(default_factory=list)
    later: list[str] = field(default_factory=list)


class PostgresJournal:
    """Reads and writes the record of one restore, in the caller's transaction where there is one."""

    def __init__(self, connection: Connection, restore_id: str) -> None:
        self._connection = connection
        self.restore_id = restore_id
        self.token = hashlib.sha256(restore_id.encode()).hexdigest()[:12]

    def new_name(self, number: int) -> str:
        return f"{NEW_PREFIX}{self.token}_{number}"

    def old_name(self, number: int) -> str:
        return f"{OLD_PREFIX}{self.token}_{number}"

    def read(self) -> Record:
        """Return the record, one of phase NONE where there is none; RestoreFailed for one that makes no sense."""
        if not self._is_there():
            return Record()
        query = sql.SQL("SELECT phase, document FROM {} WHERE token = %s").format(_TABLE)
        row = self._connection.execute(query, [self.token]).fetchone()
        if row is None:
            return Record()
        try:
            document = json.loads(row[1])
            moved = [(str(schema), str(table)) for schema, table in document.pop("moved")]
            tables = [(str(schema), str(table)) for schema, table in document.pop("tables", ())]
            keys = [ForeignKey(**key) for key in document.pop("keys", ())]
            return Record(RestoreState(row[0]), moved=moved, tables=tables, keys=keys, **document)
        except (KeyError, TypeError, ValueError) as odd:
            raise RestoreFailed(f"The record of the restore in {JOURNAL_TABLE} cannot be read: {odd!r}.") from None

    def write(self, record: Record) -> None:
        """Store the record."""
        schema = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier(JOURNAL_TABLE))
        columns = "token text PRIMARY KEY, restore_id text NOT NULL, phase text NOT NULL, document text NOT NULL"
        table = sql.SQL(f"CREATE TABLE IF NOT EXISTS {{}} ({columns})").format(_TABLE)
        insert = sql.SQL(
            "INSERT INTO {} VALUES (%s, %s, %s, %s) ON CONFLICT (token) DO UPDATE SET phase = excluded.phase, "
            "document = excluded.document"
        ).format(_TABLE)
        document = asdict(record)
        del document["phase"]
        self._connection.execute(schema)
        self._connection.execute(table)
        values = [self.token, self.restore_id[:128], record.phase.value, json.dumps(document)]
        self._connection.execute(insert, values)

    def remove(self) -> None:
        """Forget the restore; the schema goes with its last row. Nothing there is fine."""
        if not self._is_there():
            return
        self._connection.execute(sql.SQL("DELETE FROM {} WHERE token = %s").format(_TABLE), [self.token])
        if self._connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_TABLE)).fetchone() is None:
            self._connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(identifier(JOURNAL_TABLE)))

    def drop_schemas(self, prefix: str) -> None:
        """Drop this restore's schemas of a prefix with all that is in them."""
        rows = self._connection.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [f"{prefix}{self.token}_"]
        )
        for (name,) in rows.fetchall():
            self._connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(identifier(name)))

    def _is_there(self) -> bool:
        return self._connection.execute("SELECT to_regclass(%s)", [f"{JOURNAL_TABLE}.journal"]).fetchone() != (None,)

"""The record of a restore inside the tenant's own database: it is where the tables are, so it survives what they survive.

One row a restore: its phase and one document. The row changes in one statement, so a reader sees the old state or the new
one. The tenant can write to it, and harms nobody else by that: what comes out of it runs under the tenant's own login.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pymysql
from pymysql.constants import ER

from smartbackup_panel.adapters.databases.connection import Session, error_facts, quoted
from smartbackup_panel.adapters.databases.create_table import ForeignKey, SequenceDefault
from smartbackup_panel.adapters.databases.programs import Kind, Program
from smartbackup_panel.core.databases import JOURNAL_TABLE, NEW_PREFIX, OLD_PREFIX, RestoreState, SwapMode
from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.newer_rows import KeptTable

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {JOURNAL_TABLE} (token CHAR(12) CHARACTER SET ascii PRIMARY KEY, "
    "restore_id VARCHAR(128) NOT NULL, phase VARCHAR(16) NOT NULL, document LONGTEXT NOT NULL) "
    "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='Smart Backup: a restore that can be undone'"
)
_RESERVED = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE %s"


@dataclass(slots=True)
class SwapPlan:
    """What a swap changes: `old` maps live names to where they go; the programs to drop and to make.

    `constraints` are (table, name, temporary name) of the foreign keys of tables that go; the new tables may need the names.
    """

    mode: SwapMode
    old: dict[str, str]
    drops: list[Program]
    creates: list[Program]
    constraints: list[tuple[str, str, str]]


@dataclass(slots=True)
class Record:
    """A restore: `new` maps live names to scratch tables, `rows` their counts, `keys` their foreign keys.

    `refused` are the programs of the dump that belong to somebody else: such live ones stay as they are.
    `is_part`: only some tables of a dump were loaded, so everything else stays.
    `kept` are rows that come along at the swap, `defaults` those of columns that name a sequence.
    """

    phase: RestoreState = RestoreState.NONE
    new: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    keys: list[tuple[str, ForeignKey]] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    plan: SwapPlan | None = None
    is_part: bool = False
    refused: list[tuple[Kind, str]] = field(default_factory=list)
    kept: list[KeptTable] = field(default_factory=list)
    defaults: list[SequenceDefault] = field(default_factory=list)


class Journal:
    """Reads and writes the record of one restore."""

    def __init__(self, session: Session, restore_id: str) -> None:
        self._session = session
        self.restore_id = restore_id
        self.token = hashlib.sha256(restore_id.encode()).hexdigest()[:12]

    def scratch_name(self, number: int) -> str:
        return f"{NEW_PREFIX}{self.token}_{number}"

    def old_name(self, number: int) -> str:
        return f"{OLD_PREFIX}{self.token}_{number}"

    def read(self) -> Record:
        """Return the record, an empty one of phase NONE where there is none; RestoreFailed for one that makes no sense."""
        sql = f"SELECT phase, document FROM {JOURNAL_TABLE} WHERE token = %s"  # noqa: S608  # constants
        try:
            rows = self._session.rows(sql, self.token)
        except pymysql.err.ProgrammingError as error:
            if error_facts(error)[0] != ER.NO_SUCH_TABLE:
                raise
            return Record()
        if not rows:
            return Record()
        try:
            return _record(str(rows[0][0]), json.loads(rows[0][1]))
        except (KeyError, TypeError, ValueError) as odd:
            raise RestoreFailed(f"The record of the restore in {JOURNAL_TABLE} cannot be read: {odd!r}.") from None

    def write(self, record: Record) -> None:
        """Store the record; it is there when this returns."""
        self._session.run(_CREATE)
        document = json.dumps(_document(record))
        sql = (
            f"INSERT INTO {JOURNAL_TABLE} VALUES (%s, %s, %s, %s) "  # noqa: S608  # constants
            "ON DUPLICATE KEY UPDATE phase = VALUES(phase), document = VALUES(document)"
        )
        self._session.run(sql, self.token, self.restore_id[:128], record.phase.value, document)

    def remove(self) -> None:
        """Forget the restore; the table goes with its last row. Nothing there is fine."""
        try:
            self._session.run(f"DELETE FROM {JOURNAL_TABLE} WHERE token = %s", self.token)  # noqa: S608  # constants
            if not self._session.rows(f"SELECT 1 FROM {JOURNAL_TABLE} LIMIT 1"):  # noqa: S608  # constants
                self._session.run(f"DROP TABLE IF EXISTS {JOURNAL_TABLE}")
        except pymysql.err.ProgrammingError as error:
            if error_facts(error)[0] != ER.NO_SUCH_TABLE:
                raise

    def tables(self, prefix: str) -> dict[str, str]:
        """Return this restore's reserved tables of a prefix that exist now, with their types."""
        pattern = f"{prefix}{self.token}_".replace("_", "\\_") + "%"
        return dict(self._session.rows(_RESERVED, pattern))

    def drop_tables(self, prefix: str) -> None:
        """Drop all tables and views of a prefix of this restore; foreign keys do not hold them (checks are off)."""
        for name, kind in self.tables(prefix).items():
            self._session.run(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} IF EXISTS {quoted(name)}")


def _document(record: Record) -> dict[str, Any]:
    document = asdict(record)
    del document["phase"]
    return document


def _record(phase: str, document: dict[str, Any]) -> Record:
    plan = document["plan"]
    return Record(
        phase=RestoreState(phase),
        new={str(name): str(scratch) for name, scratch in document["new"].items()},
        rows={str(name): int(rows) for name, rows in document["rows"].items()},
        keys=[(str(table), ForeignKey(*key)) for table, key in document["keys"]],
        programs=[Program.from_fields(program) for program in document["programs"]],
        warnings=[str(warning) for warning in document["warnings"]],
        plan=None if plan is None else _plan(plan),
        is_part=bool(document.get("is_part")),
        refused=[(Kind(kind), str(name)) for kind, name in document.get("refused", ())],
        defaults=[SequenceDefault(*map(str, row)) for row in document.get("defaults", ())],
        kept=[KeptTable(**rule) for rule in document.get("kept", ())],
    )


def _plan(plan: dict[str, Any]) -> SwapPlan:
    return SwapPlan(
        mode=SwapMode(plan["mode"]),
        old={str(name): str(old) for name, old in plan["old"].items()},
        drops=[Program.from_fields(program) for program in plan["drops"]],
        creates=[Program.from_fields(program) for program in plan["creates"]],
        constraints=[(str(table), str(name), str(temporary)) for table, name, temporary in plan["constraints"]],
    )

"""A restore's plan as the page and its confirm button say it: read from the plan job's result, which is JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from smartbackup_panel.web.filters import count, visible


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: its rows in the restore point, and now (None where it does not exist now)."""

    database: str
    table: str
    then: int
    now: int | None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do. Counts are files; `names` holds up to 20 examples by effect.

    `lost` and `stays` are sentences about rows that people wrote since; `keepable` counts in words those that may stay.
    """

    point_id: str
    created_at: datetime | None
    files: bool
    databases: bool
    exact: bool
    into: str | None
    added: int
    replaced: int
    removed: int
    kept: int
    unchanged: int
    names: Mapping[str, tuple[str, ...]]
    bytes: int
    free_bytes: int | None
    seconds: float | None
    tables: tuple[TablePlan, ...]
    lost: tuple[str, ...]
    stays: tuple[str, ...]
    keepable: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def put_back(self) -> int:
        """Return how many files are written: those that are gone and those that differ."""
        return self.added + self.replaced

    @property
    def changes_nothing(self) -> bool:
        return self.put_back + self.removed + len(self.tables) == 0

    @property
    def effect(self) -> str:
        """Return the words of the confirm button: "Put back 311 files and 12 tables, remove 4 files"."""
        parts = [count(self.put_back, "file")] if self.put_back else []
        if self.tables:
            parts.append(count(len(self.tables), "table"))
        told = "Put back " + " and ".join(parts) if parts else ""
        if told and self.into:
            told += f" into the database {visible(self.into)}"
        if self.removed:
            removal = count(self.removed, "file")
            told = f"{told}, remove {removal}" if told else f"Remove {removal}"
        return told


def plan_from(result: Mapping[str, object]) -> RestorePlan:
    """Return the plan that a finished plan job computed; a missing figure counts as 0."""
    names = _mapping(result.get("names"))
    created_at, free_bytes, seconds = result.get("created_at"), result.get("free_bytes"), result.get("seconds")
    return RestorePlan(
        point_id=str(result.get("point", "")),
        created_at=datetime.fromisoformat(created_at) if isinstance(created_at, str) else None,
        files=result.get("files") is True,
        databases=result.get("databases") is True,
        exact=result.get("exact") is True,
        into=str(result["into"]) if result.get("into") else None,
        added=_number(result.get("added")),
        replaced=_number(result.get("replaced")),
        removed=_number(result.get("removed")),
        kept=_number(result.get("kept")),
        unchanged=_number(result.get("unchanged")),
        names={effect: _texts(examples) for effect, examples in names.items()},
        bytes=_number(result.get("bytes")),
        free_bytes=None if free_bytes is None else _number(free_bytes),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        tables=_tables(result.get("tables")),
        lost=_texts(result.get("lost")),
        stays=_texts(result.get("stays")),
        keepable=_keepable(result.get("newer")),
        warnings=_texts(result.get("warnings")),
    )


def _tables(rows: object) -> tuple[TablePlan, ...]:
    tables = []
    for row in rows if isinstance(rows, list | tuple) else ():
        table = _mapping(row)
        now = table.get("now")
        then = _number(table.get("then"))
        tables.append(
            TablePlan(
                str(table.get("database", "")), str(table.get("table", "")), then, None if now is None else _number(now)
            )
        )
    return tuple(tables)


def _keepable(rows: object) -> tuple[str, ...]:
    """Return in words what came since and may stay: ("2 comments", "1 order")."""
    listed = [_mapping(row) for row in rows] if isinstance(rows, list | tuple) else []
    return tuple(str(row.get("words", "")) for row in listed if row.get("can_be_kept") is True)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(text) for text in value) if isinstance(value, list | tuple) else ()

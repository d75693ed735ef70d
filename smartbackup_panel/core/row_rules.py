"""Which rows a dump leaves out because the application makes them again, and which a restore does not put back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

_PATTERN = re.compile(r"[A-Za-z0-9_$*?\-]{1,64}")
TRANSIENTS = ("_transient_", "_site_transient_")
TIMEOUTS = ("_transient_timeout_", "_site_transient_timeout_")


class LeaveOut(StrEnum):
    """How much is left out. EXPIRED: of WordPress, only what it would itself not read any more; Laravel's as documented."""

    NOTHING = "nothing"
    EXPIRED = "expired"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RowChoice:
    """What an admin wants left out: how much of what the application makes again, and all rows of tables by pattern."""

    how_much: LeaveOut = LeaveOut.EXPIRED
    tables: tuple[str, ...] = ()

    def to_fields(self) -> dict[str, object]:
        return {"how_much": self.how_much.value, "tables": list(self.tables)}

    def changed(self, fields: Mapping[str, object]) -> RowChoice:
        """Return the choice with what `to_fields` of a domain's own one gave; its tables come on top."""
        own = fields.get("tables") or ()
        assert isinstance(own, list | tuple), "to_fields made it"
        how_much = LeaveOut(str(fields.get("how_much") or self.how_much))
        return RowChoice(how_much, tuple(dict.fromkeys((*self.tables, *map(str, own)))))


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of table names (`*` and `?` stand for any characters); ValueError names one that is none."""
    checked = tuple(pattern.strip() for pattern in patterns if pattern.strip())
    for pattern in checked:
        if _PATTERN.fullmatch(pattern) is None:
            raise ValueError(f"{pattern!r} is no pattern of table names")
    return checked


@dataclass(frozen=True, slots=True)
class RowRule:
    """Rows of the tables that match a pattern, chosen by one column.

    `starts`: names that begin so; with `expiry_column`, only those whose own `…timeout_…` row holds a time that has passed.
    Without `starts`, the column is itself a Unix time, and what has passed is left out.
    """

    tables: str
    column: str
    starts: tuple[str, ...] = ()
    expiry_column: str = ""


@dataclass(frozen=True, slots=True)
class DumpPolicy:
    """What a dump leaves out, by patterns of table names; the definition of every table is always kept.

    `held_back` are tables that a dump has in full and a restore leaves empty unless they are asked for. `given_up` are
    tables that stopped the dumps before, with the reasons: their rows are missing, which is said.
    """

    leave_rows_out: frozenset[str] = frozenset()
    rules: tuple[RowRule, ...] = ()
    held_back: frozenset[str] = frozenset()
    given_up: Mapping[str, str] = field(default_factory=dict)

    def keeps_rows(self, table: str) -> bool:
        return not any(fnmatchcase(table, pattern) for pattern in self.leave_rows_out)

    def rule_for(self, table: str) -> RowRule | None:
        """Return the first rule for a table."""
        return next((rule for rule in self.rules if fnmatchcase(table, rule.tables)), None)

    def is_held_back(self, table: str) -> bool:
        return any(fnmatchcase(table, pattern) for pattern in self.held_back)


KEEP_ALL_ROWS = DumpPolicy()


def choose_policy(application: str, prefix: str, choice: RowChoice) -> DumpPolicy:
    """Return the policy of an application whose tables have a prefix.

    Source of the tables: docs/design.md, "Databases". Laravel's old jobs would run a second time, so they are held back.
    """
    own, leave_out = frozenset(choice.tables), choice.how_much
    stem = re.sub(r"([*?\[])", r"[\1]", prefix)
    if application == "wordpress":
        return DumpPolicy(own, () if leave_out is LeaveOut.NOTHING else _wordpress(stem, leave_out))
    if application == "laravel":
        made_again = frozenset(f"{stem}{name}" for name in ("sessions", "cache", "cache_locks"))
        held_back = frozenset({f"{stem}jobs", f"{stem}failed_jobs"})
        return DumpPolicy(own if leave_out is LeaveOut.NOTHING else own | made_again, held_back=held_back)
    return DumpPolicy(own)


def _wordpress(stem: str, leave_out: LeaveOut) -> tuple[RowRule, ...]:
    """The sites of a network have numbered tables of their own."""
    stems = (stem, f"{stem}[0-9]*_")
    value = {"option_name": "option_value", "meta_key": "meta_value"}
    places = [*((f"{each}options", "option_name") for each in stems), (f"{stem}sitemeta", "meta_key")]
    expired = leave_out is LeaveOut.EXPIRED
    rules = [RowRule(table, name, TRANSIENTS, value[name] if expired else "") for table, name in places]
    sessions = [RowRule(f"{each}woocommerce_sessions", "session_expiry") for each in stems]
    if not expired:
        sessions = [RowRule(rule.tables, "session_key", ("",)) for rule in sessions]
    return (*rules, *sessions)

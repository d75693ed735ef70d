"""Rows that dumps leave out: whose choice it is, and what it saved the last time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, points, policies
from smartbackup_panel.core.databases import DumpReport, TableDump
from smartbackup_panel.core.errors import NotAllowed, WrongUsage
from smartbackup_panel.core.model import Actor, Domain
from smartbackup_panel.core.row_rules import DumpPolicy, LeaveOut, RowChoice, check_patterns
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A domain's choice, whether it is its own, and the reports of its last point's dumps.

    `settings` is the choice of domains without one of their own.
    """

    settings: RowChoice
    choice: RowChoice
    is_own: bool
    reports: tuple[DumpReport, ...]

    @property
    def own_tables(self) -> tuple[str, ...]:
        """Return the patterns that come on top of those of the settings."""
        return tuple(pattern for pattern in self.choice.tables if pattern not in self.settings.tables)


@dataclass(frozen=True, slots=True)
class RowsPreview:
    """What a choice would mean: the tables of the last dumps (with their database) that would keep no rows.

    `unmatched` are patterns that no table of the last dumps has. `wrong` are bad patterns as (number from 1, message);
    `choice` is None then.
    """

    choice: RowChoice | None
    emptied: tuple[tuple[str, TableDump], ...] = ()
    unmatched: tuple[str, ...] = ()
    wrong: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RowsLeftOut:
    """The choice for one domain. Raises UnknownDomain alike for "not there" and "not yours"."""

    installation: Installation

    def of(self, actor: Actor, domain_id: str) -> LeftOut:
        """Return what is left out of a domain's dumps and what that saved in its last point."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            own = policies.find_policy(tx, domain.id).databases
            every = points.list_points(tx, domain.id)
        last = next((point for point in every if point.databases), None)
        dumps = last.databases if last is not None else ()
        return LeftOut(
            choice_of(self.installation, {}),
            choice_of(self.installation, own),
            bool(own),
            tuple(DumpReport.from_fields(dump.report) for dump in dumps),
        )

    def look(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> RowsPreview:
        """Return what such a choice would leave out, judged by the last dumps; nothing is changed."""
        return look_at_rows(self.of(actor, domain_id), how_much, tables)

    def choose(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> None:
        """Give a domain a choice of its own; the tables come on top of those of the settings. Raises WrongUsage."""
        try:
            own = _own(LeaveOut(how_much).value if how_much else None, check_patterns(tables))
        except ValueError as wrong:
            raise WrongUsage(str(wrong), hint="A pattern is a table's name, with * for any characters.") from wrong
        self._save(actor, domain_id, own)

    def choose_as_settings(self, actor: Actor, domain_id: str) -> None:
        """Let the settings decide for a domain again."""
        self._save(actor, domain_id, {})

    def _save(self, actor: Actor, domain_id: str, own: dict[str, object]) -> None:
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            if not actor.is_admin:
                raise NotAllowed("only an administrator decides what is left out of dumps")
            policy = policies.find_policy(tx, domain.id)
            detail: dict[str, object] = {"before": policy.databases, "after": own}
            people.add_audit(tx, self.installation.clock.now(), actor, "leave rows out", domain.id, None, detail)
            policies.save_policy(tx, domain.id, replace(policy, databases=own))


def look_at_rows(told: LeftOut, how_much: str | None, tables: Iterable[str]) -> RowsPreview:
    """Return what a choice would leave out, judged by the last dumps."""
    wanted = [pattern.strip() for pattern in tables if pattern.strip()]
    wrong = tuple((number, str(error)) for number, text in enumerate(wanted, 1) if (error := _wrong(text)))
    if wrong or (how_much is not None and how_much not in set(LeaveOut)):
        return RowsPreview(None, wrong=wrong or ((0, f"{how_much!r} is no choice"),))
    choice = told.settings.changed(_own(how_much, wanted))
    policy, names = (
        DumpPolicy(frozenset(choice.tables)),
        [(row.name, table) for row in told.reports for table in row.tables],
    )
    return RowsPreview(
        choice,
        emptied=tuple((name, table) for name, table in names if not policy.keeps_rows(table.name)),
        unmatched=tuple(text for text in wanted if not any(fnmatchcase(table.name, text) for _, table in names)),
    )


def _own(how_much: str | None, tables: Iterable[str]) -> dict[str, object]:
    """Return a choice as it is recorded; {} for one that chooses nothing."""
    named = list(tables)
    return ({"tables": named} if named else {}) | ({"how_much": how_much} if how_much else {})


def _wrong(pattern: str) -> ValueError | None:
    try:
        check_patterns([pattern])
    except ValueError as error:
        return error
    return None


def row_choice(installation: Installation, tx: Connection, domain: Domain) -> RowChoice:
    """Return what the settings and the domain's own choice leave out."""
    return choice_of(installation, policies.find_policy(tx, domain.id).databases)


def choice_of(installation: Installation, own: dict[str, object]) -> RowChoice:
    settings = installation.settings
    return RowChoice(LeaveOut(settings.rows_left_out), settings.tables_without_rows).changed(own)

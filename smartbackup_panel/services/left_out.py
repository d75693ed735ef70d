"""Rows that dumps leave out: whose choice it is, and what it saved the last time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, points, policies
from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.errors import NotAllowed, WrongUsage
from smartbackup_panel.core.model import Actor, Domain
from smartbackup_panel.core.row_rules import LeaveOut, RowChoice, check_patterns
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A domain's choice, whether it is its own, and the reports of its last point's dumps."""

    choice: RowChoice
    is_own: bool
    reports: tuple[DumpReport, ...]


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
            choice_of(self.installation, own), bool(own), tuple(DumpReport.from_fields(dump.report) for dump in dumps)
        )

    def choose(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> None:
        """Give a domain a choice of its own; the tables come on top of those of the settings. Raises WrongUsage."""
        try:
            own: dict[str, object] = {"tables": list(check_patterns(tables))}
            own |= {"how_much": LeaveOut(how_much).value} if how_much else {}
        except ValueError as wrong:
            raise WrongUsage(str(wrong), hint="A pattern is a table's name, with * for any characters.") from wrong
        self._save(actor, domain_id, own)

    def choose_as_settings(self, actor: Actor, domain_id: str) -> None:
        """Let the settings decide for a domain again."""
        self._save(actor, domain_id, {})

    def _save(self, actor: Actor, domain_id: str, own: dict[str, object]) -> None:
        if not actor.is_admin:
            raise NotAllowed("only an administrator decides what is left out of dumps")
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            policy = policies.find_policy(tx, domain.id)
            detail: dict[str, object] = {"before": policy.databases, "after": own}
            people.add_audit(tx, self.installation.clock.now(), actor, "leave rows out", domain.id, None, detail)
            policies.save_policy(tx, domain.id, replace(policy, databases=own))


def row_choice(installation: Installation, tx: Connection, domain: Domain) -> RowChoice:
    """Return what the settings and the domain's own choice leave out."""
    return choice_of(installation, policies.find_policy(tx, domain.id).databases)


def choice_of(installation: Installation, own: dict[str, object]) -> RowChoice:
    settings = installation.settings
    return RowChoice(LeaveOut(settings.rows_left_out), settings.tables_without_rows).changed(own)

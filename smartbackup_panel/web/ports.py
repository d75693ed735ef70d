"""What the pages ask for: the services as protocols, so that a page knows neither their wiring nor their state.

Every call takes the actor first and answers only with what that actor may see; what is not theirs raises the same
error as what is not there (docs/security.md, rules 28 and 29).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from smartbackup_panel.core.database_choice import NO_TABLES, Tables
from smartbackup_panel.core.model import Actor, Domain, Job, Point, Role
from smartbackup_panel.core.retention import Rules
from smartbackup_panel.core.surroundings import SiteAnswer
from smartbackup_panel.core.tree import ExportFormat, TextDiff
from smartbackup_panel.services.daily import DayFigures
from smartbackup_panel.services.exclusion_preview import ExclusionPreview
from smartbackup_panel.services.left_out import LeftOut, RowsPreview
from smartbackup_panel.services.pages import Comparison, Dashboard, DomainPage, Folder, Found, History, JobPage, Taken
from smartbackup_panel.services.policies import Keeping, LeavingOut
from smartbackup_panel.services.schedule_choice import ScheduleTold, Wish


class Queries(Protocol):
    """Reads. Raises UnknownDomain, UnknownPoint or UnknownJob."""

    def dashboard(self, actor: Actor, search: str = "", order: str = "problems", only: str = "") -> Dashboard: ...

    def domain_page(self, actor: Actor, domain_id: str) -> DomainPage: ...

    def daily(self, actor: Actor, domain_id: str) -> tuple[DayFigures, ...]: ...

    def job_page(self, actor: Actor, job_id: str) -> JobPage: ...

    def jobs(self, actor: Actor, limit: int = 50) -> list[tuple[Job, Domain | None]]: ...

    def point(self, actor: Actor, domain_id: str, point_id: str) -> Point: ...

    def metrics(self, actor: Actor) -> str: ...


class Requests(Protocol):
    """Asks for work; each makes a typed job row, or finds the one that the same request made before."""

    def backup(self, actor: Actor, domain_id: str, kind: str = "auto") -> Job: ...

    def backup_many(self, actor: Actor, domain_ids: Sequence[str]) -> list[Job]: ...

    def plan(
        self,
        actor: Actor,
        domain_id: str,
        point_id: str,
        files: bool,
        databases: bool,
        exact: bool,
        paths: tuple[str, ...] = (),
        tables: Tables = NO_TABLES,
        into: str | None = None,
    ) -> Job: ...

    def restore(
        self, actor: Actor, plan_job_id: str, typed_name: str | None, key: str, keep_newer: bool = False
    ) -> Job: ...

    def undo(self, actor: Actor, domain_id: str, restore_job_id: str, key: str) -> Job: ...

    def cancel(self, actor: Actor, job_id: str) -> None: ...

    def verify(self, actor: Actor, domain_id: str, point_id: str) -> Job: ...

    def export(
        self, actor: Actor, domain_id: str, point_id: str, paths: tuple[str, ...], kind: ExportFormat
    ) -> Job: ...

    def text_diff(self, actor: Actor, domain_id: str, older_id: str, newer_id: str, path: str) -> Job: ...


class Contents(Protocol):
    """Looks into points. Raises UnknownDomain, UnknownPoint, UnknownPath, UnsafePath, and CatalogBehind for a new point."""

    def folder(self, actor: Actor, domain_id: str, point_id: str, path: bytes, after: bytes = b"") -> Folder: ...

    def history(self, actor: Actor, domain_id: str, path: bytes) -> History: ...

    def compare(
        self, actor: Actor, domain_id: str, one_id: str, other_id: str, after: Mapping[str, bytes] | None = None
    ) -> Comparison: ...

    def search(self, actor: Actor, domain_id: str, text: str) -> Found: ...


class Downloads(Protocol):
    """Hands finished downloads over. Raises UnknownJob, DownloadGone."""

    def is_there(self, actor: Actor, job_id: str) -> bool: ...

    def take(self, actor: Actor, job_id: str) -> Taken: ...

    def text_diff(self, actor: Actor, job_id: str) -> TextDiff: ...


class Policies(Protocol):
    """What is kept and what is left out. Raises UnknownDomain, UnknownPoint, WrongUsage, NotAllowed, BadSetting."""

    def pin(self, actor: Actor, domain_id: str, point_id: str, *, pinned: bool) -> None: ...

    def keeping(self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None = None) -> Keeping: ...

    def set_retention(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, int] | None, *, whole: bool = False
    ) -> Rules: ...

    def exclusions(self, actor: Actor, domain_id: str) -> LeavingOut: ...

    def set_exclusions(
        self, actor: Actor, domain_id: str, wanted: Mapping[str, object] | None, *, whole: bool = False
    ) -> LeavingOut: ...


class ExclusionPreviews(Protocol):
    """Says what patterns would leave out before they are chosen. Raises UnknownDomain, WrongUsage."""

    def look(self, actor: Actor, domain_id: str, wanted: Mapping[str, object]) -> ExclusionPreview: ...


class RowsLeftOut(Protocol):
    """Rows that dumps leave out. Raises UnknownDomain, WrongUsage, NotAllowed."""

    def of(self, actor: Actor, domain_id: str) -> LeftOut: ...

    def look(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> RowsPreview: ...

    def choose(self, actor: Actor, domain_id: str, how_much: str | None, tables: Iterable[str]) -> None: ...

    def choose_as_settings(self, actor: Actor, domain_id: str) -> None: ...


class ScheduleChoice(Protocol):
    """When a domain is backed up. Raises UnknownDomain, WrongUsage, NotAllowed."""

    def of(self, actor: Actor, domain_id: str) -> ScheduleTold: ...

    def look(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold: ...

    def choose(self, actor: Actor, domain_id: str, wish: Wish) -> ScheduleTold: ...

    def choose_by_itself(self, actor: Actor, domain_id: str) -> Job: ...


class Sites(Protocol):
    """Asks how a domain's site answers. Raises UnknownDomain."""

    def last_answer(self, actor: Actor, domain_id: str) -> SiteAnswer | None: ...

    def ask(self, actor: Actor, domain_id: str) -> SiteAnswer | None: ...


class Account(Protocol):
    """An account of the standalone host. `version` changes with the password and ends older sessions."""

    @property
    def login(self) -> str: ...

    @property
    def role(self) -> Role: ...

    @property
    def owner(self) -> str | None: ...

    @property
    def version(self) -> int: ...


class Accounts(Protocol):
    """The accounts of the standalone host; a host panel brings its own."""

    def check_password(self, login: str, password: str, address: str) -> Account | None: ...

    def get(self, login: str) -> Account | None: ...


class Services(Protocol):
    """All that the pages use."""

    @property
    def queries(self) -> Queries: ...

    @property
    def requests(self) -> Requests: ...

    @property
    def contents(self) -> Contents: ...

    @property
    def downloads(self) -> Downloads: ...

    @property
    def policies(self) -> Policies: ...

    @property
    def exclusion_previews(self) -> ExclusionPreviews: ...

    @property
    def left_out(self) -> RowsLeftOut: ...

    @property
    def schedule_choice(self) -> ScheduleChoice: ...

    @property
    def sites(self) -> Sites: ...


class HostServices(Services, Protocol):
    """What the standalone host uses beyond the pages: its accounts and the key that signs its sessions."""

    @property
    def accounts(self) -> Accounts: ...

    def web_secret(self) -> bytes: ...

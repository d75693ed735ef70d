"""What the services need from the outside, as protocols that adapters fulfil."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from smartbackup_panel.core.database_grants import PanelDatabase
from smartbackup_panel.core.model import Actor, PanelDomain


class Clock(Protocol):
    """The time of day. Durations use the monotonic clock instead."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""


@dataclass(frozen=True, slots=True)
class PanelEvent:
    """A panel said that something happened to a domain: "domain.created" or "domain.deleted"."""

    type: str
    name: str


class PanelAdapter(Protocol):
    """A hosting panel. Its inventory is the truth; its events only make things fast."""

    id: str

    def list_domains(self) -> Iterable[PanelDomain]:
        """Return the domains that have files of their own. Raises SmartBackupError when the inventory cannot be read."""

    def list_databases(self, panel_uid: str) -> Sequence[PanelDatabase] | None:
        """Return the databases that the panel gives to a domain, now; None from a panel that knows nothing of databases."""

    def parse_event(self, content: dict[str, object]) -> list[PanelEvent]:
        """Return the events that a hook's file stands for, [] for noise. Pure."""

    def owns(self, actor: Actor, panel_uid: str) -> bool:
        """Return whether the panel says, now, that the actor may act on this domain."""


class JobEngine(Protocol):
    """Runs jobs durably: each at least once, one of a partition at a time."""

    def start(self, run: Callable[[str], None]) -> None:
        """Begin to work; `run` is called with a job id, again after a crash. Raises WorkerUnavailable."""

    def enqueue(self, job_id: str, partition: str, priority: int) -> None:
        """Hand a job over; handing it over again changes nothing."""

    def unfinished(self) -> frozenset[str]:
        """Return the ids of the jobs that were handed over and have not ended."""

    def forget_ended(self) -> int:
        """Drop what is kept of jobs that have ended and return how many; one of them that is handed over runs again."""

"""What automation sees of the server around it, as protocols that adapters fulfil: logs, pressure, messages, cron, sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from smartbackup_panel.core.traffic import Hours


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far one access log was read. Sizes in bytes; `read_bytes` counts uncompressed ones.

    `first_line` is the digest of its first line: it tells the same log under another inode (copied or compressed).
    """

    device: int
    inode: int
    first_line: str
    read_bytes: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class LogReading:
    """What was new in a domain's access logs: requests by hour, and how far each log is read now."""

    hours: Hours
    positions: tuple[LogPosition, ...]


class AccessLogs(Protocol):
    """Access logs of web servers."""

    def read_new(self, path: str, positions: Sequence[LogPosition]) -> LogReading:
        """Return the requests since `positions` in a log and its rotated files; nothing where there is no log."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """How busy the server is: percent of the last ten seconds in which something waited (PSI "some avg10")."""

    cpu: float
    io: float


class PressureGauge(Protocol):
    """The server's pressure and the priority of the calling thread."""

    def read(self) -> Pressure:
        """Return the pressure now; zeros where the kernel does not say."""

    def working(self, *, gently: bool) -> AbstractContextManager[None]:
        """Run a job on the calling thread: gently, it and the processes that it starts have the lowest useful priority."""


@dataclass(frozen=True, slots=True)
class Message:
    """One digest to the administrators: a subject, a text of several lines, and the same as plain fields."""

    subject: str
    text: str
    fields: Mapping[str, object]


class Notifier(Protocol):
    """The ways to reach the administrators that the settings name."""

    def send(self, message: Message) -> list[str]:
        """Send a message everywhere and return one sentence for each way that failed."""

    @property
    def has_ways(self) -> bool:
        """Whether there is any way to send."""


class CronFolder(Protocol):
    """A folder of cron files such as /etc/cron.d, in which only this product's files are ever touched."""

    def write(self, name: str, content: str) -> bool:
        """Write a file atomically and return whether anything changed."""

    def remove(self, name: str) -> bool:
        """Remove a file of this product and return whether it was there."""

    def list_ours(self) -> list[str]:
        """Return the names of this product's files."""

    def problems(self, name: str) -> list[str]:
        """Return one sentence for each reason why cron would not run a file as it is meant."""


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """How a site answered for its home page: HTTP's status and the page's title; `problem` where nothing answered."""

    status: int | None
    title: str = ""
    problem: str = ""

    @property
    def works(self) -> bool:
        """Whether a visitor sees a page or is sent on to one."""
        return self.status is not None and self.status < 400

    @property
    def words(self) -> str:
        """What follows "Your site": "answers 200, title 'Shop'", "answers with error 500"."""
        if self.status is None:
            return f"gives {self.problem}"
        if not self.works:
            return f"answers with error {self.status}"
        return f"answers {self.status}, title '{self.title}'" if self.title else f"answers {self.status}"

    def fields(self) -> dict[str, object]:
        """Return it for a job's result."""
        return {"status": self.status, "title": self.title, "works": self.works, "words": self.words}


class SiteProbe(Protocol):
    """The web server that shows the domains' sites."""

    def ask(self, name: str) -> SiteAnswer | None:
        """Return how the site of a domain answers, within seconds; None where there is no web server to ask."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All of them together, as bootstrap wires them."""

    access_logs: AccessLogs
    pressure: PressureGauge
    notifier: Notifier
    cron: CronFolder
    sites: SiteProbe

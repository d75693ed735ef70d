"""Which sources are points already, and what an increment of the original design is laid over. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from smartbackup_panel.core.errors import ArchiveRefused
from smartbackup_panel.core.import_sources import SourceKind


@dataclass(frozen=True, slots=True)
class Link:
    """An archive that is a point, or would be one ("" as its id). `base` is the name of the full archive of its chain."""

    at: datetime
    name: str
    base: str
    point_id: str = ""

    @property
    def is_full(self) -> bool:
        return self.name == self.base


@dataclass(frozen=True, slots=True)
class Place:
    """Where an increment belongs: over `previous`, which is `base` or the last increment; `lost` are increments between."""

    base: Link
    previous: Link
    lost: tuple[str, ...]


@dataclass(slots=True)
class Known:
    """The sources that are points. A site or database that does not change is backed up to the same bytes again and again, so
    archives and dumps of the original design are known by checksum and time, and only somebody's own tars by checksum alone.
    """

    _points: dict[tuple[str, datetime | None], str] = field(default_factory=dict)

    def add(self, sha256: str, at: datetime, point_id: str) -> None:
        """Note which point a source became."""
        self._points |= {(sha256, None): point_id, (sha256, at): point_id}

    def find(self, sha256: str, at: datetime, kind: SourceKind) -> str | None:
        """Return the point that a source became ("" where it would become one), or None."""
        return self._points.get((sha256, None if kind is SourceKind.PLAIN else at))


@dataclass(slots=True)
class Chains:
    """The archives of one domain that were imported, and those that could not be."""

    links: list[Link] = field(default_factory=list)
    _lost: list[tuple[datetime, str, SourceKind]] = field(default_factory=list)

    def add(self, link: Link) -> None:
        self.links.append(link)

    def lose(self, at: datetime, name: str, kind: SourceKind) -> None:
        """Note an archive that could not be imported."""
        self._lost.append((at, name, kind))

    def place_of(self, at: datetime, name: str, base_name: str) -> Place:
        """Return where an increment belongs; `base_name` is what its `.meta` calls its full archive ("": nothing).

        Raises ArchiveRefused where its full archive is not a point: its files alone are no site.
        """
        before = [link for link in self.links if link.is_full and link.at <= at and base_name in ("", link.name)]
        base = max(before, key=lambda link: link.at, default=None)
        missing = [lost for lost in self._lost if lost[2] is SourceKind.FULL and lost[0] <= at]
        unusable = max(missing, default=None)
        if base is None or (not base_name and unusable is not None and unusable[0] > base.at):
            wanted = base_name or (unusable[1] if unusable is not None else "the full archive before it")
            raise ArchiveRefused(
                f"{name} holds changed files alone, and {wanted} is not imported",
                hint="Import its full archive with it.",
            )
        chain = [link for link in self.links if link.base == base.name and base.at <= link.at <= at]
        between = sorted(lost for lost in self._lost if lost[2] is SourceKind.INCREMENTAL and base.at <= lost[0] <= at)
        return Place(base, max(chain, key=lambda link: link.at), tuple(lost[1] for lost in between))

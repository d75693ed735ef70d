"""What patterns would leave out of the newest restore point, told from its catalog before anybody chooses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby, islice

from smartbackup_panel.adapters.db import catalog, points
from smartbackup_panel.core.errors import CatalogBehind, WrongUsage
from smartbackup_panel.core.model import Actor, Point
from smartbackup_panel.core.tree import EntryType, ExcludedPath, SkipReason
from smartbackup_panel.engine.exclusions import IsExcluded, compile_exclusions
from smartbackup_panel.engine.left_out import LOCK_FILES
from smartbackup_panel.services.contents import Contents
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.exclusions import wrong_lines
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.policies import LeavingOut, leaving_out

MOST_LOOKED_AT = 500_000
LISTED = 20


@dataclass(frozen=True, slots=True)
class Weighed:
    """What rules leave out of a point: paths (a folder counts once), the files in them and their bytes; the largest ones.

    `coming_back` counts paths that are left out now and would not be any more. Where `is_complete` is false, only the first
    half million paths were looked at.
    """

    paths: int
    files: int
    size_bytes: int
    largest: tuple[ExcludedPath, ...]
    coming_back: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ExclusionPreview:
    """What choices would mean. `wrong` are bad lines as (number, message), and `leaving` and `weighed` are None then.

    `weighed` is of `point`; both are None where there is no point with files, or its list is not ready yet.
    """

    leaving: LeavingOut | None
    point: Point | None = None
    weighed: Weighed | None = None
    wrong: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ExclusionPreviews:
    """Looks before choosing. Raises UnknownDomain alike for "not there" and "not yours"."""

    installation: Installation

    def look(self, actor: Actor, domain_id: str, wanted: Mapping[str, object]) -> ExclusionPreview:
        """Return what a domain would leave out with these choices of its own (`profile`, `patterns`, `rebuildable`).

        Raises WrongUsage for a profile that is none and for too many lines.
        """
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            newest = next((point for point in points.list_points(tx, domain.id) if point.archive is not None), None)
        lines = wanted.get("patterns", ())
        if not isinstance(lines, list | tuple):
            raise WrongUsage("patterns are lines of text")
        if wrong := wrong_lines([str(line) for line in lines]):
            return ExclusionPreview(None, wrong=tuple(wrong))
        leaving = leaving_out(self.installation, domain, wanted)
        weighed = self._weigh(actor, newest, leaving) if newest is not None else None
        return ExclusionPreview(leaving, newest, weighed)

    def _weigh(self, actor: Actor, point: Point, leaving: LeavingOut) -> Weighed | None:
        is_excluded = compile_exclusions(leaving.lines)
        try:
            with Contents(self.installation).rows_of(actor, point) as rows:
                return weigh(rows, is_excluded, rebuildable=leaving.holds.rebuildable)
        except CatalogBehind:
            return None


def weigh(rows: Iterable[catalog.Row], is_excluded: IsExcluded | None, *, rebuildable: bool) -> Weighed:
    """Return what rules leave out of the paths of a point, which come folder by folder, a folder before its content."""
    scales, seen = _Scales(is_excluded, rebuildable), 0
    for folder, content in groupby(islice(rows, MOST_LOOKED_AT), key=lambda row: row[0]):
        entries = list(content)
        seen += len(entries)
        names = frozenset(name for _, name, *_ in entries)
        for _, name, kind, size, reason in entries:
            scales.add(folder, name, names, kind, size, reason)
    return scales.result(is_complete=seen < MOST_LOOKED_AT)


class _Scales:
    """Sums by the topmost path that the rules leave out; what lies inside of it is not judged by itself."""

    def __init__(self, is_excluded: IsExcluded | None, rebuildable: bool) -> None:
        self._is_excluded = is_excluded
        self._rebuildable = rebuildable
        self._sums: dict[bytes, tuple[int, int]] = {}
        self._inside: dict[bytes, bytes] = {}
        self._coming_back = 0

    def add(
        self, folder: bytes, name: bytes, names: frozenset[bytes], kind: EntryType, size: int, reason: SkipReason | None
    ) -> None:
        """Judge one path; `names` are all of its folder."""
        path, is_folder = catalog.joined(folder, name), kind is EntryType.DIRECTORY
        top = self._inside.get(folder)
        if kind is EntryType.SKIPPED:
            # What was left out does not say whether it was a folder, so it comes back only if it would as either.
            stays_out = (
                top is not None or self._leaves(path, name, names, False) or self._leaves(path, name, names, True)
            )
            self._coming_back += reason is SkipReason.EXCLUDED and not stays_out
            return
        if top is None and self._leaves(path, name, names, is_folder):
            top = path
        if top is None:
            return
        if is_folder:
            self._inside[path] = top
        files, size_bytes = self._sums.get(top, (0, 0))
        self._sums[top] = (files + (not is_folder), size_bytes + (size if kind is EntryType.FILE else 0))

    def result(self, *, is_complete: bool) -> Weighed:
        """Return the sums so far."""
        largest = sorted(self._sums.items(), key=lambda row: (-row[1][1], row[0]))[:LISTED]
        return Weighed(
            paths=len(self._sums),
            files=sum(files for files, _ in self._sums.values()),
            size_bytes=sum(size_bytes for _, size_bytes in self._sums.values()),
            largest=tuple(ExcludedPath(path, *sums) for path, sums in largest),
            coming_back=self._coming_back,
            is_complete=is_complete,
        )

    def _leaves(self, path: bytes, name: bytes, names: frozenset[bytes], is_folder: bool) -> bool:
        if self._is_excluded is not None and self._is_excluded(path, is_folder):
            return True
        return self._rebuildable and is_folder and not names.isdisjoint(LOCK_FILES.get(name, ()))

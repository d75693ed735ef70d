"""Bounded lists for summaries: exact counts, and the first names."""

from __future__ import annotations

from collections import Counter

from smartbackup_panel.core.tree import NameList, Skipped, SkippedList, SkipReason

MAX_NAMES = 1_000
MAX_EXCLUDED = 50
"""Of what a rule left out only so many are named, so that it does not hide what could not be read."""


class NameCollector:
    """Counts paths and keeps the first."""

    def __init__(self) -> None:
        self._count = 0
        self._names: list[bytes] = []

    def add(self, path: bytes) -> None:
        """Count a path."""
        self._count += 1
        if len(self._names) < MAX_NAMES:
            self._names.append(path)

    def result(self) -> NameList:
        """Return the count and the names."""
        return NameList(self._count, tuple(self._names))


class SkippedCollector:
    """Counts what was left out, by reason, and keeps the first."""

    def __init__(self) -> None:
        self._reasons: Counter[SkipReason] = Counter()
        self._first: list[Skipped] = []

    def add(self, path: bytes, reason: SkipReason, detail: str) -> None:
        """Count a path."""
        self._reasons[reason] += 1
        is_many = reason is SkipReason.EXCLUDED and self._reasons[reason] > MAX_EXCLUDED
        if len(self._first) < MAX_NAMES and not is_many:
            self._first.append(Skipped(path, reason, detail))

    def result(self) -> SkippedList:
        """Return the counts and the first paths."""
        return SkippedList(self._reasons.total(), tuple(self._first), dict(self._reasons))

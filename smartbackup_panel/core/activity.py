"""How busy and how large a domain is. Source of the numbers: docs/design.md, "Activity" (the original design's tables)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from smartbackup_panel.core.model import Analysis

MEGABYTE = 1024 * 1024
HIGH_FROM = 100
MEDIUM_FROM = 20
SMALL_BELOW_BYTES = 100 * MEGABYTE
MEDIUM_BELOW_BYTES = 1024 * MEGABYTE
STEADY_RATIO = 0.25
READINGS_APART = timedelta(hours=1)


def activity_level(file_changes: int) -> str:
    """Return "high" (100 or more files changed in 24 hours), "medium" (20 to 99) or "low"."""
    if file_changes >= HIGH_FROM:
        return "high"
    return "medium" if file_changes >= MEDIUM_FROM else "low"


def size_category(size_bytes: int) -> str:
    """Return "small" (below 100 MiB), "medium" (below 1 GiB) or "large"."""
    if size_bytes < SMALL_BELOW_BYTES:
        return "small"
    return "medium" if size_bytes < MEDIUM_BELOW_BYTES else "large"


def daily_counts(history: Sequence[Analysis]) -> list[int]:
    """Return one count of changes a day, newest first, from analyses newest first: the largest reading of each day."""
    by_day: dict[int, int] = {}
    if not history:
        return []
    newest = history[0].analysed_at
    for analysis in history:
        day = (newest - analysis.analysed_at) // timedelta(days=1)
        by_day[day] = max(by_day.get(day, 0), analysis.file_changes)
    return [by_day[day] for day in sorted(by_day)]


def average_daily_changes(counts: Sequence[int]) -> float:
    """Return the mean of at most 30 daily counts, rounded to a tenth; 0.0 without any."""
    recent = counts[:30]
    return round(sum(recent) / len(recent), 1) if recent else 0.0


def trend(counts: Sequence[int]) -> str:
    """Return "rising", "falling" or "stable": the newest three days against the days before, a quarter being steady."""
    recent, before = counts[:3], counts[3:14]
    if not before:
        return "stable"
    now, then = sum(recent) / len(recent), sum(before) / len(before)
    if now > then * (1 + STEADY_RATIO) + 1:
        return "rising"
    return "falling" if now < then * (1 - STEADY_RATIO) - 1 else "stable"


@dataclass(frozen=True, slots=True)
class Settled:
    """What a domain is taken for: its activity level and size category, each changed only when two readings agree."""

    level: str
    size: str


def settle(history: Sequence[Analysis]) -> Settled:
    """Return what analyses (newest first, at least one) settle on.

    The oldest reading counts at once; a later one that differs counts when the next one agrees with it, so that one busy
    day changes nothing. Readings less than an hour apart are one reading, its last.
    """
    readings: list[Analysis] = []
    for analysis in reversed(history):
        if readings and analysis.analysed_at - readings[-1].analysed_at < READINGS_APART:
            readings[-1] = analysis
        else:
            readings.append(analysis)
    return Settled(
        _settled([reading.activity_level for reading in readings]),
        _settled([reading.size_category for reading in readings]),
    )


def _settled(readings: Sequence[str]) -> str:
    settled = readings[0]
    for before, now in pairwise(readings):
        if before == now:
            settled = now
    return settled


def have_agreed(newest: Sequence[Analysis]) -> bool:
    """Return whether the newest two analyses (newest first) are two readings that agree: then nothing is unsettled."""
    if len(newest) < 2 or newest[0].analysed_at - newest[1].analysed_at < READINGS_APART:
        return False
    now, before = newest[0], newest[1]
    return (now.activity_level, now.size_category) == (before.activity_level, before.size_category)


def is_unsettled(history: Sequence[Analysis]) -> bool:
    """Return whether the newest reading differs from what the domain is taken for: it wants to be confirmed."""
    settled = settle(history)
    return (settled.level, settled.size) != (history[0].activity_level, history[0].size_category)


def describe_change(before: Settled, after: Settled, then: Analysis, now: Analysis) -> str | None:
    """Return what changed in words ("activity medium → high: 31 → 140 files a day"), or None."""
    said = []
    if before.level != after.level:
        said.append(f"activity {before.level} → {after.level}: {then.file_changes} → {now.file_changes} files a day")
    if before.size != after.size:
        sizes = f"{then.size_bytes // MEGABYTE} → {now.size_bytes // MEGABYTE} MB"
        said.append(f"size {before.size} → {after.size}: {sizes}")
    return "; ".join(said) or None

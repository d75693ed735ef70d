"""The hour of a domain's runs: its own quiet hours, levelled against what is planned for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, schedules, statistics, traffic
from smartbackup_panel.core.model import PANEL, Analysis, Domain, Schedule
from smartbackup_panel.core.quiet_hours import DEFAULT_MINUTE, MINUTES_A_DAY, Histogram, Span, histogram
from smartbackup_panel.core.schedule import Rhythm, Start, first_minute, has_rhythm
from smartbackup_panel.core.spread import MINUTES_A_WEEK, WeekPlan, Wish, choose_minute, week_starts
from smartbackup_panel.services.installation import Installation

HISTORY = timedelta(days=365)
RECENT = timedelta(days=60)
BYTES_A_SECOND = 30 * 1024 * 1024
FILES_A_SECOND = 4_000


@dataclass(frozen=True, slots=True)
class Planned:
    """A domain with its schedule and how long its runs are expected to take (seconds)."""

    domain: Domain
    schedule: Schedule
    seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a domain that gets its hour: its quiet hours, the minute that it keeps, how long its runs take."""

    quiet: Histogram
    kept: int | None
    seconds: float | None
    others: tuple[Planned, ...]


def read_place(
    installation: Installation, tx: Connection, domain: Domain, rhythm: Rhythm, present: Schedule | None
) -> Place:
    """Return what choosing a start needs, so that it can be chosen when the transaction is over.

    A domain that keeps its rhythm keeps its minute until the weekly review; then nothing is read of the others.
    """
    settings, now = installation.settings, installation.clock.now()
    quiet = quiet_hours(tx, domain, settings.timezone, now)
    kept = first_minute(present) if present is not None and has_rhythm(present, rhythm) else None
    if kept is not None and _is_allowed(settings.backup_window, settings.blackout_hours, rhythm, kept):
        return Place(quiet, kept, None, ())
    others = tuple(row for row in list_planned(installation, tx) if row.domain.id != domain.id)
    return Place(quiet, None, statistics.mean_seconds(tx, now - RECENT).get(domain.id), others)


def choose_start(installation: Installation, domain: Domain, analysis: Analysis, rhythm: Rhythm, place: Place) -> Start:
    """Return when a domain's runs begin."""
    minute = place.kept
    if minute is None:
        seconds = place.seconds or expected_seconds(analysis)
        wish = _wish(installation, domain, rhythm, seconds, place.quiet)
        minute = choose_minute(wish, _plan_of(installation, place.others), installation.settings.blackout_hours)
    return Start(minute, _because(place.quiet, rhythm, minute))


def choose_all(
    installation: Installation,
    planned: list[Planned],
    wanted: list[tuple[Planned, Rhythm]],
    quiet_by_domain: Mapping[str, Histogram],
) -> dict[str, Start]:
    """Return the starts of many domains at once, which levels better: the most frequent and longest are placed first.

    `planned` are all domains that have a schedule, the wanted ones among them.
    """
    settings, ids = installation.settings, {row.domain.id for row, _ in wanted}
    plan = _plan_of(installation, (row for row in planned if row.domain.id not in ids))
    starts: dict[str, Start] = {}
    for row, rhythm in sorted(
        wanted, key=lambda pair: (pair[1] is Rhythm.WEEKLY, -pair[0].seconds, pair[0].domain.name)
    ):
        quiet = quiet_by_domain[row.domain.id]
        wish = _wish(installation, row.domain, rhythm, row.seconds, quiet)
        present = first_minute(row.schedule) if has_rhythm(row.schedule, rhythm) else None
        minute = choose_minute(wish, plan, settings.blackout_hours, present)
        plan.add(rhythm.starts(minute), row.seconds)
        starts[row.domain.id] = Start(minute, _because(quiet, rhythm, minute))
    return starts


def list_planned(installation: Installation, tx: Connection) -> list[Planned]:
    """Return every covered domain that has a schedule, with how long its runs take."""
    known = {domain.id: domain for domain in domains.list_domains(tx, PANEL)}
    means = statistics.mean_seconds(tx, installation.clock.now() - RECENT)
    plans = schedules.list_schedules(tx, list(known))
    return [Planned(known[key], plan, means.get(key, 10.0)) for key, plan in plans.items()]


def quiet_hours(tx: Connection, domain: Domain, timezone: str, now: datetime) -> Histogram:
    """Return the hours of the week of the domain's own access log, over at most a year."""
    return histogram(traffic.list_days(tx, domain.id, (now - HISTORY).date()), timezone)


def expected_seconds(analysis: Analysis) -> float:
    """Return how long a first run may take, from the domain's size: a guess until there are runs to go by."""
    return 2.0 + analysis.size_bytes / BYTES_A_SECOND + analysis.file_count / FILES_A_SECOND


def _wish(installation: Installation, domain: Domain, rhythm: Rhythm, seconds: float, quiet: Histogram) -> Wish:
    span = installation.settings.backup_window
    return Wish(domain.name, rhythm.starts, seconds, span, quiet.busyness if quiet.counts else _far_from_three)


def _far_from_three(_weekday: int, minute: int) -> float:
    """Return how far from 3 AM a minute is (1.0 is three hours or more): without traffic history nothing else is known."""
    distance = abs((minute - DEFAULT_MINUTE + MINUTES_A_DAY // 2) % MINUTES_A_DAY - MINUTES_A_DAY // 2)
    return min(1.0, distance / 180)


def _is_allowed(window: Span, blackout: Iterable[Span], rhythm: Rhythm, minute: int) -> bool:
    starts = {start % MINUTES_A_DAY for start in rhythm.starts(minute)}
    inside = any(window.holds(start) for start in starts)
    return inside and not any(span.holds(start) for span in blackout for start in starts)


def _because(quiet: Histogram, rhythm: Rhythm, minute: int) -> str:
    """Return why a minute was chosen, in the words of the page."""
    if not quiet.counts:
        return "near 3 AM, spread so that domains do not start together"
    starts = rhythm.starts(minute)
    requests = sum(quiet.hours[start // 60] for start in starts) / len(starts)
    hour = "quiet hours" if rhythm is Rhythm.SIX_HOURS else "quiet hour"
    return f"{hour}, {requests:.0f} requests an hour then and {max(quiet.hours):.0f} at its busiest ({quiet.days} days of traffic)"


def _plan_of(installation: Installation, planned: Iterable[Planned]) -> WeekPlan:
    """Return the week's planned work, in the time zone of the settings."""
    now, ours = installation.clock.now(), installation.settings.timezone
    runs: list[tuple[list[int], float]] = []
    for row in planned:
        shift = _shift_minutes(row.schedule.timezone, ours, now)
        for line in row.schedule.lines:
            if len(row.schedule.lines) > 1 and line.cron.endswith(" 0") and line.kind is not None:
                continue  # the weekly full point takes the place of that day's increment
            runs.append(([(start + shift) % MINUTES_A_WEEK for start in week_starts(line.cron)], row.seconds))
    return WeekPlan.of(runs)


def _shift_minutes(zone: str, ours: str, now: datetime) -> int:
    if zone == ours:
        return 0
    theirs, mine = now.astimezone(ZoneInfo(zone)).utcoffset(), now.astimezone(ZoneInfo(ours)).utcoffset()
    return int(((mine or timedelta()) - (theirs or timedelta())).total_seconds() // 60)

"""The analysis of a domain: one scan, the traffic log and the history, and what follows from them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, schedules, traffic
from smartbackup_panel.core.activity import activity_level, average_daily_changes, daily_counts, size_category, trend
from smartbackup_panel.core.model import Analysis, Domain, Progress, Schedule
from smartbackup_panel.core.strategy import Choice, choose_strategy
from smartbackup_panel.core.tree import Progress as Step
from smartbackup_panel.core.tree import ScanSummary
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import sidecars
from smartbackup_panel.services.exclusions import scan_options
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.scheduling import steady_reading, update_schedule
from smartbackup_panel.services.tenants import start_agent

MONTH_OF_READINGS = 31 * 24
"""As many as a domain of hourly runs has in the thirty days that averages and trends are of."""

OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """An analysis with what was decided from it."""

    analysis: Analysis
    choice: Choice
    schedule: Schedule


def analyse(context: JobContext, domain: Domain) -> Outcome:
    """Analyse a domain without a backup; its schedule is brought up to date."""
    started = time.monotonic()
    with start_agent(context.installation, domain) as agent:
        found = agent.inspect()
        summary = agent.scan(
            scan_options(context.installation, domain, found), None, on_step(context, "reading the site", agent)
        )
    concluded = conclude(context, domain, summary, found, time.monotonic() - started)
    return Outcome(analysis_fields(domain, concluded))


def conclude(
    context: JobContext, domain: Domain, summary: ScanSummary, found: dict[str, object], seconds: float
) -> Conclusion:
    """Return and record the analysis that follows from a scan, and the schedule that follows from the analysis.

    A schedule that changes with it is said in the job's log.
    """
    installation = context.installation
    now, requests = installation.clock.now(), read_traffic(installation, domain)
    with installation.state.write() as tx:
        analysis = Analysis(
            file_changes=summary.changed_last_24_hours,
            activity_level=activity_level(summary.changed_last_24_hours),
            traffic_requests=requests,
            average_daily_changes=float(summary.changed_last_24_hours),
            trend="stable",
            size_bytes=summary.size_bytes,
            size_category=size_category(summary.size_bytes),
            file_count=summary.file_count,
            application=str(found.get("kind", "")),
            analysed_at=now,
            seconds=round(seconds, 3),
        )
        analysis = _with_history(tx, domain, analysis)
        schedules.insert_analysis(tx, domain.id, analysis)
        document_root = os.path.join(domain.root, str(found.get("document_root", ""))).rstrip("/")
        domains.set_application(tx, domain.id, analysis.application, document_root)
        steady = steady_reading(schedules.list_analyses(tx, domain.id))
    adjusted = update_schedule(installation, domain, analysis)
    if adjusted.change is not None:
        context.say(adjusted.change)
    sidecars.write_activity(installation, domain, analysis)
    return Conclusion(analysis, choose_strategy(steady), adjusted.schedule)


def analysis_fields(domain: Domain, concluded: Conclusion) -> dict[str, object]:
    """Return an analysis as the command line's JSON has it."""
    analysis = concluded.analysis
    return {
        "domain": domain.name,
        "file_changes": analysis.file_changes,
        "activity_level": analysis.activity_level,
        "traffic_requests": analysis.traffic_requests,
        "average_daily_changes": analysis.average_daily_changes,
        "trend": analysis.trend,
        "size_bytes": analysis.size_bytes,
        "size_category": analysis.size_category,
        "file_count": analysis.file_count,
        "application": analysis.application,
        "strategy": concluded.schedule.strategy,
        "strategy_reason": concluded.choice.reason,
        "schedule": [{"cron": line.cron, "type": line.kind or "auto"} for line in concluded.schedule.lines],
        "schedule_reason": concluded.schedule.reason,
        "seconds": analysis.seconds,
    }


def on_step(context: JobContext, phase: str, agent: Agent) -> OnStep:
    """Return what hands an agent's progress on to the job, and slows a planned job down while the server is busy."""

    def hand_on(step: Step) -> None:
        context.breather.pause(agent.rest)
        context.progress(
            Progress(phase, step.bytes_done, step.bytes_total or 0, step.files_done, step.files_total or 0)
        )

    return hand_on


def _with_history(tx: Connection, domain: Domain, analysis: Analysis) -> Analysis:
    counts = daily_counts([analysis, *schedules.list_analyses(tx, domain.id, MONTH_OF_READINGS)])
    fields = {name: getattr(analysis, name) for name in Analysis.__slots__}
    return Analysis(**fields | {"average_daily_changes": average_daily_changes(counts), "trend": trend(counts)})


def read_traffic(installation: Installation, domain: Domain) -> int:
    """Take over what is new in a domain's access logs and return the requests of the last 24 hours.

    The logs are read outside of any transaction; the position in them and the counts are recorded in one, and only
    where nobody else has read on meanwhile: no line counts twice or is lost.
    """
    now = installation.clock.now()
    if domain.access_log is not None and not _is_inside(domain.access_log, domain.root):
        with installation.state.read() as tx:
            before = traffic.list_positions(tx, domain.id)
        reading = installation.surroundings.access_logs.read_new(domain.access_log, before)
        with installation.state.write() as tx:
            if traffic.list_positions(tx, domain.id) == before:
                traffic.add_hours(tx, domain.id, reading.hours)
                traffic.save_positions(tx, domain.id, reading.positions)
    with installation.state.read() as tx:
        return traffic.count_last_day(tx, domain.id, now)


def _is_inside(path: str, folder: str) -> bool:
    """Return whether a log lies in the tenant's own folder, where the worker opens nothing (SECURITY rule 1)."""
    return os.path.commonpath([path, folder]) == folder.rstrip("/")

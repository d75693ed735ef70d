"""Schedules as files of the server's cron, for installations that prefer it (schedule_mode = cron)."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from zoneinfo import ZoneInfo

from smartbackup_panel.adapters.db import domains, schedules
from smartbackup_panel.core.model import PANEL, Analysis, Domain, DomainState, Schedule
from smartbackup_panel.services.installation import Installation

# Only what a command needs to find this installation: passwords and addresses never go into a file that all may read.
PASSED_ON = (
    *("state_dir", "backup_root", "domains_root", "access_log", "panel", "database_hosts", "spool_dir"),
    *("web_users", "timezone", "compression", "full_every_days", "reserve_mb"),
)


def file_name(domain: Domain) -> str:
    """Return the name of a domain's cron file: by its id, for cron runs no file with a dot in its name."""
    return f"smartbackup-{domain.id}"


def sync(installation: Installation) -> list[str]:
    """Bring the cron files in line with the schedules and return the names of those that changed.

    In the other mode our files are removed, so that no run happens twice. Files of other installations are left alone.
    """
    cron = installation.surroundings.cron
    with installation.state.read() as tx:
        every = domains.list_domains(tx, PANEL, with_deleted=True)
        plans = schedules.list_schedules(tx, [domain.id for domain in every])
        readings = schedules.latest_analyses(tx, list(plans)) if installation.settings.schedule_mode == "cron" else {}
    changed: list[str] = []
    present = set(cron.list_ours())
    for domain in every:
        plan = plans.get(domain.id)
        covered = domain.state in (DomainState.ACTIVE, DomainState.SUSPENDED)
        if installation.settings.schedule_mode == "cron" and covered and plan is not None and plan.lines:
            if cron.write(file_name(domain), content(installation, domain, plan, readings.get(domain.id))):
                changed.append(file_name(domain))
        elif file_name(domain) in present and cron.remove(file_name(domain)):
            changed.append(file_name(domain))
    return changed


def content(installation: Installation, domain: Domain, schedule: Schedule, analysis: Analysis | None) -> str:
    """Return a domain's cron file: the original design's header, the settings that a command needs, one line a run."""
    program = os.path.join(os.path.dirname(sys.executable), "smartbackup")
    lines = [
        f"# Smart Backup - {domain.name}",
        f"# Strategy: {schedule.strategy}",
        f"# Activity: {analysis.activity_level if analysis else 'not analysed yet'}",
        "# Written by Smart Backup; changes are overwritten. Times are the server's.",
        'MAILTO=""',
        *_environment(installation),
        "",
    ]
    for line in schedule.lines:
        kind = line.kind or "auto"
        lines.append(f"{line.cron} root {program} backup {domain.name} --type {kind} --scheduled > /dev/null 2>&1")
    return "\n".join(lines) + "\n"


def problems(installation: Installation) -> list[str]:
    """Return why cron would not run the files as they are meant; [] where the worker starts the runs."""
    if installation.settings.schedule_mode != "cron":
        return []
    cron = installation.surroundings.cron
    found = [sentence for name in cron.list_ours() for sentence in cron.problems(name)]
    if not os.path.isdir(installation.settings.cron_dir):
        found.append(f"{installation.settings.cron_dir} is not there")
    now = installation.clock.now()
    offset = now.astimezone().utcoffset() or timedelta()
    with installation.state.read() as tx:
        plans = schedules.list_schedules(tx, [domain.id for domain in domains.list_domains(tx, PANEL)])
    if any(_offset(plan, installation) != offset for plan in plans.values()):
        found.append("cron runs by the server's time zone, which is not the one of every schedule")
    return found


def _offset(plan: Schedule, installation: Installation) -> timedelta:
    return installation.clock.now().astimezone(ZoneInfo(plan.timezone)).utcoffset() or timedelta()


def _environment(installation: Installation) -> list[str]:
    settings = installation.settings
    lines = []
    for name in PASSED_ON:
        if settings.sources.get(name) == "environment":
            value = getattr(settings, name)
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            if "\n" not in text and '"' not in text:
                lines.append(f'SMARTBACKUP_{name.upper()}="{text}"')
    return lines

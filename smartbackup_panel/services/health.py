"""Whether this installation can do its work: what `smartbackup check` says."""

from __future__ import annotations

import os
from dataclasses import dataclass

from smartbackup_panel.adapters.db import people
from smartbackup_panel.core.alarms import WORKER_SILENT_AFTER
from smartbackup_panel.core.errors import SmartBackupError
from smartbackup_panel.core.model import COMMAND_LINE
from smartbackup_panel.services import alarms, cron_mode
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.queries import Queries
from smartbackup_panel.services.upkeep import worker_runs

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, what was found, and what to do where it is not right."""

    name: str
    is_ok: bool
    found: str
    hint: str = ""


def check_installation(installation: Installation, queries: Queries) -> list[Check]:
    """Return every check, the failing ones among them; nothing is changed."""
    return [
        _inventory(installation),
        _store(installation),
        _worker(installation),
        _hard_links(),
        *_cron(installation),
        *_messages(installation),
        *_domains(installation, queries),
    ]


def _inventory(installation: Installation) -> Check:
    try:
        count = sum(1 for _ in installation.panel.list_domains())
    except SmartBackupError as error:
        return Check("inventory", False, error.message, error.hint)
    return Check("inventory", True, f"{count} domains")


def _store(installation: Installation) -> Check:
    root, reserve = installation.settings.backup_root, installation.settings.reserve_mb
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        room = os.statvfs(root)
    except OSError as wrong:
        return Check("store", False, f"{root}: {wrong.strerror}", "Check SMARTBACKUP_BACKUP_ROOT and its rights.")
    free_mb = room.f_bavail * room.f_frsize // MEGABYTE
    mode = os.stat(root).st_mode & 0o777
    if mode & 0o077:
        return Check("store", False, f"{root} is open to others (mode {mode:04o})", f"chmod 0700 {root}")
    hint = "Free some space, or move the backup root to a larger filesystem."
    return Check("store", free_mb > reserve, f"{root}: {free_mb} MB free", hint)


def _worker(installation: Installation) -> Check:
    hint = "Start it: smartbackup worker (or its systemd unit)."
    if not worker_runs(installation):
        return Check("worker", False, "no worker runs: schedules and hooks wait", hint)
    with installation.state.read() as tx:
        seen = people.find_note(tx, "worker")
    is_fresh = seen is not None and installation.clock.now() - seen[1] < WORKER_SILENT_AFTER
    return Check("worker", is_fresh, f"runs, last seen {seen[1]:%H:%M:%S} UTC" if seen else "runs, not seen yet", hint)


def _hard_links() -> Check:
    """A tenant may link another's files into its own folder where the kernel does not protect hard links (case T03)."""
    path = "/proc/sys/fs/protected_hardlinks"
    try:
        with open(path, encoding="ascii") as file:
            value = file.read().strip()
    except OSError:
        return Check("hard links", True, "the kernel does not say")
    return Check("hard links", value == "1", f"fs.protected_hardlinks = {value}", "sysctl -w fs.protected_hardlinks=1")


def _cron(installation: Installation) -> list[Check]:
    found = cron_mode.problems(installation)
    if installation.settings.schedule_mode != "cron":
        return []
    hint = "smartbackup worker writes the files again; check who else changes them."
    return [Check("cron files", not found, "; ".join(found) or f"in {installation.settings.cron_dir}", hint)]


def _messages(installation: Installation) -> list[Check]:
    """Say whether the last message of alarms went out by every way that is set."""
    with installation.state.read() as tx:
        last = people.find_note(tx, alarms.NOTIFIED)
    if last is None or not installation.surroundings.notifier.has_ways:
        return []
    hint = "Check SMARTBACKUP_SMTP_URL, SMARTBACKUP_NOTIFY_WEBHOOK and SMARTBACKUP_NOTIFY_APPRISE."
    return [Check("messages", not last[0], last[0] or f"last one sent {last[1]:%Y-%m-%d %H:%M} UTC", hint)]


def _domains(installation: Installation, queries: Queries) -> list[Check]:
    """Say what needs a person; the worker has a check of its own."""
    found = [problem for problem in alarms.find_problems(installation) if problem.kind != alarms.WORKER_ALARM]
    sentence = queries.dashboard(COMMAND_LINE).sentence
    return [Check("domains", not found, sentence, "See the problems below or on the dashboard.")] + [
        Check(problem.domain.name if problem.domain else "server", False, problem.sentence, problem.next_action)
        for problem in found
    ]

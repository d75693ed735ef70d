"""What is old enough goes: points of deleted domains after the grace period and a last warning, and history after a year."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import alarms, domains, people, points, schedules, statistics, traffic
from smartbackup_panel.adapters.db.statistics import forget_points
from smartbackup_panel.adapters.locks import if_free
from smartbackup_panel.core.alarms import LAST_WARNING_DAYS
from smartbackup_panel.core.model import PANEL, SCHEDULER, Domain, DomainState
from smartbackup_panel.services import catalog, choices
from smartbackup_panel.services.alarms import clock_is_suspect
from smartbackup_panel.services.installation import Installation

PURGED = "purged"

log = logging.getLogger(__name__)


def purge_due(installation: Installation) -> list[str]:
    """Remove the points of domains whose grace period is over and whose last warning is three days old; return the names.

    Nothing is removed while the clock is suspect (SECURITY rule 18). The record of the domain and the audit stay.
    """
    with installation.state.read() as tx:
        due = [
            domain for domain in domains.list_domains(tx, PANEL, with_deleted=True) if _is_due(installation, tx, domain)
        ]
    purged: list[str] = []
    for domain in due:
        with if_free(installation.domain_lock(domain.id)) as is_held:
            if is_held:
                try:
                    _purge(installation, domain)
                except OSError:
                    log.exception("the archives of %s could not be removed", domain.name)
                purged.append(domain.name)
    return purged


def forget_history(installation: Installation) -> int:
    """Remove jobs, logs, traffic and ended alarms older than `history_days`; return how many jobs went."""
    now = installation.clock.now()
    before = now - timedelta(days=installation.settings.history_days)
    with installation.state.write() as tx:
        if clock_is_suspect(tx, now):
            return 0
        traffic.forget_days(tx, before.date())
        alarms.forget_ended(tx, before)
        schedules.forget_analyses(tx, before)
        return len(statistics.forget_jobs(tx, before))


def _is_due(installation: Installation, tx: Connection, domain: Domain) -> bool:
    now = installation.clock.now()
    if domain.state is not DomainState.DELETED or domain.deleted_at is None or clock_is_suspect(tx, now):
        return False
    warned = alarms.find(tx, f"purge:{domain.id}")
    if warned is None or warned.ended_at is not None or now - warned.opened_at < timedelta(days=LAST_WARNING_DAYS):
        return False
    return now >= domain.deleted_at + timedelta(days=installation.settings.grace_days) and bool(
        points.list_points(tx, domain.id, 1)
    )


def _purge(installation: Installation, domain: Domain) -> None:
    """Record first, then remove: a purge that was cut off leaves files that no record offers, and is noted in the audit."""
    with installation.state.write() as tx:
        count = forget_points(tx, domain.id)
        traffic.forget_domain(tx, domain.id)
        choices.forget(tx, domain)
        people.add_audit(tx, installation.clock.now(), SCHEDULER, PURGED, domain.id, None, {"points": count})
    log.info("domain purged: %s, %d points", domain.name, count)
    catalog.forget(installation, domain.id)
    root = installation.settings.backup_root
    _remove_folder(installation.store_folder(domain))
    _remove_folder(os.path.join(root, ".incremental", domain.store_folder))
    for name in (
        f".metadata/{domain.store_folder}_backups.json",
        f".tracking/{domain.store_folder}_backup.json",
        f".tracking/{domain.store_folder}_activity.json",
    ):
        _remove_file(os.path.join(root, name))
    _remove_file(choices.path_of(installation, domain))


def _remove_folder(path: str) -> None:
    """Remove a folder of our own store with the plain files in it; one that holds more is left for a person."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        for name in os.listdir(fd):
            os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path)


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return

"""The journal of restores: where each one stands, and what follows from it after a crash or when its undo is over.

Whoever comes after a crash rolls back what was being prepared and carries through what was being swapped, so that the
site is the old one or the new one, and the journal says which. No password is kept in it: logins are read again from the
site's own configuration.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from smartbackup_panel.adapters.db import domains, jobs, points, restores
from smartbackup_panel.adapters.db.restores import RestorePhase, RestoreRecord
from smartbackup_panel.adapters.locks import if_free
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import RestoreState, SwapMode
from smartbackup_panel.core.errors import DatabaseRefused, RestoreFailed, SmartBackupError
from smartbackup_panel.core.model import Domain, LogLine
from smartbackup_panel.core.tree import AgentPurpose, Staging
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services.database_logins import match_logins
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.tenants import database_server, start_agent


class Restored(NamedTuple):
    """A database that was restored: `name` is where to, `login` the database whose login in the configuration was used."""

    kind: str
    name: str
    login: str


def recover(installation: Installation) -> list[str]:
    """Roll back or carry through every restore that was cut off and that nobody works on now; return their ids."""
    with installation.state.read() as tx:
        open_phases = (RestorePhase.PREPARING, RestorePhase.SWAPPING, RestorePhase.UNDOING, RestorePhase.REMOVING)
        cut_off = restores.list_restores(tx, *open_phases)
    mended: list[str] = []
    for record in cut_off:
        with if_free(installation.domain_lock(record.domain_id)) as is_held:
            if not is_held:
                continue
            try:
                _recover_one(installation, record)
                mended.append(record.id)
            except SmartBackupError as error:
                _log_failure(installation, record, error)
    return mended


def expire_undos(installation: Installation) -> list[str]:
    """Remove what was kept for an undo and whose time is over; return the ids of those restores."""
    now = installation.clock.now()
    with installation.state.read() as tx:
        kept = restores.list_restores(tx, RestorePhase.SWAPPED)
        over = [record for record in kept if record.undo_until is not None and record.undo_until <= now]
        over += restores.list_restores(tx, RestorePhase.REMOVING)
    gone: list[str] = []
    for record in over:
        with if_free(installation.domain_lock(record.domain_id)) as is_held:
            if is_held and forget_undo(installation, _domain(installation, record), record):
                gone.append(record.id)
    return gone


def keep_undo(installation: Installation, domain: Domain, restore_id: str) -> None:
    """Record the swap; the undo of an earlier restore gives way to this one's."""
    now = installation.clock.now()
    until = now + timedelta(days=installation.settings.undo_days)
    with installation.state.write() as tx:
        restores.set_phase(tx, restore_id, RestorePhase.SWAPPED, swapped_at=now, undo_until=until)
    forget_earlier_undos(installation, domain)


def forget_earlier_undos(installation: Installation, domain: Domain) -> None:
    """Remove all undos of a domain but the newest; a crash after a swap may have left an earlier one."""
    with installation.state.read() as tx:
        kept = restores.list_restores(tx, RestorePhase.SWAPPED, domain_id=domain.id)
    for record in sorted(kept, key=lambda record: record.swapped_at or record.started_at)[:-1]:
        forget_undo(installation, domain, record)


def forget_undo(installation: Installation, domain: Domain, record: RestoreRecord) -> bool:
    """Remove an undo, which nobody can use from now on; False where something of it cannot be removed, which is tried again."""
    set_phase(installation, record.id, RestorePhase.REMOVING)
    try:
        logins: list[tuple[str, DatabaseLogin]] = []
        with suppress(DatabaseRefused):  # a login that is gone took its undo tables out of our reach
            logins = logins_of(installation, domain, record)
        for kind, login in logins:
            with suppress(DatabaseRefused):
                database_server(installation, domain, kind).discard(login, record.id)
        discard(installation, domain, record, [])
    except SmartBackupError as error:
        if record.phase is not RestorePhase.REMOVING:
            _log_failure(installation, record, error)
        return False
    set_phase(installation, record.id, RestorePhase.ENDED)
    return True


def after_a_crash(installation: Installation, restore_id: str) -> RestoreRecord | None:
    """Return this restore's record when an earlier attempt had reached its swap; an unfinished one is cleaned up."""
    with installation.state.read() as tx:
        record = restores.find_restore(tx, restore_id)
    if record is None or record.phase is RestorePhase.ENDED:
        return None
    if record.phase is not RestorePhase.SWAPPED:
        _recover_one(installation, record)
    with installation.state.read() as tx:
        record = restores.find_restore(tx, restore_id)
    if record is None or record.phase is not RestorePhase.SWAPPED:
        return None
    forget_earlier_undos(installation, _domain(installation, record))
    return record


def _recover_one(installation: Installation, record: RestoreRecord) -> None:
    domain = _domain(installation, record)
    if record.phase is RestorePhase.REMOVING:
        forget_undo(installation, domain, record)
        return
    logins = logins_of(installation, domain, record)
    if record.phase is RestorePhase.PREPARING:
        discard(installation, domain, record, logins)
        set_phase(installation, record.id, RestorePhase.ENDED)
        return
    with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
        if record.phase is RestorePhase.UNDOING:
            carry_undo_through(installation, domain, agent, record, logins)
            return
        if (staging := _staging(record)) is not None:
            agent.swap(staging)
    mode = SwapMode.EXACT if record.journal.get("exact") else SwapMode.MERGE
    for kind, login in logins:
        database_server(installation, domain, kind).swap(login, record.id, mode)
    keep_undo(installation, domain, record.id)


def carry_undo_through(
    installation: Installation,
    domain: Domain,
    agent: Agent,
    record: RestoreRecord,
    logins: list[tuple[str, DatabaseLogin]],
) -> None:
    staging = _staging(record)
    if staging is not None:
        agent.swap_back(staging)
    for kind, login in logins:
        server = database_server(installation, domain, kind)
        if server.state_of(login, record.id) is not RestoreState.NONE:
            server.undo(login, record.id)
        server.discard(login, record.id)
    set_phase(installation, record.id, RestorePhase.REMOVING)
    try:
        if staging is not None:
            agent.discard(staging)
    except RestoreFailed as error:  # the site is as it was; what remains is tried again each hour
        _log_failure(installation, record, error)
        return
    set_phase(installation, record.id, RestorePhase.ENDED)


def discard(
    installation: Installation,
    domain: Domain,
    record: RestoreRecord,
    logins: list[tuple[str, DatabaseLogin]],
) -> None:
    """Remove the staged tree (or the undo) and the scratch tables of a restore; what is not there is fine."""
    for kind, login in logins:
        database_server(installation, domain, kind).discard(login, record.id)
    staging = _staging(record)
    if staging is not None:
        with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
            agent.discard(staging)


def logins_of(installation: Installation, domain: Domain, record: RestoreRecord) -> list[tuple[str, DatabaseLogin]]:
    """Return (kind, login) of the restore's databases, read again from the site's two trees: no password is kept.

    Raises DatabaseRefused when one of them is named by neither.
    """
    rows = record.journal.get("databases") or []
    wanted = [_restored(row) for row in rows] if isinstance(rows, list) else []
    if not wanted:
        return []
    with installation.state.read() as tx:
        point = points.find_point(tx, domain.id, record.point_id or "")
    roots: list[str | None] = [None]
    if (staging := _staging(record)) is not None:
        roots.append(os.path.join(staging.parent, staging.staging_name))
    known: dict[tuple[str, str], DatabaseLogin] = {}
    for root in roots:
        if (
            point is None
            or (root is not None and not os.path.isdir(root))
            or all((row.kind, row.login) in known for row in wanted)
        ):
            continue
        with start_agent(installation, domain, root=root) as agent:
            for login in match_logins(installation, domain, agent.inspect(), point).values():
                known.setdefault((login.kind, login.name), login)
    missing = [row.login for row in wanted if (row.kind, row.login) not in known]
    if missing:
        raise DatabaseRefused(f"the site's configuration names no login for the database {missing[0]} any more")
    return [(row.kind, replace(known[row.kind, row.login], name=row.name)) for row in wanted]


def _restored(row: Sequence[str]) -> Restored:
    """A journal of before there were other databases says kind and name alone."""
    kind, name, *login = row
    return Restored(kind, name, login[0] if login else name)


def _staging(record: RestoreRecord) -> Staging | None:
    fields = record.journal.get("staging")
    return Staging(**fields) if isinstance(fields, dict) else None


def _domain(installation: Installation, record: RestoreRecord) -> Domain:
    with installation.state.read() as tx:
        return domains.get_domain(tx, record.domain_id)


def set_phase(
    installation: Installation, restore_id: str, phase: RestorePhase, journal: dict[str, object] | None = None
) -> None:
    with installation.state.write() as tx:
        restores.set_phase(tx, restore_id, phase, journal=journal)


def _log_failure(installation: Installation, record: RestoreRecord, error: SmartBackupError) -> None:
    """Keep the journal as it is, so that the next start tries again, and say so in the restore's own log."""
    with installation.state.write() as tx:
        text = f"what the restore left could not be mended or removed yet and is tried again: {error.message}"
        jobs.add_log(tx, record.id, [LogLine(installation.clock.now(), "error", text)])

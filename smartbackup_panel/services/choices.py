"""What people chose for a domain, kept beside its archives too, so that it outlives the state (SECURITY rule 22).

    .metadata/DOMAIN_choices.json    pins, rules of retention, exclusions, rows left out, a pinned schedule; signed

The state decides; the files follow it. Pages may write the state and never the store, so whoever owns the store looks once a
minute and after each job which files differ from what was chosen. They are read by a rebuild alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, people, points, policies, schedules
from smartbackup_panel.adapters.db.policies import Policy
from smartbackup_panel.core.errors import SmartBackupError
from smartbackup_panel.core.model import PANEL, Domain, Schedule, Strategy
from smartbackup_panel.services import scheduling, sidecars
from smartbackup_panel.services.installation import Installation

PURPOSE = "choices"
MOST_BYTES = 4 * 1024 * 1024


def write_changed(installation: Installation) -> list[str]:
    """Write the files of all domains whose choices changed, and return the domains' names."""
    with installation.state.read() as tx:
        known = domains.list_domains(tx, PANEL, with_deleted=True)
        chosen = _every_choice(tx)
        written = people.list_notes(tx, f"{PURPOSE}:")
    names = []
    for domain in known:
        fields = chosen.get(domain.id, {})
        note = _note(domain)
        if not fields and note not in written:
            continue
        if written.get(note) != _digest(fields) or not os.path.exists(path_of(installation, domain)):
            _write(installation, domain, fields)
            names.append(domain.name)
    return names


def read_back(installation: Installation, restored: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    """Take the files' choices over into a state that was rebuilt; `restored` are the ids of rebuilt points by domain.

    A domain for which the state has choices keeps those, and of pins those of rebuilt points alone count. Returns the
    domains whose choices came back and the files that were refused: not signed here, or of no domain of the store.
    """
    folder = os.path.join(installation.settings.backup_root, ".metadata")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    taken: list[str] = []
    refused: list[str] = []
    for name in names:
        if not name.endswith(f"_{PURPOSE}.json"):
            continue
        fields = sidecars.unsealed(installation, PURPOSE, _content(os.path.join(folder, name)))
        domain = _domain_of(installation, fields, name)
        if fields is None or domain is None:
            refused.append(os.path.join(".metadata", name))
        elif _take_over(installation, domain, fields, restored.get(domain.id, [])):
            taken.append(domain.name)
    return taken, refused


def path_of(installation: Installation, domain: Domain) -> str:
    """Return the path of a domain's file."""
    return os.path.join(installation.settings.backup_root, ".metadata", f"{domain.store_folder}_{PURPOSE}.json")


def forget(tx: Connection, domain: Domain) -> None:
    """Forget what was chosen for a domain that is gone for good; the caller removes the file."""
    policies.delete_policy(tx, domain.id)
    people.delete_note(tx, _note(domain))


def _every_choice(tx: Connection) -> dict[str, dict[str, object]]:
    """Return what was chosen, by domain id; domains for which nothing was chosen are not there."""
    chosen: dict[str, dict[str, object]] = {}
    for domain_id, policy in policies.list_policies(tx).items():
        if policy != Policy():
            chosen.setdefault(domain_id, {}).update(asdict(policy))
    for domain_id, pinned in points.list_pinned(tx).items():
        chosen.setdefault(domain_id, {})["pins"] = sorted(pinned)
    for domain_id, schedule in schedules.list_pinned(tx).items():
        chosen.setdefault(domain_id, {})["schedule"] = _schedule_fields(schedule)
    return chosen


def _schedule_fields(schedule: Schedule) -> dict[str, object]:
    lines = [f"{line.cron}={line.kind}" if line.kind else line.cron for line in schedule.lines]
    return {"lines": lines, "timezone": schedule.timezone, "strategy": schedule.strategy}


def _write(installation: Installation, domain: Domain, fields: dict[str, object]) -> None:
    named = {"domain": domain.name, "domain_id": domain.id, **fields}
    sidecars.replace(path_of(installation, domain), sidecars.sealed(installation, PURPOSE, named))
    _flush(os.path.dirname(path_of(installation, domain)))
    with installation.state.write() as tx:
        people.set_note(tx, _note(domain), _digest(fields), installation.clock.now())


def _flush(folder: str) -> None:
    """Make the new name durable before the state notes that it is there."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _content(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        return file.read(MOST_BYTES)


def _domain_of(installation: Installation, fields: Mapping[str, object] | None, name: str) -> Domain | None:
    """Return the domain whose file this is; None where the state has no such domain or its file has another name."""
    if fields is None:
        return None
    try:
        with installation.state.read() as tx:
            domain = domains.get_domain(tx, str(fields.get("domain_id")))
    except LookupError:
        return None
    return domain if os.path.basename(path_of(installation, domain)) == name else None


def _take_over(installation: Installation, domain: Domain, fields: Mapping[str, object], rebuilt: list[str]) -> bool:
    """Record the choices of a file; return whether there was anything to take over."""
    pins, schedule = fields.get("pins"), fields.get("schedule")
    own = {name: value for name in Policy.__slots__ if isinstance(value := fields.get(name), dict) and value}
    with installation.state.write() as tx:
        pinned = [point_id for point_id in rebuilt if isinstance(pins, list) and point_id in pins]
        for point_id in pinned:
            points.set_pinned(tx, point_id, True)
        has_own = policies.has_policy(tx, domain.id)
        if own and not has_own:
            policies.save_policy(tx, domain.id, Policy(**own))
        is_scheduled = isinstance(schedule, dict) and schedules.find_schedule(tx, domain.id) is None
        if isinstance(schedule, dict) and is_scheduled:
            is_scheduled = _pin_schedule(installation, tx, domain, schedule)
    return bool(pinned or (own and not has_own) or is_scheduled)


def _pin_schedule(installation: Installation, tx: Connection, domain: Domain, fields: Mapping[str, object]) -> bool:
    lines = fields.get("lines")
    expressions = [str(line) for line in lines] if isinstance(lines, list) else []
    try:
        strategy = Strategy(str(fields.get("strategy", Strategy.FULL)))
        scheduling.set_schedule(installation, tx, domain, expressions, str(fields.get("timezone")), strategy)
    except (
        SmartBackupError,
        ValueError,
    ):  # of a version that knew other expressions or zones: the analysis decides again
        return False
    return True


def _digest(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _note(domain: Domain) -> str:
    return f"{PURPOSE}:{domain.id}"

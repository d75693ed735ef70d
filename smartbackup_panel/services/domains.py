"""Which domains there are: the panel's inventory is the truth, events only say when to look."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import domains, jobs, people, points, schedules
from smartbackup_panel.core.errors import UnknownDomain
from smartbackup_panel.core.model import PANEL, Actor, Domain, DomainState, JobKind, JobState, LogLine, PanelDomain
from smartbackup_panel.core.names import check_domain_name
from smartbackup_panel.core.ports import PanelEvent
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import this_process
from smartbackup_panel.services.lost_points import adopt, holds_points

MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look at the inventory changed: names of domains."""

    created: tuple[str, ...]
    returned: tuple[str, ...]
    missing: tuple[str, ...]
    deleted: tuple[str, ...]
    changed: tuple[str, ...]
    total: int


def find_domain(tx: Connection, actor: Actor, name: str) -> Domain:
    """Return the domain called `name`. Raises BadDomainName, and UnknownDomain for one that is not there or not the actor's."""
    domain = domains.find_live(tx, check_domain_name(name))
    if domain is None or not actor.may_see(domain.owner):
        raise UnknownDomain(f"there is no domain {name}")
    return domain


def domain_by_id(tx: Connection, actor: Actor, domain_id: str) -> Domain:
    """Return the domain of an id. "Not there" and "not yours" are the same UnknownDomain (rule 29)."""
    try:
        domain = domains.get_domain(tx, domain_id)
    except LookupError:
        raise UnknownDomain("there is no such domain") from None
    if not actor.may_see(domain.owner) or (domain.state is DomainState.DELETED and not actor.is_admin):
        raise UnknownDomain("there is no such domain")
    return domain


def note_event(installation: Installation, event: PanelEvent) -> None:
    """Take over what a panel's hook said; whether it is so is then seen in the inventory."""
    now = installation.clock.now()
    with installation.state.write() as tx:
        announced = now if event.type == "domain.deleted" else None
        domains.announce_deletion(tx, installation.panel.id, event.name, announced)


def reconcile(installation: Installation, actor: Actor = PANEL) -> Reconciled:
    """Compare the inventory with the records and bring these up to date. What changed is kept as a job of this kind.

    It is done at once, in no queue: a new domain is known however busy the server is.

    A domain that is gone becomes `deleted` where the panel announced it, else `missing`: its owner can put it back.
    A folder that has another owner than before is another domain; its owner sees nothing of the old one (rule 29).
    One that the state does not know though the store has its points (the state was lost) comes back with them.
    """
    began = installation.clock.now()
    found = {item.uid: item for item in installation.panel.list_domains()}
    with installation.state.read() as tx:
        recorded = {domain.panel_uid for domain in domains.list_domains(tx, PANEL)}
    adopted = adopt(installation, (item for uid, item in found.items() if uid not in recorded))
    lists: dict[str, list[str]] = {name: [] for name in ("created", "returned", "missing", "deleted", "changed")}
    with installation.state.write() as tx:
        known = {domain.panel_uid: domain for domain in domains.list_domains(tx, PANEL)}
        for uid, item in found.items():
            outcome = _take_over(installation, tx, known.get(uid), item)
            if uid in adopted:
                outcome = "returned"
            if outcome:
                lists[outcome].append(item.name)
        for uid, domain in known.items():
            if uid not in found:
                outcome = _miss(installation, tx, domain)
                if outcome:
                    lists[outcome].append(domain.name)
        people.set_note(tx, "reconciled", str(len(found)), installation.clock.now())
        changed = Reconciled(**{name: tuple(names) for name, names in lists.items()}, total=len(found))
        if any(lists.values()):
            _record(installation, tx, changed, actor, began)
    return changed


def _record(installation: Installation, tx: Connection, changed: Reconciled, actor: Actor, began: datetime) -> None:
    """Keep what a look changed where all that happened is looked up: as a job that is done."""
    now = installation.clock.now()
    job, _ = jobs.submit(tx, JobKind.RECONCILE, None, actor, {}, f"reconcile:{secrets.token_hex(16)}", began)
    jobs.start(tx, job.id, this_process(), began)
    jobs.add_log(tx, job.id, [LogLine(now, "info", text) for text in _sentences(changed)])
    jobs.finish(tx, job.id, JobState.DONE, now, asdict(changed), None)


def _sentences(changed: Reconciled) -> Iterator[str]:
    for names, said in (
        (changed.created, "new"),
        (changed.returned, "back again"),
        (changed.missing, "not in the inventory any more, the points are kept"),
        (changed.deleted, "deleted by the panel, the points are kept for the days of grace"),
        (changed.changed, "with another owner, folder, log or state"),
    ):
        more = len(names) - MOST_NAMES
        if names:
            yield f"{said}: {', '.join(names[:MOST_NAMES])}" + (f" and {more} more" if more > 0 else "")


def _take_over(installation: Installation, tx: Connection, domain: Domain | None, item: PanelDomain) -> str | None:
    now = installation.clock.now()
    if domain is not None and domain.owner_uid != item.owner_uid and _is_somebody_elses(tx, domain):
        _end(tx, domain, installation)
        domain = None
    if domain is None:
        taken = holds_points(installation, item.name)
        domains.insert_domain(tx, installation.panel.id, item, now, folder_is_taken=taken)
        return "created"
    state = DomainState.SUSPENDED if item.suspended else DomainState.ACTIVE
    differs = _facts(domain) != (item.name, item.owner, item.owner_uid, item.owner_gid, item.root, item.access_log)
    if differs:
        domains.update_from_panel(tx, domain.id, item)
    if domain.state is state:
        return "changed" if differs else None
    domains.set_state(tx, domain.id, state, now)
    return "returned" if domain.state is DomainState.MISSING else "changed"


def _is_somebody_elses(tx: Connection, domain: Domain) -> bool:
    """Return whether a domain that has another owner now is another domain (rule 29).

    One that was missing always is. One that is there is as soon as it has a point that the new owner must not see;
    before that, a panel that makes a folder first and gives it away then is at work.
    """
    return domain.state is DomainState.MISSING or bool(points.list_points(tx, domain.id, 1))


def _miss(installation: Installation, tx: Connection, domain: Domain) -> str | None:
    if domains.deletion_announced(tx, domain.id):
        _end(tx, domain, installation)
        return "deleted"
    if domain.state is DomainState.MISSING:
        return None
    domains.set_state(tx, domain.id, DomainState.MISSING, installation.clock.now())
    return "missing"


def _end(tx: Connection, domain: Domain, installation: Installation) -> None:
    """Make a tombstone: no schedule any more, all points kept for the grace period."""
    domains.set_state(tx, domain.id, DomainState.DELETED, installation.clock.now())
    schedules.delete_schedule(tx, domain.id)


def _facts(domain: Domain) -> tuple[object, ...]:
    return (domain.name, domain.owner, domain.owner_uid, domain.owner_gid, domain.root, domain.access_log)

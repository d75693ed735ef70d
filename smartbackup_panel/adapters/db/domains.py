"""Records of domains."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from smartbackup_panel.adapters.db.tables import domains
from smartbackup_panel.core.model import Actor, Domain, DomainState, PanelDomain


def insert_domain(
    tx: Connection, panel: str, found: PanelDomain, now: datetime, *, folder_is_taken: bool = False
) -> Domain:
    """Record a domain that was not there before; its store folder is its name, or name and id where that folder is another domain's.

    `folder_is_taken`: by a domain that the state does not know.
    """
    new_id = secrets.token_hex(16)
    taken = (
        folder_is_taken
        or tx.execute(select(domains.c.id).where(domains.c.store_folder == found.name)).first() is not None
    )
    tx.execute(
        insert(domains).values(
            id=new_id,
            panel=panel,
            panel_uid=found.uid,
            name=found.name,
            display_name=found.display_name,
            owner=found.owner,
            owner_uid=found.owner_uid,
            owner_gid=found.owner_gid,
            root=found.root,
            state=DomainState.SUSPENDED if found.suspended else DomainState.ACTIVE,
            store_folder=f"{found.name}~{new_id[:8]}" if taken else found.name,
            access_log=found.access_log,
            nested_roots=list(found.nested_roots),
            created_at=now,
            state_changed_at=now,
        )
    )
    return get_domain(tx, new_id)


def insert_known(tx: Connection, domain: Domain) -> None:
    """Record a domain under the id that it had, from what its archives say (rebuilding a lost state)."""
    fields = {name: getattr(domain, name) for name in Domain.__slots__}
    fields |= {"nested_roots": list(domain.nested_roots), "state_changed_at": domain.created_at}
    tx.execute(insert(domains).values(**fields))


def update_from_panel(tx: Connection, domain_id: str, found: PanelDomain) -> None:
    """Take over what the panel says of a domain that is known already."""
    tx.execute(
        update(domains)
        .where(domains.c.id == domain_id)
        .values(
            name=found.name,
            display_name=found.display_name,
            owner=found.owner,
            owner_uid=found.owner_uid,
            owner_gid=found.owner_gid,
            root=found.root,
            access_log=found.access_log,
            nested_roots=list(found.nested_roots),
        )
    )


def set_state(tx: Connection, domain_id: str, state: DomainState, now: datetime) -> None:
    values: dict[str, object] = {"state": state, "state_changed_at": now}
    values["deleted_at"] = now if state is DomainState.DELETED else None
    if state is not DomainState.ACTIVE:
        values["delete_announced_at"] = None
    tx.execute(update(domains).where(domains.c.id == domain_id).values(**values))


def announce_deletion(tx: Connection, panel: str, name: str, now: datetime | None) -> None:
    """Note (or with None forget) that the panel said `name` is being deleted; the inventory decides when it is."""
    live = (domains.c.panel == panel, domains.c.name == name, domains.c.state != DomainState.DELETED)
    tx.execute(update(domains).where(*live).values(delete_announced_at=now))


def deletion_announced(tx: Connection, domain_id: str) -> bool:
    return tx.execute(select(domains.c.delete_announced_at).where(domains.c.id == domain_id)).scalar() is not None


def set_application(tx: Connection, domain_id: str, application: str, document_root: str) -> None:
    tx.execute(
        update(domains).where(domains.c.id == domain_id).values(application=application, document_root=document_root)
    )


def get_domain(tx: Connection, domain_id: str) -> Domain:
    """Return a domain by id; raises LookupError, which callers turn into UnknownDomain for their actor."""
    row = tx.execute(select(domains).where(domains.c.id == domain_id)).first()
    if row is None:
        raise LookupError(domain_id)
    return _domain(row)


def find_by_uid(tx: Connection, panel: str, panel_uid: str) -> Domain | None:
    """Return the domain of a panel's id that is not deleted."""
    live = (domains.c.panel == panel, domains.c.panel_uid == panel_uid, domains.c.state != DomainState.DELETED)
    row = tx.execute(select(domains).where(*live)).first()
    return None if row is None else _domain(row)


def find_live(tx: Connection, name: str) -> Domain | None:
    """Return the domain of this name that is not deleted, else the one deleted last, else None."""
    query = (
        select(domains)
        .where(domains.c.name == name)
        .order_by((domains.c.state == DomainState.DELETED).asc(), domains.c.state_changed_at.desc())
        .limit(1)
    )
    row = tx.execute(query).first()
    return None if row is None else _domain(row)


def list_domains(tx: Connection, actor: Actor, *, with_deleted: bool = False, search: str = "") -> list[Domain]:
    """Return the domains that `actor` may see, by name."""
    query = select(domains).order_by(domains.c.name, domains.c.created_at)
    if not with_deleted:
        query = query.where(domains.c.state != DomainState.DELETED)
    if not actor.is_admin:
        query = query.where(domains.c.owner == (actor.owner or ""))
    if search:
        pattern = f"%{search.lower().replace('%', '')}%"
        query = query.where(
            or_(func.lower(domains.c.name).like(pattern), func.lower(domains.c.display_name).like(pattern))
        )
    return [_domain(row) for row in tx.execute(query)]


def _domain(row: Row[tuple[object, ...]]) -> Domain:
    return Domain(
        id=row.id,
        panel=row.panel,
        panel_uid=row.panel_uid,
        name=row.name,
        display_name=row.display_name,
        owner=row.owner,
        owner_uid=row.owner_uid,
        owner_gid=row.owner_gid,
        root=row.root,
        state=DomainState(row.state),
        store_folder=row.store_folder,
        access_log=row.access_log,
        nested_roots=tuple(row.nested_roots),
        document_root=row.document_root,
        application=row.application,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )

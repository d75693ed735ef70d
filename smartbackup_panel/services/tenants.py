"""Starting the process that works as a domain's tenant: nothing of the worker touches the tenant's files itself."""

from __future__ import annotations

import os
import pwd

from smartbackup_panel.core.databases import DatabaseServer
from smartbackup_panel.core.errors import MissingDocumentRoot
from smartbackup_panel.core.model import Domain
from smartbackup_panel.core.tree import AgentPurpose, Tenant
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.children import keep_agent_ready
from smartbackup_panel.services.installation import Installation

__all__ = ["database_server", "keep_agent_ready", "start_agent", "tenant_of"]


def start_agent(
    installation: Installation, domain: Domain, purpose: AgentPurpose = AgentPurpose.READ, root: str | None = None
) -> Agent:
    """Return a running agent for the domain's folder (or a staged tree, `root`), as the tenant of today."""
    if not os.path.isdir(os.path.dirname(domain.root)):
        raise MissingDocumentRoot(
            f"the folder above {domain.root} is not there", hint="Check that the disk is mounted."
        )
    tenant = tenant_of(installation, domain)
    return Agent.start(root or domain.root, tenant, purpose=purpose, spool_folder=installation.spool_folder())


def tenant_of(installation: Installation, domain: Domain) -> Tenant:
    """Return the user that a domain's agent becomes, with the web users whose files belong to the site (rule 3)."""
    web_users = [user for name in installation.settings.web_users if (user := _user(name)) is not None]
    return Tenant(
        domain.owner_uid,
        domain.owner_gid,
        _groups(domain.owner_uid, domain.owner_gid),
        tuple(user.pw_uid for user in web_users),
        tuple(user.pw_gid for user in web_users),
    )


def database_server(installation: Installation, domain: Domain, kind: str) -> DatabaseServer:
    """Return what speaks to this domain's databases of a kind; its programs run as the tenant."""
    return installation.database_servers[kind](tenant_of(installation, domain))


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _groups(uid: int, gid: int) -> tuple[int, ...]:
    """Return the supplementary groups of a user; root's own are not handed on."""
    if uid == 0:
        return ()
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return ()

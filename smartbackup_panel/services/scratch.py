"""A folder of a domain's tenant that no path leads to: agents unpack into it through a descriptor that they are given.

It lies in a folder of the store that nobody but the worker may pass through, so that not even the tenant's own programs reach
what is unpacked while it is looked at. What is in it is the tenant's: an agent that became its owner empties it (rule 1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from smartbackup_panel.core.model import Domain
from smartbackup_panel.core.tree import AgentPurpose, Tenant
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.fsafe import closing
from smartbackup_panel.services.installation import Installation

FOLDER = ".import"


@contextmanager
def scratch_folder(installation: Installation, domain: Domain) -> Iterator[int]:
    """Give a descriptor of a new empty folder of the tenant's; it is removed at the end. The domain's lock must be held."""
    clear(installation, domain)
    above = os.path.join(installation.settings.backup_root, FOLDER)
    os.makedirs(above, mode=0o700, exist_ok=True)
    with closing(_open(above)) as above_fd:
        os.fchmod(above_fd, 0o700)
        os.mkdir(domain.id, 0o700, dir_fd=above_fd)
        try:
            with closing(_open(domain.id, above_fd)) as fd:
                if os.geteuid() == 0:
                    os.fchown(fd, domain.owner_uid, domain.owner_gid)
                yield fd
        finally:
            clear(installation, domain)


def clear(installation: Installation, domain: Domain) -> None:
    """Remove what an import that died left behind. Raises RestoreFailed."""
    above = os.path.join(installation.settings.backup_root, FOLDER)
    try:
        above_fd = _open(above)
    except FileNotFoundError:
        return
    with closing(above_fd):
        try:
            fd = _open(domain.id, above_fd)
        except FileNotFoundError:
            return
        with closing(fd):
            empty(installation, domain, fd)
        os.rmdir(domain.id, dir_fd=above_fd)


def empty(installation: Installation, domain: Domain, folder_fd: int) -> None:
    """Remove everything in a scratch folder, as the user that it belongs to. Raises RestoreFailed."""
    if not os.listdir(folder_fd):
        return
    owner = os.fstat(folder_fd)
    tenant = Tenant(owner.st_uid, owner.st_gid)
    purpose = AgentPurpose.RESTORE if owner.st_uid == 0 else AgentPurpose.READ
    with Agent.start(domain.root, tenant, purpose=purpose, spool_folder=installation.spool_folder()) as agent:
        agent.empty(folder_fd)


def _open(path: str, dir_fd: int | None = None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)

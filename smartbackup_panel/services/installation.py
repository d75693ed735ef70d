"""One installation: the settings and the outside parts that every use case needs, wired once in bootstrap."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from smartbackup_panel.adapters.db.state import State
from smartbackup_panel.core.databases import DatabaseServer, DumpRun
from smartbackup_panel.core.model import Domain
from smartbackup_panel.core.ports import Clock, PanelAdapter
from smartbackup_panel.core.surroundings import Surroundings
from smartbackup_panel.core.tree import Tenant
from smartbackup_panel.settings import Settings


@dataclass(frozen=True, slots=True)
class Installation:
    """`database_servers` gives by kind what speaks to a tenant's databases, as the tenant.

    `read_signing_key` is called by the worker and the command line alone: pages never see the key (SECURITY rule 27).
    `read_foreign_dump` gives a dump of mysqldump, called by a name in errors, as a dump of ours. Raises LoadFailed.
    """

    settings: Settings
    state: State
    panel: PanelAdapter
    clock: Clock
    database_servers: Mapping[str, Callable[[Tenant], DatabaseServer]]
    read_signing_key: Callable[[], bytes]
    surroundings: Surroundings
    read_foreign_dump: Callable[[str, Iterable[bytes]], DumpRun]

    @property
    def signing_key(self) -> bytes:
        """The key that signs archives and sidecars."""
        return self.read_signing_key()

    def store_folder(self, domain: Domain) -> str:
        """Return the folder of a domain's archives: computed from our own record, never from a request (rule 11)."""
        return os.path.join(self.settings.backup_root, domain.store_folder)

    def domain_lock(self, domain_id: str) -> str:
        """Return the path of the lock that one job of a domain holds."""
        return os.path.join(self.settings.state_dir, "locks", domain_id)

    def catalog_file(self, domain_id: str) -> str:
        """Return the path of a domain's catalog."""
        return os.path.join(self.settings.state_dir, "catalog", f"{domain_id}.sqlite")

    def spool_folder(self) -> str:
        """Return the folder of the worker's own temporary files."""
        folder = os.path.join(self.settings.state_dir, "tmp")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return folder

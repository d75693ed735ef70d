"""The plain directory panel: every folder of the domains root whose name is a domain is one. Its owner is the folder's."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator

from smartbackup_panel.core.errors import MissingDocumentRoot
from smartbackup_panel.core.model import Actor, PanelDomain
from smartbackup_panel.core.names import from_display_name, is_domain_name
from smartbackup_panel.core.ports import PanelEvent

# What web servers' packages put beside the sites.
NO_DOMAINS = frozenset({"html", "cgi-bin", "default"})
EVENTS = ("domain.created", "domain.deleted")


class DirectoryPanel:
    """`domains_root` belongs to the admin; the folders in it to the tenants, and only their names and owners are looked at."""

    id = "directory"

    def __init__(self, domains_root: str, access_log: str) -> None:
        self.domains_root = domains_root
        self.access_log = access_log

    def list_domains(self) -> Iterator[PanelDomain]:
        """Yield the domains. Raises MissingDocumentRoot when the domains root itself is not there: then nothing is known."""
        try:
            with os.scandir(self.domains_root) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as wrong:
            raise MissingDocumentRoot(
                f"the domains root {self.domains_root} cannot be read: {wrong.strerror}",
                hint="Check SMARTBACKUP_DOMAINS_ROOT and that the disk is mounted; nothing was changed.",
            ) from wrong
        for name in names:
            if (found := self._domain(name)) is not None:
                yield found

    def _domain(self, folder: str) -> PanelDomain | None:
        name = None if folder.startswith(".") or folder in NO_DOMAINS else from_display_name(folder)
        if name is None or (name != folder and os.path.isdir(os.path.join(self.domains_root, name))):
            return None
        root = os.path.join(self.domains_root, folder)
        try:
            status = os.lstat(root)
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(status.st_mode):
            return None
        return PanelDomain(
            uid=name,
            name=name,
            display_name=folder,
            owner=_login(status.st_uid),
            owner_uid=status.st_uid,
            owner_gid=status.st_gid,
            root=root,
            access_log=self.access_log.replace("{domain}", folder) or None,
        )

    def list_databases(self, panel_uid: str) -> None:
        """Return None: a folder says nothing of databases, so a domain's are those that its own logins open."""

    def parse_event(self, content: dict[str, object]) -> list[PanelEvent]:
        """Return the event of a hook's file, [] where its type or name is none of ours."""
        kind, name = content.get("event"), content.get("name")
        if kind not in EVENTS or not isinstance(name, str) or not is_domain_name(name):
            return []
        return [PanelEvent(str(kind), name)]

    def owns(self, actor: Actor, panel_uid: str) -> bool:
        """Return whether the folder belongs, now, to the customer's system user; admins own all."""
        if actor.is_admin:
            return True
        found = self._domain(panel_uid)
        return found is not None and actor.may_see(found.owner)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

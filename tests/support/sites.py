"""Sites on disk for tests: made from literals, owned by the tenants of the tests, compared down to the nanosecond."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.trees import Entry, differences, tree_of

__all__ = ["ALICE", "BOB", "Entry", "Site", "Tenant", "add_site", "differences", "tree_of"]


@dataclass(frozen=True)
class Tenant:
    """A customer of the tests' host. Only root can give files away: elsewhere everything is the user's own."""

    login: str
    uid: int
    gid: int


_AS_ROOT = os.geteuid() == 0
ALICE = Tenant("alice", 20001, 20001) if _AS_ROOT else Tenant("alice", os.getuid(), os.getgid())
BOB = Tenant("bob", 20002, 20002) if _AS_ROOT else Tenant("bob", os.getuid(), os.getgid())


@dataclass(frozen=True)
class Site:
    """A domain's folder and whose it is."""

    domain: str
    root: Path
    tenant: Tenant | None

    def write(self, path: str, content: bytes | str, *, mode: int = 0o644) -> Path:
        """Write a file below the root, folders included, as the tenant's; return its path."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        self.own()
        return file

    def own(self) -> None:
        """Give everything below the root to the tenant."""
        if self.tenant is None or not _AS_ROOT:
            return
        for folder, folders, files in os.walk(self.root):
            for name in [".", *folders, *files]:
                os.lchown(os.path.join(folder, name), self.tenant.uid, self.tenant.gid)

    def tree(self, *, owners: bool = False) -> dict[bytes, Entry]:
        """Return what the site holds now."""
        return tree_of(self.root, owners=owners)


def add_site(
    domains_root: Path, domain: str, files: Mapping[str, bytes | str], *, tenant: Tenant | None = ALICE
) -> Site:
    """Make a domain's folder with `files` (path → content) and return it; without a tenant it is the user's own."""
    root = domains_root / domain
    root.mkdir(mode=0o755)
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    site = Site(domain, root, tenant)
    site.own()
    return site

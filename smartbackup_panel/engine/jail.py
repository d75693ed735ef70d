"""Becoming the tenant: what an agent gives up before it touches anything of a tenant."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from smartbackup_panel.core.errors import AgentFailed
from smartbackup_panel.core.tree import AgentPurpose, Tenant
from smartbackup_panel.engine import syscalls

_CHOWN, _DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _FSETID = 0, 1, 2, 3, 4
_KEPT_BY_ROOT = {
    AgentPurpose.READ: frozenset({_DAC_READ_SEARCH}),
    AgentPurpose.RESTORE: frozenset({_CHOWN, _DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _FSETID}),
}
_KEPT_BY_STEWARD = frozenset({_CHOWN, _DAC_READ_SEARCH})
_OPEN_FILES = 16_384
_DATA_BYTES = 2 * 1024**3


class NoLateImports(MetaPathFinder):
    """Refuses to import: after the switch the tenant may not even be able to read the program's files."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Raise ImportError, whatever is asked for."""
        raise ImportError(f"{name} would be imported after the process became the tenant")


def enter(tenant: Tenant | None, purpose: AgentPurpose, parent_pid: int) -> None:
    """Become the tenant when root runs this, and give up all that the purpose does not need. Raises AgentFailed."""
    os.umask(0o077)
    _set_limits()
    if os.geteuid() == 0 and tenant is not None:
        _become(tenant)
    if os.geteuid() == 0:
        syscalls.bound_capabilities(_KEPT_BY_ROOT[purpose])
        syscalls.keep_capabilities(_KEPT_BY_ROOT[purpose])
    _shut_in(parent_pid)


def enter_as_steward(tenant: Tenant, parent_pid: int) -> None:
    """Become the tenant, who may change owners and look into every folder, and nothing else. Raises AgentFailed."""
    os.umask(0o077)
    _set_limits()
    syscalls.bound_capabilities(_KEPT_BY_STEWARD)
    syscalls.keep_capabilities_as_another_user()
    _become(tenant)
    syscalls.keep_capabilities(_KEPT_BY_STEWARD)
    _shut_in(parent_pid)


def _become(tenant: Tenant) -> None:
    os.setgroups(list(tenant.groups))
    os.setresgid(tenant.gid, tenant.gid, tenant.gid)
    os.setresuid(tenant.uid, tenant.uid, tenant.uid)
    if tenant.uid != 0 and (os.getresuid() != (tenant.uid,) * 3 or os.getresgid() != (tenant.gid,) * 3):
        raise AgentFailed("the agent could not become the tenant")


def _shut_in(parent_pid: int) -> None:
    syscalls.forbid_new_privileges()
    syscalls.forbid_tracing()
    syscalls.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise AgentFailed("the worker ended while the agent started")
    sys.meta_path.insert(0, NoLateImports())


def _set_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if os.geteuid() == 0 or hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES, _DATA_BYTES))

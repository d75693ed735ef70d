"""The admin's logins of database servers: from a file that nobody else may read, or from an inherited descriptor."""

from __future__ import annotations

import os
import stat

from smartbackup_panel.core.database_hosts import AdminLogin, parse_admin_logins
from smartbackup_panel.core.errors import BadSetting

_LIMIT_BYTES = 64 * 1024
_DESCRIPTOR = "fd:"


def read_admin_logins(source: str) -> tuple[AdminLogin, ...]:
    """Return the logins of `source`: a path, `fd:N`, or empty for none. BadSetting says what is wrong with it."""
    if not source:
        return ()
    fd = _inherited(source) if source.startswith(_DESCRIPTOR) else _opened(source)
    with os.fdopen(fd, "rb") as file:
        content = file.read(_LIMIT_BYTES + 1)
    try:
        return parse_admin_logins(content.decode())
    except UnicodeDecodeError:
        raise BadSetting(f"The admin logins of {source} are no UTF-8 text.") from None


def _inherited(source: str) -> int:
    """Return a descriptor that starts at the beginning of the file, whoever read from the inherited one before."""
    try:
        return os.open(f"/proc/self/fd/{int(source.removeprefix(_DESCRIPTOR))}", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise BadSetting(f"The descriptor {source} of the admin logins is not open in this process.") from None


def _opened(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as wrong:
        raise BadSetting(f"The admin logins in {path} cannot be read: {wrong.strerror}.") from None
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_mode & 0o077 or facts.st_uid not in (0, os.geteuid()):
        os.close(fd)
        raise BadSetting(
            f"Others may read or change the admin logins in {path}.",
            hint=f"chown root:root {path}; chmod 600 {path}",
        )
    return fd

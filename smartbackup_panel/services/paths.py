"""Paths inside a domain's folder, as people and requests name them."""

from __future__ import annotations

from smartbackup_panel.core.errors import UnsafePath
from smartbackup_panel.core.quoting import quoted
from smartbackup_panel.engine.fsafe import is_safe_path


def checked_path(path: bytes) -> bytes:
    """Return the path; raises UnsafePath for one that could lead out of a domain's folder."""
    if not is_safe_path(path):
        raise UnsafePath(f"{quoted(path)} is no path inside the domain's folder")
    return path

"""Alice owns the site, Bob is another customer, and the web user writes uploads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from smartbackup_panel.core.tree import Tenant

ALICE, BOB, WEB = 20001, 20002, 20033
AS_ALICE = Tenant(ALICE, ALICE, (), (WEB,), (WEB,))


def give(path: Path, uid: int) -> Path:
    """Make a user the owner of a path."""
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def as_user(uid: int, code: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Run Python code as a user."""
    return subprocess.Popen(
        [sys.executable, "-I", "-c", f"import os, sys\nos.setgid({uid}); os.setuid({uid})\n{code}", *arguments]
    )

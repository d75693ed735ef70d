"""An agent for a job that is about to run in this process, begun while Python still imports what the job needs."""

from __future__ import annotations

import os

from smartbackup_panel.adapters.locks import is_locked
from smartbackup_panel.engine.children import begin_agent
from smartbackup_panel.settings import Settings


def begin_early(settings: Settings) -> None:
    """Begin one agent, unless a worker runs, which has its own. Nothing is made in the state folder."""
    if not (os.path.exists(settings.worker_lock) and is_locked(settings.worker_lock)):
        begin_agent()

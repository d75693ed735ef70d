"""The catalog made again from the store, after the state was lost (SECURITY rule 22)."""

from __future__ import annotations

import os

from smartbackup_panel.services import choices
from smartbackup_panel.services.domains import reconcile
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.lost_points import Found, record_lost


def rebuild(installation: Installation) -> dict[str, object]:
    """Record every point of the store that the state does not know, and say which files were refused.

    What was chosen for the domains (pins, rules, exclusions, schedules) comes back with them.
    """
    found = Found()
    for folder in _folders(installation.settings.backup_root):
        record_lost(installation, folder, found)
    chosen, bad = choices.read_back(installation, found.points)
    reconcile(installation)
    return {
        "points": [point_id for recorded in found.points.values() for point_id in recorded],
        "choices": chosen,
        "refused": found.refused + bad,
    }


def _folders(backup_root: str) -> list[str]:
    """Return the folders of the store; links are not followed."""
    try:
        with os.scandir(backup_root) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []

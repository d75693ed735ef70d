"""Which application a domain runs and which database logins its configuration names; parsed, never run."""

from smartbackup_panel.engine.applications.find import find_application
from smartbackup_panel.engine.applications.reader import Reader

__all__ = ["Reader", "find_application"]

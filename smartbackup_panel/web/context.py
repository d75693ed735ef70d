"""What every template of the blueprint can use: `sb` (words, figures, times) and the addresses of static files."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import current_app, g, url_for

from smartbackup_panel.web import guard
from smartbackup_panel.web.mount import mount
from smartbackup_panel.web.words import Words

STATIC = Path(__file__).parent / "static"


def template_context() -> dict[str, object]:
    """Return the names that templates get; a view that passes its own `sb` wins."""
    return {"sb": words(), "sb_static": static_address}


def words(zone: str | None = None) -> Words:
    """Return what templates speak through, with times in `zone` (the settings' where none is given)."""
    here = mount()
    return Words(
        zone=ZoneInfo(zone or here.settings.timezone),
        now=datetime.now(UTC),
        actor=g.get("smartbackup_actor"),
        csrf_field=guard.token_field(),
        csrf_token=guard.form_token,
        base_template=here.base_template,
        is_embedded=here.is_embedded,
        live=here.live,
        has_accounts="smartbackup_accounts" in current_app.blueprints,
    )


def static_address(name: str) -> str:
    """Return the address of a static file, with its content's digest so that browsers keep it until it changes."""
    return url_for("smartbackup.static", filename=name, v=_digest(name))


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]

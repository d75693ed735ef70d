"""The spool of events that panels' hooks write: one small file each, taken over by the worker and removed."""

from __future__ import annotations

import json
import logging
import os
import stat

from smartbackup_panel.core.ports import PanelEvent
from smartbackup_panel.services import domains
from smartbackup_panel.services.installation import Installation

LARGEST_EVENT_BYTES = 16 * 1024
log = logging.getLogger(__name__)


def take_events(installation: Installation) -> list[PanelEvent]:
    """Take over and remove the events that wait, oldest first; files that are no events are removed with a log line."""
    spool = installation.settings.spool_dir
    try:
        names = sorted(name for name in os.listdir(spool) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    taken: list[PanelEvent] = []
    for name in names:
        path = os.path.join(spool, name)
        content = _read(path)
        events = [] if content is None else installation.panel.parse_event(content)
        if not events:
            log.warning("event refused", extra={"event_file": name})
        for event in events:
            domains.note_event(installation, event)
        taken.extend(events)
        os.unlink(path)
    return taken


def write_event(installation: Installation, event_type: str, name: str) -> None:
    """Write an event as a hook would (the command line's `hook`); the worker takes it over."""
    spool = installation.settings.spool_dir
    os.makedirs(spool, mode=0o700, exist_ok=True)
    now = installation.clock.now()
    final = os.path.join(spool, f"{now:%Y%m%dT%H%M%S%f}-{os.getpid()}.json")
    content = {"v": 1, "panel": installation.panel.id, "event": event_type, "name": name, "ts": int(now.timestamp())}
    with open(final + ".tmp", "x", encoding="utf-8") as file:
        json.dump(content, file)
    os.rename(final + ".tmp", final)


def _read(path: str) -> dict[str, object] | None:
    """Return the content of an event file, None for one that is a link, too large or no JSON object."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        payload = os.read(fd, LARGEST_EVENT_BYTES + 1)
    finally:
        os.close(fd)
    if len(payload) > LARGEST_EVENT_BYTES:
        return None
    try:
        content = json.loads(payload)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None

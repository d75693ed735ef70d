"""What lies beside the archives is kept true: a `.meta` that is gone, has changed or says another state is written anew."""

from __future__ import annotations

import os
from contextlib import suppress

from smartbackup_panel.adapters.db import points, schedules
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.services import sidecars
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext
from smartbackup_panel.services.store import META


def mend_sidecars(context: JobContext, domain: Domain) -> list[str]:
    """Compare every point's `.meta` with the records, write those anew that differ, and return their names.

    Where the state is lost later, a rebuild reads them: what is known to be damaged has to be known then too.
    """
    installation = context.installation
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
        schedule = schedules.find_schedule(tx, domain.id)
    by_id = {point.id: point for point in every}
    folder = os.path.join(installation.settings.backup_root, domain.store_folder)
    mended: list[str] = []
    for point in every:
        named_after = _named_after(point)
        if named_after is None or not os.path.isfile(os.path.join(folder, named_after)):
            continue
        name = named_after + META
        found = _read(installation, os.path.join(folder, name))
        if found is None or _says(found) != (point.state.value, point.id):
            content = sidecars.meta_content(installation, domain, point, by_id.get(point.parent_id or ""))
            sidecars.replace(os.path.join(folder, name), content)
            mended.append(name)
            if found is None:
                context.say(f"{name} was gone or had changed; it was written anew", "warning")
    if mended:
        sidecars.write_lists(installation, domain, every, schedule)
    return mended


def _named_after(point: Point) -> str | None:
    """Return the file that a point's `.meta` is named after: its archive, else the first dump of its own."""
    own = (dump.archive for dump in point.databases if not dump.is_earlier)
    return point.archive or next(own, None)


def _read(installation: Installation, path: str) -> dict[str, object] | None:
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return sidecars.read_meta(installation, file.read())
    return None


def _says(fields: dict[str, object]) -> tuple[object, object]:
    row = fields.get("point")
    return (row.get("state"), row.get("id")) if isinstance(row, dict) else (None, None)

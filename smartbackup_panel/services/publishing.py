"""The last step of every new point: its files get their names and it is recorded, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import points, schedules
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.services import sidecars, store
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext


def publish(
    installation: Installation,
    domain: Domain,
    folder_fd: int,
    point: Point,
    parent: Point | None,
    sinks: Sequence[ArchiveSink],
    *,
    changed: Sequence[bytes] = (),
    record_with: Callable[[Connection], None] | None = None,
) -> None:
    """Give finished files (dumps, then the archive) their names and record the point; a crash before that leaves nothing.

    `changed` are the paths that an increment holds; `record_with` records more in the same transaction (SECURITY rule 16).
    """
    put_in_place(installation, domain, folder_fd, point, parent, sinks, changed)
    with installation.state.write() as tx:
        points.insert_point(tx, point)
        store.forget_names(tx, domain)
        if record_with is not None:
            record_with(tx)


def put_in_place(
    installation: Installation,
    domain: Domain,
    folder_fd: int,
    point: Point,
    parent: Point | None,
    sinks: Sequence[ArchiveSink],
    changed: Sequence[bytes] = (),
) -> None:
    """Give a point's finished files and its `.meta` their names, which are noted before: unrecorded, they go again."""
    names = store.point_names(point.archive, [sink.name for sink in sinks if sink.name != point.archive])
    store.note_names(installation, domain, names)
    if names:
        sidecars.write_changed_list(installation, domain, point, parent, changed)
        store.write_meta(folder_fd, names[-1], sidecars.meta_content(installation, domain, point, parent))
    for sink in sinks:
        sink.publish()


def renew_lists(context: JobContext, domain: Domain) -> None:
    """Renew the lists of all points. The point is recorded: where they cannot be written, the next one renews them."""
    with context.installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
        schedule = schedules.find_schedule(tx, domain.id)
    if not every:
        return
    try:
        sidecars.write_lists(context.installation, domain, every, schedule)
    except OSError as error:
        context.say(f"the lists beside the archives could not be renewed: {error.strerror}", "warning")

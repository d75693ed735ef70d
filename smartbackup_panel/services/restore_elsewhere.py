"""A restore into another folder: the site and its databases are not touched."""

from __future__ import annotations

import os
import time

from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.model import Domain, Point
from smartbackup_panel.core.tree import AgentPurpose
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.restore_plan import Choice
from smartbackup_panel.services.tenants import start_agent

DUMPS_FOLDER = ".smartbackup-databases"


def restore_into(context: JobContext, domain: Domain, point: Point, choice: Choice, folder: str) -> Outcome:
    """Restore into another folder: no database is touched, the dumps are put beside the files."""
    if not os.path.isabs(folder):
        raise RestoreFailed(
            f"{folder} is not an absolute path", hint="Name the folder from the root on, for example /tmp/site."
        )
    installation, started = context.installation, time.monotonic()
    restored, dumps, warnings = 0, list[str](), list[str]()
    with (
        store.open_store(installation, domain) as folder_fd,
        start_agent(installation, domain, AgentPurpose.RESTORE) as agent,
    ):
        if choice.files and point.archive is not None:
            with store.open_point(installation, folder_fd, point.archive) as archive:
                agent.verify(archive, whole_chain=True, on_progress=on_step(context, "verifying", agent))
                staged = agent.write_into(
                    archive, folder, choice.options(installation, domain), on_step(context, "staging", agent)
                )
            restored, warnings = staged.restored_files, list(staged.warnings)
        if choice.databases and point.databases:
            dumps = _copy_dumps(point, folder_fd, folder)
    result: dict[str, object] = {
        "domain": domain.name,
        "point": point.id,
        "to": folder,
        "restored_files": restored,
        "removed_files": 0,
        "databases": dumps,
        "undo_until": None,
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 3),
    }
    return Outcome(result)


def _copy_dumps(point: Point, store_fd: int, folder: str) -> list[str]:
    """Copy the dumps, as they lie in the store, into a folder of their own below `folder`; return their paths."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.mkdir(DUMPS_FOLDER, 0o700, dir_fd=folder_fd)
        dumps_fd = os.open(DUMPS_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    try:
        for dump in point.databases:
            _copy(store_fd, dumps_fd, dump.archive)
    finally:
        os.close(dumps_fd)
    return [os.path.join(folder, DUMPS_FOLDER, dump.archive) for dump in point.databases]


def _copy(from_fd: int, to_fd: int, name: str) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=from_fd)
    try:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=to_fd)
        try:
            while os.sendfile(target, source, None, 1 << 24):
                pass
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)

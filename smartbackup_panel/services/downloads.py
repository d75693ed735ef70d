"""Downloads: the worker writes what was asked for into a folder of its own, and whoever asked takes it from there once.

Pages never see the store (SECURITY rule 27). A download is bound to its job, its actor and ten minutes; its file's name
is computed from the job's record (rules 11 and 32).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from smartbackup_panel.adapters.db import people, points
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import (
    ArchiveDamaged,
    ArchiveMissing,
    ArchiveRefused,
    DownloadGone,
    NoSpace,
    UnknownJob,
    UnknownPath,
    UnknownPoint,
)
from smartbackup_panel.core.model import Actor, Domain, Job, JobKind, JobState, Point
from smartbackup_panel.core.tree import DiffLine, ExportFormat, ExportSummary, TextDiff, TextDiffState
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import data_size
from smartbackup_panel.engine.text_diff import MAX_DIFF_BYTES
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import OnStep, on_step
from smartbackup_panel.services.contents import open_archives
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.pages import Taken
from smartbackup_panel.services.queries import Queries
from smartbackup_panel.services.requests import job_of
from smartbackup_panel.services.tenants import start_agent

KEPT_FOR = timedelta(minutes=10)
NAMED_LOST = 200
MOST_OF_A_DOMAIN = 3
DIFF = "diff"


@dataclass(frozen=True, slots=True)
class Downloads:
    """What pages may do with a finished download. Raises UnknownJob alike for "not there" and "not yours"."""

    installation: Installation

    def is_there(self, actor: Actor, job_id: str) -> bool:
        """Return whether a finished download can still be taken."""
        try:
            job, path = self._path(actor, job_id)
        except DownloadGone:
            return False
        with self.installation.state.read() as tx:
            return people.find_note(tx, _taken(job.id)) is None and os.path.exists(path)

    def take(self, actor: Actor, job_id: str) -> Taken:
        """Return the file, once: that it is taken is noted before. Raises DownloadGone."""
        job, path = self._path(actor, job_id)
        now, result = self.installation.clock.now(), job.result or {}
        with self.installation.state.write() as tx:
            if people.find_note(tx, _taken(job.id)) is not None:
                raise DownloadGone("this download was already taken")
            people.set_note(tx, _taken(job.id), actor.login, now)
            people.add_audit(tx, now, actor, "download", job.domain_id, job.id, {})
        fd = _open(path)
        return Taken(fd, os.fsencode(str(result["name"])), os.fstat(fd).st_size)

    def text_diff(self, actor: Actor, job_id: str) -> TextDiff:
        """Return a finished comparison of two texts; it can be looked at again for ten minutes. Raises DownloadGone."""
        _, path = self._path(actor, job_id)
        with os.fdopen(_open(path), "rb") as file:
            fields = json.load(file)
        lines = tuple(DiffLine(**line) for line in fields["lines"])
        return TextDiff(TextDiffState(fields["state"]), lines, bool(fields["is_cut"]))

    def _path(self, actor: Actor, job_id: str) -> tuple[Job, str]:
        with self.installation.state.read() as tx:
            job = job_of(tx, actor, job_id)
        if job.kind is not JobKind.EXPORT or job.actor.login != actor.login or job.domain_id is None:
            raise UnknownJob("there is no such download")
        if job.state not in (JobState.DONE, JobState.PARTIAL) or job.finished_at is None:
            raise DownloadGone("this download is not ready")
        if self.installation.clock.now() - job.finished_at > KEPT_FOR:
            raise DownloadGone("this download was not taken within ten minutes")
        return job, _file(self.installation, job.domain_id, job.id)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DownloadGone("this download was already taken") from None


def make_download(context: JobContext, domain: Domain) -> Outcome:
    """Write what a job asks for into the folder of downloads; the job's actor can take it from there."""
    installation, params = context.installation, context.job.params
    make_room(installation, domain)
    path = _file(installation, domain.id, context.job.id)
    kind = str(params["format"])
    with _new_file(f"{path}.part") as fd:
        write = _write_diff if kind == DIFF else _write_export
        result = write(context, domain, fd)
        result["bytes"] = os.fstat(fd).st_size
    os.rename(f"{path}.part", path)
    until = installation.clock.now() + KEPT_FOR
    is_partial = bool(result.get("lost_count") or result.get("unlisted_count"))
    document = {"domain": domain.name, "format": kind, "until": until.isoformat(), **result}
    return Outcome(document, is_partial=is_partial)


def export_to_file(
    installation: Installation,
    queries: Queries,
    domain: Domain,
    point: str,
    paths: list[bytes],
    kind: ExportFormat,
    output: str,
) -> dict[str, object]:
    """Write paths of a point into a new file, for the command line, and return what it holds."""
    with _new_file(output, is_ours=False) as fd:
        room = os.fstatvfs(fd)
        with (
            open_archives(installation, queries, domain.id, point) as archives,
            start_agent(installation, domain) as agent,
        ):
            summary = _export(agent, archives, paths, kind, fd, room.f_bavail * room.f_frsize)
        size_bytes = os.fstat(fd).st_size
    return {"domain": domain.name, "format": kind, "file": output, "bytes": size_bytes, **_fields(summary)}


def make_room(installation: Installation, domain: Domain) -> None:
    """Remove downloads that are over, and of this domain all but the newest two."""
    expire(installation)
    folder = _folder(installation)
    own = [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(domain.id)]
    own.sort(key=os.path.getmtime)
    for path in own[: max(0, len(own) - MOST_OF_A_DOMAIN + 1)]:
        _remove(path)


def expire(installation: Installation) -> int:
    """Remove the files of downloads that nobody took in time and return how many."""
    folder = _folder(installation)
    before = (installation.clock.now() - KEPT_FOR).timestamp()
    old = [name for name in os.listdir(folder) if _changed_at(os.path.join(folder, name)) < before]
    for name in old:
        _remove(os.path.join(folder, name))
    if old:
        with installation.state.write() as tx:
            for name in old:
                people.delete_note(tx, _taken(name.partition("-")[2]))
    return len(old)


def _taken(job_id: str) -> str:
    return f"taken:{job_id}"


def _changed_at(path: str) -> float:
    try:
        return os.path.getmtime(path)
    except FileNotFoundError:
        return float("inf")


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _folder(installation: Installation) -> str:
    return os.path.join(installation.settings.state_dir, "downloads")


def _file(installation: Installation, domain_id: str, job_id: str) -> str:
    return os.path.join(_folder(installation), f"{domain_id}-{job_id}")


@contextmanager
def _new_file(path: str, *, is_ours: bool = True) -> Iterator[int]:
    """Give a new file, which is removed again after an error.

    One of ours that a crash left makes way; the folder's group (the pages, where they have an account) may read it.
    """
    if is_ours:
        _remove(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with on_failure(partial(_remove, path)):
            if is_ours:
                os.fchown(fd, -1, os.stat(os.path.dirname(path)).st_gid)
                os.fchmod(fd, 0o640)
            yield fd
    finally:
        os.close(fd)


def _write_export(context: JobContext, domain: Domain, fd: int) -> dict[str, object]:
    installation, params = context.installation, context.job.params
    kind = ExportFormat(str(params["format"]))
    point = _point(installation, domain, str(params["point"]))
    asked = params["paths"]
    assert isinstance(asked, list), "requests made it"
    paths = [os.fsencode(str(path)) for path in asked]
    with (
        _archives(installation, domain, point) as archives,
        start_agent(installation, domain) as agent,
    ):
        hear = on_step(context, "collecting", agent)
        summary = _export(agent, archives, paths, kind, fd, _room(installation, fd), hear)
    if summary.lost.count or summary.unlisted_count:
        context.say(f"damaged, and not in the download: {summary.lost.count} files", "warning")
    name = _name(domain, paths, kind, point.created_at)
    return {"point": point.id, "name": os.fsdecode(name), **_fields(summary)}


def _export(
    agent: Agent,
    archives: ArchiveSet,
    paths: list[bytes],
    kind: ExportFormat,
    fd: int,
    limit_bytes: int,
    hear: OnStep | None = None,
) -> ExportSummary:
    """Write a download; where damage is met, again from its beginning without the damaged files.

    One damaged file alone raises ArchiveDamaged: no damaged byte is handed over.
    """
    try:
        return agent.export(archives, paths, kind, fd, limit_bytes, hear)
    except (ArchiveDamaged, ArchiveMissing, ArchiveRefused):
        if kind is ExportFormat.FILE:
            raise
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        return agent.export(archives, paths, kind, fd, limit_bytes, hear, may_lose=True)


def _write_diff(context: JobContext, domain: Domain, fd: int) -> dict[str, object]:
    installation, params = context.installation, context.job.params
    older, newer = (_point(installation, domain, str(params[side])) for side in ("older", "newer"))
    path = os.fsencode(str(params["path"]))
    with (
        _archives(installation, domain, older) as then,
        _archives(installation, domain, newer) as later,
        start_agent(installation, domain) as agent,
    ):
        entry = then.find_index_entry(path)
        found = TextDiff(TextDiffState.TOO_LARGE)
        if entry is None or data_size(entry) <= MAX_DIFF_BYTES:
            before_fd = os.memfd_create("before", os.MFD_CLOEXEC)
            try:
                with suppress(UnknownPath):
                    agent.read_file(then, path, before_fd)
                found = agent.diff_text(before_fd, later, path)
            finally:
                os.close(before_fd)
    with os.fdopen(os.dup(fd), "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(asdict(found), file)
    return {"older": older.id, "newer": newer.id, "name": os.fsdecode(path), "state": found.state}


def _point(installation: Installation, domain: Domain, point_id: str) -> Point:
    with installation.state.read() as tx:
        found = points.find_point(tx, domain.id, point_id)
    if found is None:
        raise UnknownPoint("the restore point is no longer there")
    return found


@contextmanager
def _archives(installation: Installation, domain: Domain, point: Point) -> Iterator[ArchiveSet]:
    if point.archive is None:
        raise UnknownPath("this restore point holds databases only")
    with (
        store.open_store(installation, domain) as folder_fd,
        store.open_point(installation, folder_fd, point.archive) as archives,
    ):
        yield archives


def _room(installation: Installation, fd: int) -> int:
    """Return how many bytes a download may have: what is free, less the reserve (SECURITY rule 25). Raises NoSpace."""
    room = os.fstatvfs(fd)
    usable = room.f_bavail * room.f_frsize - installation.settings.reserve_mb * store.MEGABYTE
    if usable <= 0:
        raise NoSpace("there is no room left to prepare a download")
    return usable


def _fields(summary: ExportSummary) -> dict[str, object]:
    return {
        "file_count": summary.file_count,
        "original_bytes": summary.size_bytes,
        "skipped": summary.skipped_count,
        "lost_count": summary.lost.count,
        "lost": [os.fsdecode(path) for path in summary.lost.names[:NAMED_LOST]],
        "unlisted_count": summary.unlisted_count,
    }


def _name(domain: Domain, paths: list[bytes], kind: ExportFormat, moment: datetime) -> bytes:
    """Return what a download is called: the file's own name, or the domain's and the point's with the folder's."""
    last = paths[0].rpartition(b"/")[2] if len(paths) == 1 else b""
    if kind is ExportFormat.FILE:
        return last
    parts = [domain.name.encode(), *([last] if last else []), f"{moment:%Y-%m-%d_%H%M}".encode()]
    return b"_".join(parts) + f".{kind}".encode()

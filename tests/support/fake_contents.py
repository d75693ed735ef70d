"""What is in the sample world's points: the same few folders in each, with a file that changed and one that went."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smartbackup_panel.core.errors import DownloadGone, UnknownJob, UnknownPath, UnsafePath
from smartbackup_panel.core.model import Actor, Job, JobKind, JobState
from smartbackup_panel.core.tree import DiffLine, Entry, EntryType, SkipReason, TextDiff, TextDiffState
from smartbackup_panel.services.pages import Comparison, Difference, Differences, Folder, Found, History, Taken, Version

if TYPE_CHECKING:
    from tests.support.fake_services import World

MODIFIED_NS = 1_790_000_000_000_000_000
STRANGE = 'wp-content/uploads/\u202egnp"><marquee>.exe'.encode()
NO_TEXT = b"wp-content/uploads/caf\xe9 & t\xe9.jpg"


def an_entry(path: bytes, kind: EntryType = EntryType.FILE, size: int = 0, **more: object) -> Entry:
    mode = 0o755 if kind is EntryType.DIRECTORY else 0o644
    digest = bytes(32) if kind is EntryType.FILE else None
    entry = Entry(path, kind, mode, 20001, 20001, "alice", "alice", size, MODIFIED_NS, digest)
    return replace(entry, **more)  # type: ignore[arg-type]  # the tests' own literals


TREE = {
    entry.path: entry
    for entry in (
        an_entry(b"", EntryType.DIRECTORY),
        an_entry(b"index.php", size=405),
        an_entry(b"latest", EntryType.SYMLINK, link=b"wp-content/uploads"),
        an_entry(b"readme.html", size=7_401),
        an_entry(b"cache.sock", EntryType.SKIPPED, reason=SkipReason.SOCKET),
        an_entry(b"wp-config.php", size=3_120),
        an_entry(b"wp-content", EntryType.DIRECTORY),
        an_entry(b"wp-content/uploads", EntryType.DIRECTORY),
        an_entry(b"wp-content/uploads/new-lamp.jpg", size=1_482_113),
        an_entry(STRANGE, size=12),
        an_entry(NO_TEXT, size=88_000),
        an_entry(b"wp-content/empty", EntryType.DIRECTORY),
    )
}
DIFF = TextDiff(
    TextDiffState.TEXT,
    (
        DiffLine("@", 1, 1, ""),
        DiffLine(" ", 1, 1, "<?php"),
        DiffLine("-", 2, None, "define('WP_DEBUG', false);"),
        DiffLine("+", None, 2, "define('WP_DEBUG', true); // <script>alert(1)</script>"),
        DiffLine(" ", 3, 3, "\trequire 'wp-settings.php';"),
    ),
)


@dataclass
class FakeContents:
    """Answers from the sample tree, for the actor's own domains."""

    world: World

    def folder(self, actor: Actor, domain_id: str, point_id: str, path: bytes, after: bytes = b"") -> Folder:
        domain, point = self.world.domain(actor, domain_id), self.world.point(actor, domain_id, point_id)
        if TREE.get(checked(path), TREE[b"index.php"]).type is not EntryType.DIRECTORY:
            raise UnknownPath("no such folder")
        below = [entry for entry in TREE.values() if entry.path and entry.path.rpartition(b"/")[0] == path]
        shown = sorted((entry for entry in below if entry.path.rpartition(b"/")[2] > after), key=lambda row: row.path)
        return Folder(domain, point, path, tuple(shown), len(below), None)

    def history(self, actor: Actor, domain_id: str, path: bytes) -> History:
        domain, points = self.world.domain(actor, domain_id), tuple(self.world.points.get(domain_id, []))
        if checked(path) not in TREE or not points:
            raise UnknownPath("no such path")
        entry = TREE[path]
        before = replace(entry, sha256=bytes(31) + b"1" if entry.sha256 else None, size=entry.size // 2)
        is_newest = path != b"readme.html"
        return History(domain, path, (Version(entry, points[:2], is_newest), Version(before, points[2:5], False)))

    def compare(
        self, actor: Actor, domain_id: str, one_id: str, other_id: str, after: Mapping[str, bytes] | None = None
    ) -> Comparison:
        domain = self.world.domain(actor, domain_id)
        pair = [self.world.point(actor, domain_id, point_id) for point_id in (one_id, other_id)]
        older, newer = sorted(pair, key=lambda point: point.created_at)
        config, index = TREE[b"wp-config.php"], TREE[b"index.php"]
        changed = (
            Difference(index.path, index, replace(index, mode=0o600)),
            Difference(config.path, replace(config, sha256=bytes(31) + b"1", size=3_090), config),
        )
        added = tuple(Difference(path, None, TREE[path]) for path in (STRANGE, NO_TEXT))
        removed = (Difference(b"readme.html", TREE[b"readme.html"], None),)
        lists = [Differences(len(rows), rows) for rows in (added, changed, removed)]
        if not after:
            lists[1] = replace(lists[1], total=1_200, after=b"wp-config.php")
        return Comparison(domain, older, newer, *lists)

    def search(self, actor: Actor, domain_id: str, text: str) -> Found:
        domain, points = self.world.domain(actor, domain_id), tuple(self.world.points.get(domain_id, []))
        named = [entry for entry in TREE.values() if text.lower().encode() in entry.path and points]
        hits = tuple(Version(entry, points[:2], entry.path != b"readme.html") for entry in named)
        return Found(domain, text, hits, has_more=False)


@dataclass
class FakeDownloads:
    """Downloads of the world's export jobs, each taken once; their content is "content"."""

    world: World

    def is_there(self, actor: Actor, job_id: str) -> bool:
        return job_id not in self.world.taken and self._job(actor, job_id).state in (JobState.DONE, JobState.PARTIAL)

    def take(self, actor: Actor, job_id: str) -> Taken:
        job = self._job(actor, job_id)
        if not self.is_there(actor, job_id):
            raise DownloadGone("this download was already taken")
        self.world.taken.add(job_id)
        fd = os.memfd_create("download")
        os.write(fd, b"content")
        os.lseek(fd, 0, os.SEEK_SET)
        return Taken(fd, os.fsencode(str((job.result or {})["name"])), 7)

    def text_diff(self, actor: Actor, job_id: str) -> TextDiff:
        self._job(actor, job_id)
        return DIFF

    def _job(self, actor: Actor, job_id: str) -> Job:
        job = self.world.job(actor, job_id)
        if job.kind is not JobKind.EXPORT or job.actor.login != actor.login:
            raise UnknownJob("no such download")
        return job


def export_result(job: Job) -> dict[str, object]:
    """Return the result of a finished export."""
    paths = job.params.get("paths")
    name = os.path.basename(str(paths[0])) if isinstance(paths, list) and paths else "file"
    kind = str(job.params["format"])
    return {"name": name, "format": kind, "bytes": 7, "file_count": 1, "original_bytes": 7, "skipped": 0}


def checked(path: bytes) -> bytes:
    if path.startswith(b"/") or b".." in path.split(b"/") or b"\0" in path or len(path) > 4_096:
        raise UnsafePath("no path inside the domain's folder")
    return path

"""The worker's side of an agent: the child process that becomes the tenant and touches the tenant's files.

One agent serves one job, from one thread of the worker (the kernel kills it when that thread ends). Every method may
raise AgentFailed (it died, or passed a time limit) and, through `on_progress`, whatever the caller raises there
(Cancelled): the agent is killed then, and what the call had begun is for the caller to remove.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TypeVar

import msgspec

from smartbackup_panel.core.errors import AgentFailed, ArchiveRefused, MissingDocumentRoot, RestoreFailed, WrongUsage
from smartbackup_panel.core.tree import (
    AgentPurpose,
    ArchiveSummary,
    Changes,
    ExportFormat,
    ExportSummary,
    PointKind,
    Progress,
    RestoreMode,
    RestoreOptions,
    RestorePlan,
    ScanOptions,
    ScanSummary,
    StageSummary,
    Staging,
    SwapState,
    TarSurvey,
    Tenant,
    TextDiff,
    UnpackSummary,
    VerifySummary,
    WriteOptions,
)
from smartbackup_panel.engine import exchange, messages, steward
from smartbackup_panel.engine.agent_process import AgentProcess
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.archive_sink import ArchiveSink, Totals, open_unlinked
from smartbackup_panel.engine.archive_writer import Written
from smartbackup_panel.engine.fsafe import closing, open_folder
from smartbackup_panel.engine.layout import KIND_OF_POINT, ArchiveRow

OnProgress = Callable[[Progress], None]
Result = TypeVar("Result")
SPOOL_FOLDER = "/var/tmp"  # noqa: S108  # the file in it never has a name


class Agent:
    """A running agent for the folder `root`; use it as a context manager.

    with Agent.start("/var/www/shop.example", tenant) as agent: summary = agent.scan(ScanOptions(), earlier)
    """

    def __init__(self, root: str, tenant: Tenant | None, process: AgentProcess) -> None:
        """Use `start`."""
        self._root = root
        self._tenant = tenant
        self._process = process
        self._scan_started_at_ns = 0

    @classmethod
    def start(
        cls,
        root: str,
        tenant: Tenant | None = None,
        *,
        purpose: AgentPurpose = AgentPurpose.READ,
        spool_folder: str = SPOOL_FOLDER,
        time_limit_seconds: float = 6 * 3600,
        stall_limit_seconds: float = 600,
    ) -> Agent:
        """Start the process for the domain's folder `root` (absolute; may be missing until something needs it).

        Root becomes `tenant`; not run as root, or without a tenant, the user stays. `spool_folder` holds unlinked
        temporary files of the worker.
        """
        own_uid = os.geteuid() if tenant is None or os.geteuid() != 0 else tenant.uid
        web_uids = () if tenant is None else tenant.web_uids
        hello = messages.Hello(root, tenant, purpose, os.getpid(), (own_uid, *web_uids))
        folder_fd = os.open(spool_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with closing(folder_fd), closing(open_unlinked(folder_fd, f".smartbackup-{os.getpid()}.part")) as spool_fd:
            process = AgentProcess(
                hello,
                spool_fd,
                time_limit_seconds,
                stall_limit_seconds,
                with_steward=purpose is AgentPurpose.RESTORE and steward.is_needed(tenant),
            )
        return cls(root, tenant, process)

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the agent."""
        return self._process.pid

    def rest(self, seconds: float) -> None:
        """Stop the process where it is, and let it go on after `seconds`: less than its limit of silence."""
        self._process.rest(seconds)

    def close(self) -> None:
        """End the process, killing it if it does not go by itself."""
        self._process.close()

    def _ask(
        self,
        request: messages.Request,
        kind: type[Result],
        fds: Sequence[int] = (),
        on_event: Callable[[messages.Event], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Result:
        """Return the typed result of a request."""

        def hear(event: messages.Event) -> None:
            if isinstance(event, messages.Advanced):
                if on_progress is not None:
                    on_progress(event.progress)
            elif on_event is not None:
                on_event(event)
            else:
                raise AgentFailed(f"the agent sent {type(event).__name__} where there is nothing to write")

        raw = self._process.ask(request, fds, hear)
        try:
            return msgspec.msgpack.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise AgentFailed(f"the agent sent an unknown result: {error}") from error

    def scan(
        self, options: ScanOptions, earlier: ArchiveSet | None = None, on_progress: OnProgress | None = None
    ) -> ScanSummary:
        """Walk the folder once, keep the list for `compare` and `write`, and compare it with an earlier point.

        Raises MissingDocumentRoot, UnsafePath (the folder is a link), ScanFailed, BadSetting (an exclusion).
        """
        names, fds = _parts(earlier)
        summary = self._ask(messages.Scan(options, names), ScanSummary, fds, on_progress=on_progress)
        self._scan_started_at_ns = summary.started_at_ns
        return summary

    def compare(self, earlier: ArchiveSet | None) -> Changes:
        """Compare the last scan with another earlier point, without touching the folder again."""
        names, fds = _parts(earlier)
        return self._ask(messages.Compare(names), Changes, fds)

    def write(
        self,
        sink: ArchiveSink,
        options: WriteOptions,
        earlier: ArchiveSet | None = None,
        on_progress: OnProgress | None = None,
    ) -> ArchiveSummary:
        """Write the point of the last scan into `sink` and finish it (signed and fsynced, not yet published).

        `earlier` is the point an increment builds on (the last point) or a differential (the last full one); with a
        full point it only serves the counts, unless that is synthetic and takes over what looks unchanged. The caller
        verifies, then calls `sink.publish()`.
        """
        started = time.monotonic()
        if options.kind is not PointKind.FULL and earlier is None:
            raise WrongUsage(f"a point that is {options.kind} needs an earlier one")
        if sink.codec is not options.codec or len(options.point_id) != 16:
            raise WrongUsage("the archive and the options of its point do not agree")
        names, fds = _parts(earlier)
        take = partial(_take, sink, earlier if options.is_synthetic else None)
        written = self._ask(messages.Write(options, names), Written, fds, take, on_progress)
        needed = [] if earlier is None or options.kind is PointKind.FULL else _rows_for_child(earlier)
        if written.is_unchanged and needed and sink.frame_count == 1:
            sink.forget_blocks()
        return self._finish(sink, options, written, needed, self._scan_started_at_ns, started)

    def copy_point(
        self, sink: ArchiveSink, options: WriteOptions, point: ArchiveSet, on_progress: OnProgress | None = None
    ) -> ArchiveSummary:
        """Write a point again as a full one into `sink` and finish it (not yet published); the folder is not looked at.

        `options` are a full point's, with the id and the time of `point`. Raises ArchiveDamaged.
        """
        started = time.monotonic()
        names, fds = _parts(point)
        request = messages.CopyPoint(names, options)
        written = self._ask(request, Written, fds, partial(_take, sink, point), on_progress)
        return self._finish(sink, options, written, [], point.facts.scan_started_at_ns, started)

    @staticmethod
    def _finish(
        sink: ArchiveSink,
        options: WriteOptions,
        written: Written,
        needed: list[ArchiveRow],
        scan_started_at_ns: int,
        started: float,
    ) -> ArchiveSummary:
        finished = sink.finish(_totals(options, written, scan_started_at_ns), needed)
        return ArchiveSummary(
            kind=options.kind,
            point_id=options.point_id,
            archive_bytes=finished.size_bytes,
            archive_sha256=finished.sha256,
            root_digest=finished.root_digest,
            parent_digest=finished.parent_digest,
            original_bytes=written.original_bytes,
            stored_bytes=written.stored_bytes,
            entry_count=written.entry_count,
            file_count=written.file_count,
            changes=written.changes,
            skipped=written.skipped,
            unstable=written.unstable,
            silent=written.silent,
            is_unchanged=sink.is_without_list,
            seconds=time.monotonic() - started,
        )

    def verify(
        self,
        point: ArchiveSet,
        *,
        whole_chain: bool = False,
        sample_files: int = 0,
        on_progress: OnProgress | None = None,
    ) -> VerifySummary:
        """Read back every byte of the point's own archive (or of all archives it needs). Raises ArchiveDamaged.

        With `sample_files` the index and so many files chosen by chance are read instead.
        """
        names, fds = _parts(point)
        request = messages.Verify(names, whole_chain, sample_files)
        return self._ask(request, VerifySummary, fds, on_progress=on_progress)

    def inspect(self) -> dict[str, object]:
        """Return what `engine.applications.find_application` says of the folder, as a plain dict."""
        return self._ask(messages.Inspect(), dict[str, object])

    def read_file(self, point: ArchiveSet, path: bytes, out_fd: int) -> int:
        """Write the content of one file to `out_fd` after its checksum matched; return its bytes. Raises UnknownPath.

        The same without a child: `archive_reader.read_file`.
        """
        names, fds = _readable_parts(point)
        return self._ask(messages.ReadFile(names, path), int, [*fds, out_fd])

    def export(
        self,
        point: ArchiveSet,
        paths: Sequence[bytes],
        kind: ExportFormat,
        out_fd: int,
        limit_bytes: int,
        on_progress: OnProgress | None = None,
        *,
        may_lose: bool = False,
    ) -> ExportSummary:
        """Write paths of a point as a download of at most `limit_bytes` to `out_fd`. Raises UnknownPath, NoSpace.

        With `may_lose` an archive goes without the files that are damaged; the summary tells them.
        """
        names, fds = _readable_parts(point)
        request = messages.Export(names, list(paths), kind, limit_bytes, may_lose)
        return self._ask(request, ExportSummary, [*fds, out_fd], on_progress=on_progress)

    def diff_text(self, before_fd: int, newer: ArchiveSet, path: bytes) -> TextDiff:
        """Return how the text in `before_fd` became the one at `path` of a point."""
        names, fds = _readable_parts(newer)
        return self._ask(messages.DiffText(names, path), TextDiff, [*fds, before_fd])

    def plan(
        self,
        point: ArchiveSet,
        options: RestoreOptions,
        on_progress: OnProgress | None = None,
        *,
        elsewhere_fd: int | None = None,
    ) -> RestorePlan:
        """Return what a restore would do now. Raises UnknownPath when a chosen path is not in the point.

        `elsewhere_fd`: a folder on the filesystem of a restore into an empty folder; the live site does not count then.
        """
        names, fds = _parts(point)
        request = messages.Plan(names, options, elsewhere_fd is not None)
        more = [] if elsewhere_fd is None else [elsewhere_fd]
        return self._ask(request, RestorePlan, [*fds, *more], on_progress=on_progress)

    def prepare_staging(self, job_id: str, announce: Callable[[Staging], None] | None = None) -> Staging:
        """Make the empty staging folder beside the domain's folder; `job_id` begins with 8 hexadecimal digits.

        `announce` gets the staging before anything is made, for the journal: a crash right after leaves nothing that
        `discard` of it does not find. Raises UnsafePath (the folder is a link), RestoreFailed (a mount point, nobody
        may write the parent folder, or the job has a staging folder already).
        """
        parent, name = exchange.split_root(self._root)
        staging_name = exchange.staging_name(job_id, name)
        with closing(open_folder(parent, may_be_link=True)) as parent_fd:
            by_worker = exchange.is_for_worker(parent_fd)
            if announce is not None:
                announce(Staging(parent, name, staging_name, 0, 0, None, by_worker))
            if by_worker:
                live_inode = exchange.find_live_inode(parent_fd, name)
                device, staged_inode = os.fstat(parent_fd).st_dev, exchange.make_folder(parent_fd, staging_name)
                self._give_to_tenant(parent_fd, staging_name, like=name if live_inode is not None else None)
            else:
                made = self._ask(messages.MakeStaging(staging_name), tuple[int, int | None, int])
                device, live_inode, staged_inode = made
        return Staging(parent, name, staging_name, device, staged_inode, live_inode, by_worker)

    def _give_to_tenant(self, parent_fd: int, name: str, like: str | None = None) -> None:
        """Make the tenant the owner of a new folder of root's; its group is that of the folder `like`."""
        if os.geteuid() != 0 or self._tenant is None or self._tenant.uid == 0:
            return
        gid = self._tenant.gid if like is None else os.stat(like, dir_fd=parent_fd, follow_symlinks=False).st_gid
        with closing(exchange.open_own(parent_fd, name)) as fd:
            os.fchown(fd, self._tenant.uid, gid)

    def stage(
        self, point: ArchiveSet, staging: Staging, options: RestoreOptions, on_progress: OnProgress | None = None
    ) -> StageSummary:
        """Fill the staging folder, checking every file, and flush it to disk. Raises NoSpace, ArchiveDamaged.

        The caller discards the staging folder when this fails.
        """
        names, fds = _parts(point)
        if not staging.by_worker:
            return self._ask(messages.Stage(names, options, staging), StageSummary, fds, on_progress=on_progress)
        with closing(open_folder(staging.parent, may_be_link=True)) as parent_fd:
            staging_fd = exchange.open_staging(parent_fd, staging)
        with closing(staging_fd):
            request = messages.Stage(names, options, staging)
            return self._ask(request, StageSummary, [*fds, staging_fd], on_progress=on_progress)

    def write_into(
        self, point: ArchiveSet, folder: str, options: RestoreOptions, on_progress: OnProgress | None = None
    ) -> StageSummary:
        """Restore into `folder` (made when missing, else empty, unless merging) without any swap.

        An empty folder of root's becomes the tenant's. Raises WrongUsage when it is not empty, NoSpace, ArchiveDamaged.
        """
        names, fds = _parts(point)
        with closing(self._open_target(folder, options.mode)) as target_fd:
            request = messages.Stage(names, options, None)
            return self._ask(request, StageSummary, [*fds, target_fd], on_progress=on_progress)

    def _open_target(self, folder: str, mode: RestoreMode) -> int:
        parent, name = exchange.split_root(folder)
        with closing(open_folder(parent, may_be_link=True)) as parent_fd:
            if exchange.find_live_inode(parent_fd, name) is None:
                exchange.make_folder(parent_fd, name)
                self._give_to_tenant(parent_fd, name)
            target_fd = exchange.open_own(parent_fd, name)
            is_empty = not os.listdir(target_fd)
            if not is_empty and mode is not RestoreMode.MERGE:
                os.close(target_fd)
                raise WrongUsage(f"{folder} is not empty", hint="Name a new or empty folder, or merge.")
            if is_empty and os.fstat(target_fd).st_uid == os.geteuid():
                self._give_to_tenant(parent_fd, name)
            return target_fd

    def use_folder(self, folder_fd: int, point: ArchiveSet | None = None) -> None:
        """Take an open folder of the tenant's for the domain's from now on; the tenant needs no way to it.

        `point` was made of just the files that it holds: it knows which of them are a web user's.
        """
        names, fds = _parts(point)
        self._ask(messages.UseFolder(names), type(None), [*fds, folder_fd])

    def survey_tar(
        self,
        archive_fd: int,
        name: str,
        names: Sequence[bytes],
        strip: bytes | None = None,
        list_fd: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> TarSurvey:
        """Look through a plain tar of somebody, every byte of it. Raises ArchiveDamaged, ArchiveRefused.

        `names` are what the domain's folder may be called in it; `strip` says which folder it is. `list_fd` is a list of
        changed files that should be in it.
        """
        os.lseek(archive_fd, 0, os.SEEK_SET)
        fds = [archive_fd, *([] if list_fd is None else [list_fd])]
        request = messages.SurveyTar(name, os.fsencode(self._root), list(names), strip)
        return self._ask(request, TarSurvey, fds, on_progress=on_progress)

    def unpack_tar(
        self,
        archive_fd: int,
        name: str,
        strip: bytes,
        on_progress: OnProgress | None = None,
        *,
        may_replace: bool = False,
    ) -> UnpackSummary:
        """Unpack a plain tar into the folder of `use_folder`: an empty one, or (`may_replace`) over what is there.

        The caller empties the folder after an error. Raises ArchiveDamaged, ArchiveRefused, NoSpace.
        """
        request = messages.UnpackTar(name, strip, may_replace)
        return self._ask(request, UnpackSummary, [archive_fd], on_progress=on_progress)

    def fill(self, point: ArchiveSet, folder_fd: int, on_progress: OnProgress | None = None) -> StageSummary:
        """Restore a whole point into an open empty folder of the tenant's."""
        names, fds = _parts(point)
        request = messages.Stage(names, RestoreOptions(), None)
        return self._ask(request, StageSummary, [*fds, folder_fd], on_progress=on_progress)

    def empty(self, folder_fd: int) -> None:
        """Remove everything in an open folder of the tenant's. Raises RestoreFailed."""
        self._ask(messages.RemoveTree(None), type(None), [folder_fd])

    def swap(self, staging: Staging) -> None:
        """Put the staged tree into place by one rename; doing it again changes nothing. The old tree is the undo."""
        self._exchange(staging, is_back=False)

    def swap_back(self, staging: Staging) -> None:
        """Put the old tree back into place by one rename; doing it again changes nothing."""
        self._exchange(staging, is_back=True)

    def _exchange(self, staging: Staging, *, is_back: bool) -> None:
        if staging.by_worker:
            with closing(open_folder(staging.parent, may_be_link=True)) as parent_fd:
                exchange.exchange(parent_fd, staging, is_back=is_back)
        else:
            self._ask(messages.Exchange(staging, is_back), type(None))

    def swap_state(self, staging: Staging) -> SwapState:
        """Return which tree is in place: OLD (not swapped), NEW (swapped), GONE (neither is there)."""
        if not staging.by_worker:
            return self._ask(messages.SwapState(staging), SwapState)
        with closing(open_folder(staging.parent, may_be_link=True)) as parent_fd:
            return exchange.find_state(parent_fd, staging)

    def discard(self, staging: Staging) -> None:
        """Remove what lies under the staging name (the staged tree or the undo); nothing there is fine.

        Raises RestoreFailed when something of it cannot be removed.
        """
        if not staging.by_worker:
            self._ask(messages.RemoveTree(staging), type(None))
            return
        try:
            parent_fd = open_folder(staging.parent, may_be_link=True)
        except MissingDocumentRoot:
            return
        with closing(parent_fd):
            if not exchange.is_removable(parent_fd, staging):
                return
            with closing(exchange.open_own(parent_fd, staging.staging_name)) as fd:
                self._ask(messages.RemoveTree(None), type(None), [fd])
            try:
                os.rmdir(staging.staging_name, dir_fd=parent_fd)
            except OSError as error:
                raise RestoreFailed(f"{staging.staging_name} cannot be removed: {error.strerror}") from error


def _parts(point: ArchiveSet | None) -> tuple[list[str], list[int]]:
    """Return the names and descriptors of all archives of a point."""
    if point is None:
        return [], []
    files = point.open_all()
    return [file.name for file in files], [file.fd for file in files]


def _readable_parts(point: ArchiveSet) -> tuple[list[str], list[int]]:
    """Return the names and descriptors of the archives of a point; those that cannot be read have the name ""."""
    files = point.open_readable()
    return ["" if file is None else file.name for file in files], [file.fd for file in files if file is not None]


def _rows_for_child(earlier: ArchiveSet) -> list[ArchiveRow]:
    """Return the archive table for a point that builds on `earlier`, without its own row."""
    own = earlier.own.footer
    return [*earlier.rows[:-1], ArchiveRow(earlier.name, own.root_digest, own.frame_count)]


def _totals(options: WriteOptions, written: Written, scan_started_at_ns: int) -> Totals:
    return Totals(
        kind=KIND_OF_POINT[options.kind],
        point_id=options.point_id,
        created_at_ns=int(options.created_at.timestamp() * 1_000_000) * 1_000,
        scan_started_at_ns=scan_started_at_ns,
        entry_count=written.entry_count,
        file_count=written.file_count,
        original_bytes=written.original_bytes,
        stored_bytes=written.stored_bytes,
        skipped_count=written.skipped.count,
    )


def _take(sink: ArchiveSink, copied: ArchiveSet | None, event: messages.Event) -> None:
    """Put one part of an archive where it belongs; frames may be copied out of `copied` alone."""
    match event:
        case messages.CopyFrame():
            if copied is None:
                raise ArchiveRefused("the agent would copy frames where none are to be copied")
            sink.copy_frame(copied.file(event.archive), event.frame)
        case messages.Frame():
            sink.add_frame(event.packed, event.plain_bytes, event.sha256)
        case messages.Mark():
            sink.mark()
        case messages.Rollback():
            sink.rollback()
        case messages.Block():
            sink.add_block(event.first_path, event.packed, event.plain_bytes, event.entry_count)
        case _:
            raise ArchiveRefused(f"the agent sent {type(event).__name__} while it wrote")

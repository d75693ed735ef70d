"""What an agent does for each request; it runs as the tenant."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from smartbackup_panel.core.errors import MissingDocumentRoot, NoSpace, RestoreFailed, ScanFailed
from smartbackup_panel.core.tree import (
    Changes,
    PointKind,
    Progress,
    RestoreOptions,
    RestorePlan,
    ScanOptions,
    ScanSummary,
    StageSummary,
    Staging,
    UnpackSummary,
    VerifySummary,
    WriteOptions,
)
from smartbackup_panel.engine import exchange, messages
from smartbackup_panel.engine.applications import find_application
from smartbackup_panel.engine.archive_reader import ArchiveSet, read_file
from smartbackup_panel.engine.archive_writer import PointWriter, Written, write_unchanged
from smartbackup_panel.engine.changes import YOUNG_NS, compare
from smartbackup_panel.engine.channel import Channel
from smartbackup_panel.engine.entries import pack_stat
from smartbackup_panel.engine.exclusions import compile_exclusions
from smartbackup_panel.engine.export import export
from smartbackup_panel.engine.fsafe import closing, empty_folder, open_beneath, open_folder, remove_tree
from smartbackup_panel.engine.giver import Giver
from smartbackup_panel.engine.left_out import LeftOut
from smartbackup_panel.engine.new_names import Stored
from smartbackup_panel.engine.owner_notes import NotingFinisher, OwnerNotes
from smartbackup_panel.engine.ownership import Ownership
from smartbackup_panel.engine.plain_extract import PlainExtract
from smartbackup_panel.engine.plain_survey import survey
from smartbackup_panel.engine.plain_tar import PlainTar
from smartbackup_panel.engine.point_copy import PointCopy
from smartbackup_panel.engine.restore_choice import choose
from smartbackup_panel.engine.restore_plan import plan_restore
from smartbackup_panel.engine.restore_writer import Finisher, RestoreWriter
from smartbackup_panel.engine.sampling import verify_sample
from smartbackup_panel.engine.scan import LinkCounts, ScanCounts, ScanRules, spooled
from smartbackup_panel.engine.spool import Seen, Spool
from smartbackup_panel.engine.text_diff import MAX_DIFF_BYTES, diff_text
from smartbackup_panel.engine.tree_reader import TreeReader
from smartbackup_panel.engine.verify import verify_point

_PROGRESS_SECONDS = 0.25


class AgentRequests:
    """Keeps what lives from one request to the next: the scan's list and its rules."""

    def __init__(self, hello: messages.Hello, spool_fd: int, channel: Channel, giver: Giver | None = None) -> None:
        self._root = hello.root
        self._giver = giver
        self._web_gids = frozenset(() if hello.tenant is None else hello.tenant.web_gids)
        self._allowed_uids = frozenset(hello.allowed_uids)
        self._tenant_uid = os.geteuid() if hello.tenant is None else hello.tenant.uid
        self._spool = Spool(spool_fd)
        self._channel = channel
        self._scanned: _Scanned | None = None
        self._folder_fd: int | None = None
        self._notes: OwnerNotes | None = None

    def answer(self, request: messages.Request, fds: list[int]) -> object:
        """Carry out one request and return its result. The descriptors stay the caller's."""
        match request:
            case messages.Scan():
                return self._scan(request, fds)
            case messages.Compare():
                return self._compare_again(request, fds)
            case messages.Write():
                return self._write(request, fds)
            case messages.CopyPoint():
                with _open_point(request.archives, fds) as point:
                    return PointCopy(point, request.options, _WriteEvents(self._channel)).write()
            case messages.Verify():
                return self._verify(request, fds)
            case messages.Inspect():
                return self._inspect()
            case messages.ReadFile():
                with _open_point(request.archives, fds[:-1]) as point:
                    return read_file(point, request.path, fds[-1])
            case messages.Export():
                with _open_point(request.archives, fds[:-1]) as point:
                    return export(point, request, fds[-1], self._told("export"))
            case messages.DiffText():
                with _open_point(request.archives, fds[:-1]) as point:
                    return diff_text(os.pread(fds[-1], MAX_DIFF_BYTES + 1, 0), point, request.path)
            case messages.Plan():
                return self._plan(request, fds)
            case messages.Stage():
                return self._stage(request, fds)
            case messages.MakeStaging():
                return self._make_staging(request.staging_name)
            case messages.Exchange():
                with closing(self._open_parent()) as parent_fd:
                    exchange.exchange(parent_fd, request.staging, is_back=request.is_back)
                return None
            case messages.SwapState():
                with closing(self._open_parent()) as parent_fd:
                    return exchange.find_state(parent_fd, request.staging)
            case messages.RemoveTree():
                self._remove(request.staging, fds)
                return None
            case messages.UseFolder():
                self._use_folder(request, fds)
                return None
            case messages.SurveyTar():
                list_fd = fds[1] if len(fds) > 1 else None
                told = self._told_now_and_then("survey")
                return survey(fds[0], request.name, request.root, request.names, request.strip, list_fd, told)
            case messages.UnpackTar():
                return self._unpack(request, fds[0])
            case _:
                raise ScanFailed(f"an agent cannot answer {type(request).__name__}")

    def _use_folder(self, request: messages.UseFolder, fds: list[int]) -> None:
        """Take another folder for the domain's; what is the tenant's alone there keeps its owner in notes."""
        if self._folder_fd is not None:
            os.close(self._folder_fd)
        self._folder_fd, self._notes = os.dup(fds[-1]), OwnerNotes()
        if request.archives:
            with _open_point(request.archives, fds[:-1]) as point:
                self._notes.recall(point.index(), self._ownership())

    def _ownership(self) -> Ownership:
        return Ownership.of_this_process(self._allowed_uids, self._web_gids)

    def _finisher(self) -> Finisher:
        """Return what finishes new files: it gives them to the web user, or notes it in a folder that is not the live one."""
        if self._notes is not None:
            return NotingFinisher(self._ownership(), self._notes)
        return Finisher(self._ownership(), self._giver)

    def _open_root(self) -> int:
        if self._folder_fd is not None:
            return open_beneath(self._folder_fd, b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return open_folder(self._root)
        except PermissionError as error:
            raise ScanFailed(f"{self._root} cannot be opened by its owner: {error.strerror}") from error

    def _open_parent(self) -> int:
        parent, _ = exchange.split_root(self._root)
        return open_folder(parent, may_be_link=True, may_be_unreadable=True)

    def _rules(self, options: ScanOptions) -> ScanRules:
        guarded = self._allowed_uids if self._tenant_uid == 0 else self._allowed_uids - {self._tenant_uid}
        pack = pack_stat
        if self._notes is not None and not self._notes.is_empty:
            guarded, pack = frozenset(), self._notes.pack  # nobody else can have a link to what was unpacked there
        return ScanRules(
            allowed_uids=self._allowed_uids,
            guarded_uids=guarded,
            left_out=LeftOut(compile_exclusions(options.exclude), rebuildable=options.rebuildable),
            nested_roots=frozenset(options.nested_roots),
            pack=pack,
        )

    def _told(self, step: str) -> Callable[[int, int], None]:
        return partial(self._advanced, step)

    def _told_now_and_then(self, step: str) -> Callable[[int, int], None]:
        """Return what may be called once a path: it says so four times a second."""
        last = time.monotonic()

        def tell(files: int, size_bytes: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_SECONDS:
                last = now
                self._advanced(step, files, size_bytes)

        return tell

    def _advanced(self, step: str, files: int, size_bytes: int) -> None:
        self._channel.send(messages.Advanced(Progress(step, files, size_bytes)))

    def _scan(self, request: messages.Scan, fds: list[int]) -> ScanSummary:
        started = time.monotonic()
        rules = self._rules(request.options)
        links, counts = LinkCounts(rules.guarded_uids), ScanCounts(started_at_ns=time.time_ns())
        with closing(self._open_root()) as root_fd:
            walked = spooled(self._spool, counts, root_fd, rules, links, self._told("scan"))
            compared = _compare(walked, counts, _open_earlier(request.earlier, fds))
        self._scanned = _Scanned(rules, links, counts, compared)
        return counts.summary(time.monotonic() - started, compared.changes, rules.left_out.result())

    def _compare_again(self, request: messages.Compare, fds: list[int]) -> Changes:
        scanned = self._get_scanned()
        scanned.compared = _compare(self._spool, scanned.counts, _open_earlier(request.earlier, fds))
        return scanned.compared.changes

    def _get_scanned(self) -> _Scanned:
        if self._scanned is None:
            raise ScanFailed("the folder has not been scanned yet")
        return self._scanned

    def _write(self, request: messages.Write, fds: list[int]) -> Written:
        scanned = self._get_scanned()
        earlier = _open_earlier(request.earlier, fds)
        if earlier is None:
            return self._write_point(request.options, scanned, None)
        with earlier:
            compared = scanned.compared
            is_like = compared.is_same and scanned.is_compared_with(earlier) and not request.options.read_again
            if is_like and request.options.kind is not PointKind.FULL:
                return write_unchanged(request.options, _WriteEvents(self._channel), earlier, scanned.counts)
            return self._write_point(request.options, scanned, earlier)

    def _write_point(self, options: WriteOptions, scanned: _Scanned, earlier: ArchiveSet | None) -> Written:
        with closing(self._open_root()) as root_fd:
            writer = PointWriter(
                root_fd,
                scanned.rules,
                scanned.links,
                options,
                _WriteEvents(self._channel),
                own_number=0 if options.kind is PointKind.FULL or earlier is None else len(earlier.rows),
                young_from_ns=0 if earlier is None else _young_from_ns(earlier),
                copied=earlier if options.is_synthetic else None,
                stored=scanned.compared.stored if scanned.is_compared_with(earlier) else {},
                listing=None if options.kind is PointKind.FULL or earlier is None else earlier.listing,
            )
            return writer.write(self._spool, () if earlier is None else earlier.index(checked=False))

    def _verify(self, request: messages.Verify, fds: list[int]) -> VerifySummary:
        with _open_point(request.archives, fds) as point:
            if request.sample_files:
                return verify_sample(point, request.sample_files, self._told("verify"))
            return verify_point(point, whole_chain=request.whole_chain, advanced=self._told("verify"))

    def _inspect(self) -> dict[str, object]:
        with closing(self._open_root()) as root_fd, TreeReader(root_fd, self._allowed_uids) as reader:
            return find_application(reader)

    def _plan(self, request: messages.Plan, fds: list[int]) -> RestorePlan:
        if request.elsewhere:
            with _open_point(request.archives, fds[:-1]) as point:
                return plan_restore(point.index(), (), request.options, fds[-1])
        root_fd = self._scan_live(request.options.scan)
        target_fd = self._open_parent() if root_fd is None else root_fd
        with closing(target_fd), _open_point(request.archives, fds) as point:
            return plan_restore(point.index(), self._spool, request.options, target_fd)

    def _scan_live(self, options: ScanOptions) -> int | None:
        """Scan the live tree and return its descriptor, or None (and an empty list) when the folder is missing."""
        self._spool.restart()
        try:
            root_fd = self._open_root()
        except MissingDocumentRoot:
            return None
        rules = self._rules(options)
        counts, links = ScanCounts(started_at_ns=time.time_ns()), LinkCounts(rules.guarded_uids)
        for _ in spooled(self._spool, counts, root_fd, rules, links, self._told("scan")):
            pass
        return root_fd

    def _stage(self, request: messages.Stage, fds: list[int]) -> StageSummary:
        if request.staging is None or request.staging.by_worker:
            return self._fill(request, fds[:-1], fds[-1])
        with closing(self._open_parent()) as parent_fd:
            target_fd = exchange.open_staging(parent_fd, request.staging)
        with closing(target_fd):
            return self._fill(request, fds, target_fd)

    def _fill(self, request: messages.Stage, fds: list[int], target_fd: int) -> StageSummary:
        """Write the restore into an open folder."""
        is_beside_live = request.staging is not None
        self._spool.restart()
        live_fd = self._scan_live(request.options.scan) if is_beside_live else None
        try:
            with _open_point(request.archives, fds) as point:
                point.open_all()
                self._refuse_impossible(point, request.options, target_fd)
                writer = RestoreWriter(
                    point,
                    target_fd,
                    live_fd,
                    self._finisher(),
                    self._told("restore"),
                    may_replace=not is_beside_live,
                )
                # The plan has just read and checked the whole index; its blocks still have to have their checksums.
                with point.reading_ahead():
                    return writer.write(choose(point.index(checked=False), self._spool, request.options))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise RestoreFailed(f"the restored files cannot be written: {error.strerror}") from error
            raise
        finally:
            if live_fd is not None:
                os.close(live_fd)

    def _unpack(self, request: messages.UnpackTar, archive_fd: int) -> UnpackSummary:
        """Write a plain tar into the folder that is the domain's now."""
        os.lseek(archive_fd, 0, os.SEEK_SET)
        tar = PlainTar(archive_fd, request.name, below=request.strip, may_be_absolute=True)
        with closing(self._open_root()) as root_fd:
            told = self._told_now_and_then("unpack")
            extract = PlainExtract(root_fd, self._finisher(), told, may_replace=request.may_replace)
            files, size_bytes, warnings = extract.write(tar)
        return UnpackSummary(files, size_bytes, tuple(warnings))

    def _refuse_impossible(self, point: ArchiveSet, options: RestoreOptions, target_fd: int) -> None:
        plan = plan_restore(point.index(), self._spool, options, target_fd)
        if plan.obstacle:
            raise RestoreFailed(
                plan.obstacle, hint="Restore single paths into another folder; this folder cannot be exchanged whole."
            )
        if plan.bytes_needed > plan.bytes_free:
            raise NoSpace(f"the restore needs {plan.bytes_needed} bytes and there are {plan.bytes_free}")

    def _make_staging(self, name: str) -> tuple[int, int | None, int]:
        """Return the device, the live folder's inode number and the new staging folder's."""
        with closing(self._open_parent()) as parent_fd:
            live_inode = exchange.find_live_inode(parent_fd, exchange.split_root(self._root)[1])
            return os.fstat(parent_fd).st_dev, live_inode, exchange.make_folder(parent_fd, name)

    def _remove(self, staging: Staging | None, fds: list[int]) -> None:
        try:
            if fds:
                self._empty(fds[0])
            elif staging is not None:
                with closing(self._open_parent()) as parent_fd:
                    if exchange.is_removable(parent_fd, staging):
                        with closing(exchange.open_own(parent_fd, staging.staging_name)) as top_fd:
                            self._empty(top_fd)
                        remove_tree(parent_fd, os.fsencode(staging.staging_name))
        except OSError as error:
            raise RestoreFailed(f"the staging folder cannot be removed: {error.strerror}") from error

    def _empty(self, top_fd: int) -> None:
        """Remove everything below an open folder; what lies in a web user's folders needs the steward."""
        try:
            empty_folder(top_fd, b".")
        except PermissionError:
            if self._giver is None:
                raise
            self._giver.take_folders(top_fd)
            empty_folder(top_fd, b".")


@dataclass(slots=True)
class _Compared:
    """What a scan differs in from an earlier point, which `root_digest` names (None: from nothing).

    `is_same`: the scan proves that nothing has changed. `stored` see new_names.
    """

    changes: Changes
    root_digest: bytes | None = None
    is_same: bool = False
    stored: Stored = field(default_factory=dict)


@dataclass(slots=True)
class _Scanned:
    """The last scan, and what it was compared with last."""

    rules: ScanRules
    links: LinkCounts
    counts: ScanCounts
    compared: _Compared

    def is_compared_with(self, earlier: ArchiveSet | None) -> bool:
        """Whether the last comparison was with this point."""
        return earlier is not None and self.compared.root_digest == earlier.facts.root_digest


def _compare(scanned: Iterable[Seen], counts: ScanCounts, earlier: ArchiveSet | None) -> _Compared:
    """Compare a scan, whose sums are complete at its end, with an earlier point."""
    if earlier is None:
        return _Compared(compare(scanned, ()).changes)
    with earlier:
        changes, is_same, stored = compare(scanned, earlier.index(checked=False))
        newest_ns = max(counts.newest_mtime_ns, counts.newest_ctime_ns)
        is_same = is_same and newest_ns < _young_from_ns(earlier)
        return _Compared(changes, earlier.facts.root_digest, is_same, stored)


def _young_from_ns(earlier: ArchiveSet) -> int:
    return earlier.facts.scan_started_at_ns - YOUNG_NS


class _WriteEvents:
    """Sends an archive's parts to the worker as they are finished."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def frame(self, packed: bytes, plain_bytes: int, sha256: bytes) -> None:
        self._channel.send(messages.Frame(memoryview(packed), plain_bytes, sha256))

    def copy_frame(self, archive: int, frame: int) -> None:
        self._channel.send(messages.CopyFrame(archive, frame))

    def mark(self) -> None:
        self._channel.send(messages.Mark())

    def rollback(self) -> None:
        self._channel.send(messages.Rollback())

    def block(self, first_path: bytes, packed: bytes, plain_bytes: int, entry_count: int) -> None:
        self._channel.send(messages.Block(first_path, packed, plain_bytes, entry_count))

    def advanced(self, files: int, size_bytes: int) -> None:
        self._channel.send(messages.Advanced(Progress("write", files, size_bytes)))


def _open_point(names: list[str], fds: list[int]) -> ArchiveSet:
    return ArchiveSet.from_fds(names, [os.dup(fd) for fd in fds])


def _open_earlier(names: list[str], fds: list[int]) -> ArchiveSet | None:
    return _open_point(names, fds) if names else None

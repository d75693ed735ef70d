"""One pass over a tenant's tree, in the order of the index; nothing but folders is opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from smartbackup_panel.core.errors import ScanFailed
from smartbackup_panel.core.tree import Changes, Excluded, ScanSummary, SkipReason
from smartbackup_panel.engine.entries import STAT, pack_file, pack_stat
from smartbackup_panel.engine.fsafe import MAX_DEPTH, open_beneath
from smartbackup_panel.engine.left_out import LeftOut
from smartbackup_panel.engine.lists import SkippedCollector
from smartbackup_panel.engine.spool import Seen, Spool

OWN_PREFIX = b".smartbackup-"
_DAY_NS = 86_400 * 1_000_000_000
_PROGRESS_EVERY = 2_000
_TYPE = 0o170000
_SPECIAL = {
    stat.S_IFIFO: SkipReason.FIFO,
    stat.S_IFSOCK: SkipReason.SOCKET,
    stat.S_IFCHR: SkipReason.DEVICE,
    stat.S_IFBLK: SkipReason.DEVICE,
}
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ScanRules:
    """Whose files count and what is left out. `guarded_uids` own files of which every link has to lie in this tree.

    `pack` makes the 56 bytes of a stat result, where an import's folder needs other owners than its files have there.
    """

    allowed_uids: frozenset[int]
    guarded_uids: frozenset[int]
    left_out: LeftOut = field(default_factory=LeftOut)
    nested_roots: frozenset[bytes] = frozenset()
    pack: Callable[[os.stat_result], bytes] = pack_stat


class LinkCounts:
    """Guarded files with several links, and how many of their links the walk has not met."""

    def __init__(self, guarded_uids: frozenset[int]) -> None:
        self._guarded_uids = guarded_uids
        self._missing: dict[Identity, int] = {}

    def note(self, found: os.stat_result) -> None:
        """Count one link, if the file is a guarded one."""
        if found.st_uid in self._guarded_uids:
            identity = (found.st_dev, found.st_ino)
            self._missing[identity] = self._missing.get(identity, found.st_nlink) - 1

    def lead_out(self, uid: int, nlink: int, identity: Identity) -> bool:
        """Whether a link of this file may lie outside of the tree; one that the walk never met does."""
        return nlink > 1 and uid in self._guarded_uids and self._missing.get(identity, 1) != 0


class _Folder:
    """A folder under way: its descriptor, its path with a slash, and the names still to come, last first."""

    __slots__ = ("fd", "names", "prefix")

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd = fd
        self.prefix = path + b"/" if path else b""
        self.names = sorted(map(os.fsencode, os.listdir(fd)), reverse=True)


def walk(root_fd: int, rules: ScanRules, links: LinkCounts) -> Iterator[Seen]:
    """Yield every path below `root_fd` in index order, the folder itself first. Raises ScanFailed."""
    root = os.fstat(root_fd)
    rules.left_out.restart()
    yield Seen(b"", rules.pack(root))
    stack = [_open_root(root_fd)]
    try:
        while stack:
            folder = stack[-1]
            below = yield from _walk_folder(folder, root.st_dev, rules, links, len(stack))
            if below is not None:
                stack.append(below)
            else:
                os.close(stack.pop().fd)
    finally:
        for folder in stack:
            os.close(folder.fd)


def _walk_folder(
    folder: _Folder, device: int, rules: ScanRules, links: LinkCounts, depth: int
) -> Generator[Seen, None, _Folder | None]:
    """Yield what is left of a folder up to its next folder, and return that one; None at the end.

    Nearly everything is a plain file of the tenant's; for those the checks of `_look` are done here, in fewer steps.
    """
    fd, prefix, names = folder.fd, folder.prefix, folder.names
    allowed = rules.allowed_uids
    is_plain = rules.left_out.spares_files and not rules.nested_roots and rules.pack is pack_stat
    while names:
        name = names.pop()
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield _skipped(prefix + name, bytes(56), SkipReason.UNREADABLE, error.strerror or "")
            continue
        mode = found.st_mode
        if (
            is_plain
            and mode & _TYPE == stat.S_IFREG
            and found.st_nlink == 1
            and found.st_dev == device
            and found.st_uid in allowed
            and not name.startswith(OWN_PREFIX)
        ):
            yield Seen(prefix + name, pack_file(found))
            continue
        path = prefix + name
        seen = _look(path, name, found, fd, device, rules, links)
        if mode & _TYPE != stat.S_IFDIR or seen.reason:
            yield seen
            continue
        below = _enter(fd, name, path, depth)
        if isinstance(below, _Folder):
            yield seen
            return below
        if below is not None:
            yield _skipped(path, seen.stat, *below)
    return None


def _open_root(root_fd: int) -> _Folder:
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        return _Folder(fd, b"")
    except OSError as error:
        os.close(fd)
        raise ScanFailed(f"the domain's folder cannot be listed: {error.strerror}") from error


def _enter(dir_fd: int, name: bytes, path: bytes, depth: int) -> _Folder | tuple[SkipReason, str] | None:
    """Open a folder and list it; else say why not (None when it is gone)."""
    if depth >= MAX_DEPTH:
        return SkipReason.TOO_DEEP, f"more than {MAX_DEPTH} folders deep"
    try:
        fd = open_beneath(dir_fd, name, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        if error.errno == errno.EXDEV:
            return SkipReason.OTHER_FILESYSTEM, "mount point"
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return SkipReason.TOO_DEEP, error.strerror or ""
        return SkipReason.UNREADABLE, error.strerror or ""
    try:
        return _Folder(fd, path)
    except OSError as error:
        os.close(fd)
        return SkipReason.UNREADABLE, error.strerror or ""


def _look(
    path: bytes,
    name: bytes,
    found: os.stat_result,
    dir_fd: int,
    device: int,
    rules: ScanRules,
    links: LinkCounts,
) -> Seen:
    """Return what is known of a path without opening it."""
    mode, packed = found.st_mode, rules.pack(found)
    if name.startswith(OWN_PREFIX):
        return _skipped(path, packed, SkipReason.OWN_FOLDER, "")
    if path in rules.nested_roots:
        return _skipped(path, packed, SkipReason.NESTED_ROOT, "the folder of another domain")
    if (why := rules.left_out.why(path, name, found, dir_fd)) is not None:
        return _skipped(path, packed, SkipReason.EXCLUDED, why)
    if found.st_dev != device:
        return _skipped(path, packed, SkipReason.OTHER_FILESYSTEM, "mount point")
    if stat.S_ISREG(mode):
        if found.st_uid not in rules.allowed_uids:
            return _skipped(path, packed, SkipReason.FOREIGN_OWNER, f"uid {found.st_uid}")
        if found.st_nlink > 1:
            links.note(found)
        return Seen(path, packed)
    if stat.S_ISDIR(mode):
        return Seen(path, packed)
    if stat.S_ISLNK(mode):
        try:
            return Seen(path, packed, os.readlink(name, dir_fd=dir_fd))
        except OSError as error:
            return _skipped(path, packed, SkipReason.VANISHED, error.strerror or "")
    return _skipped(path, packed, _SPECIAL.get(stat.S_IFMT(mode), SkipReason.DEVICE), "")


def _skipped(path: bytes, packed: bytes, reason: SkipReason, detail: str) -> Seen:
    return Seen(path, packed, b"", reason.value, detail)


@dataclass(slots=True)
class ScanCounts:
    """Sums over one scan."""

    started_at_ns: int
    file_count: int = 0
    directory_count: int = 0
    link_count: int = 0
    size_bytes: int = 0
    changed_last_24_hours: int = 0
    newest_mtime_ns: int = 0
    newest_ctime_ns: int = 0
    skipped: SkippedCollector = field(default_factory=SkippedCollector)

    def add(self, seen: Seen) -> None:
        """Count one path."""
        if seen.reason:
            self.skipped.add(seen.path, SkipReason(seen.reason), seen.detail)
            return
        mode, _, _, _, size, mtime_ns, ctime_ns, _, _ = STAT.unpack(seen.stat)
        if mode & _TYPE == stat.S_IFREG:
            self.file_count += 1
            self.size_bytes += size
            if mtime_ns > self.newest_mtime_ns:
                self.newest_mtime_ns = mtime_ns
            if ctime_ns > self.newest_ctime_ns:
                self.newest_ctime_ns = ctime_ns
            self.changed_last_24_hours += mtime_ns >= self.started_at_ns - _DAY_NS
        elif stat.S_ISDIR(mode):
            self.directory_count += 1
        else:
            self.link_count += 1

    def summary(self, seconds: float, changes: Changes, excluded: Excluded) -> ScanSummary:
        """Return the sums as the rest of the product sees them."""
        return ScanSummary(
            started_at_ns=self.started_at_ns,
            seconds=seconds,
            file_count=self.file_count,
            directory_count=self.directory_count,
            link_count=self.link_count,
            size_bytes=self.size_bytes,
            changed_last_24_hours=self.changed_last_24_hours,
            newest_mtime_ns=self.newest_mtime_ns,
            changes=changes,
            skipped=self.skipped.result(),
            excluded=excluded,
        )


def spooled(
    spool: Spool,
    counts: ScanCounts,
    root_fd: int,
    rules: ScanRules,
    links: LinkCounts,
    advanced: Callable[[int, int], None],
) -> Iterator[Seen]:
    """Walk the tree into the spool and the sums, and yield it on. `advanced` hears (paths, bytes) now and then."""
    spool.restart()
    for number, seen in enumerate(walk(root_fd, rules, links)):
        counts.add(seen)
        spool.append(seen)
        if number % _PROGRESS_EVERY == 0:
            advanced(number, counts.size_bytes)
        yield seen
    spool.flush()

"""The archives that an administrator names for an import: found, opened through no link, and never changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from smartbackup_panel.core.errors import (
    ArchiveDamaged,
    ArchiveRefused,
    MissingDocumentRoot,
    SmartBackupError,
    UnsafePath,
    WrongUsage,
)
from smartbackup_panel.core.import_sources import (
    META_BYTES,
    Moment,
    OriginalMeta,
    SourceKind,
    SourceName,
    moment_of,
    read_meta,
    read_name,
)
from smartbackup_panel.core.model import Domain
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.fsafe import closing, open_folder

ORIGINAL_ROOT = "/opt/rocketvps/backups"
"""Where the original design keeps its archives."""

MOST_SOURCES = 10_000
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One archive or dump. `named` is what its name says, `meta` what the original's `.meta` beside it says."""

    folder: str
    name: str
    named: SourceName
    meta: OriginalMeta
    made: Moment

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)

    @property
    def kind(self) -> SourceKind:
        return self.named.kind

    def row(self) -> dict[str, object]:
        """Return what an import says of it before anything was done."""
        return {
            "source": self.path,
            "kind": self.kind.value,
            "created_at": self.made.at.isoformat(),
            "time_from": self.made.source,
            "state": "refused",
        }


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source while it is read. `sha256` is of all its bytes, `list_fd` its list of changed files if it has one."""

    fd: int
    sha256: str
    facts: tuple[int, ...]
    list_fd: int | None = None

    def refuse_changed(self, name: str) -> None:
        """Raise ArchiveDamaged where the file was written to since it was opened."""
        if _facts(os.fstat(self.fd)) != self.facts:
            raise ArchiveDamaged(
                f"{name} was changed while it was read", hint="Import it again when nothing writes to it."
            )


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The archives and dumps of the domain's own points, and the folder of the store where they are."""

    folder: str
    names: frozenset[str]

    def lie_in(self, folder_fd: int) -> bool:
        """Return whether an open folder is the store's."""
        return os.path.isdir(self.folder) and os.path.samestat(os.stat(self.folder), os.fstat(folder_fd))


def default_places(store_folder: str, domain: Domain) -> list[str]:
    """Return the folders that are looked through when none is named. Raises WrongUsage where there are none."""
    places = [store_folder, os.path.join(ORIGINAL_ROOT, domain.name)]
    found = [place for place in places if os.path.isdir(place)]
    if not found:
        raise WrongUsage(f"there is no {places[1]}", hint="Name the folder or the files to import.")
    return found


def find_sources(
    places: Iterable[str], domain: Domain, own: OwnFiles
) -> tuple[list[Source], list[tuple[str, SmartBackupError]]]:
    """Return what there is to import, oldest first, and what cannot be opened with the reason.

    A folder stands for the archives and dumps in it, or in its folder of the domain's name.
    """
    found: dict[str, Source] = {}
    refused: list[tuple[str, SmartBackupError]] = []
    for place in places:
        try:
            for source in _sources_of(place, domain, own):
                found[source.path] = source
        except SmartBackupError as error:
            refused.append((place, error))
        except OSError as error:
            refused.append((place, ArchiveDamaged(f"{place} cannot be read: {error.strerror}")))
    if len(found) > MOST_SOURCES:
        raise WrongUsage(f"{len(found)} files are too many for one import", hint=f"Import {MOST_SOURCES} at a time.")
    return sorted(found.values(), key=lambda source: (source.made.at, source.path)), refused


@contextmanager
def opened(source: Source, domain: Domain, key: bytes) -> Iterator[OpenSource]:
    """Give a source's open file, its checksum, and its list of changed files. Raises ArchiveRefused, ArchiveDamaged.

    An archive of this product that is signed with `key` is refused: the store's points are recorded by other means. One of
    another installation, whose key is not there any more, is a tar like any other.
    """
    with closing(_open_place(source.folder)) as folder_fd, closing(_open_file(folder_fd, source.name, domain)) as fd:
        facts, sha256 = _facts(os.fstat(fd)), _sha256(fd, source.name)
        if _is_signed_with(key, fd, source.name):
            hint = "`smartbackup rebuild-catalog` records the points of a store; `tar` unpacks such an archive too."
            raise ArchiveRefused(f"{source.name} is an archive of this installation", hint=hint)
        if source.meta.sha256 and source.meta.sha256 != sha256:
            raise ArchiveDamaged(f"{source.name} is not what was written: its .meta has another checksum")
        if source.meta.domain not in ("", domain.name, domain.display_name):
            raise ArchiveRefused(f"{source.name} belongs to {source.meta.domain!r} by its .meta")
        list_fd = _open_list(source, domain)
        try:
            yield OpenSource(fd, sha256, facts, list_fd)
        finally:
            if list_fd is not None:
                os.close(list_fd)


def _is_signed_with(key: bytes, fd: int, name: str) -> bool:
    try:
        ArchiveFile(os.dup(fd), name, key).close()
    except (ArchiveDamaged, ArchiveRefused):
        return False
    return True


def _sources_of(place: str, domain: Domain, own: OwnFiles) -> Iterator[Source]:
    folder, name = os.path.split(place.rstrip("/") or "/")
    with closing(_open_place(folder)) as folder_fd:
        try:
            kind = os.stat(name or ".", dir_fd=folder_fd, follow_symlinks=False).st_mode
        except FileNotFoundError as error:
            raise MissingDocumentRoot(f"{place} does not exist", hint="Name a folder or file that is there.") from error
        if stat.S_ISLNK(kind):
            raise UnsafePath(f"{place} is a link", hint="Name the folder or file that it leads to.")
        if not stat.S_ISDIR(kind):
            if read_name(name) is None:
                raise ArchiveRefused(f"{name} is no .tar.gz archive and no dump", hint="Its name says what a file is.")
            yield _source(folder, folder_fd, name)
            return
    with closing(_open_place(place)) as place_fd:
        names = sorted(os.listdir(place_fd))
        if domain.name in names and stat.S_ISDIR(os.stat(domain.name, dir_fd=place_fd, follow_symlinks=False).st_mode):
            yield from _sources_of(os.path.join(place, domain.name), domain, own)
            return
        ours = own.names if own.lie_in(place_fd) else frozenset()
        for each in names:
            if each not in ours and read_name(each) is not None:
                yield _source(place, place_fd, each)


def _source(folder: str, folder_fd: int, name: str) -> Source:
    named = read_name(name)
    assert named is not None, "asked before"
    meta = read_meta(_small_file(folder_fd, f"{name}.meta"))
    modified = datetime.fromtimestamp(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mtime, UTC)
    return Source(folder, name, named, meta, moment_of(named, meta, modified))


def _open_place(path: str) -> int:
    """Return a descriptor of a folder, on the way to which only links of root are followed. Raises UnsafePath."""
    try:
        return open_folder(path)
    except PermissionError as error:
        raise UnsafePath(f"{path} cannot be opened: {error.strerror}") from error


def _open_file(folder_fd: int, name: str, domain: Domain) -> int:
    """Return a regular file that the domain's customer may have the content of. Raises ArchiveRefused.

    In a folder that others may write to it has to be the domain's own user's, with no other name: somebody could have linked
    a file there that its reader may see and the customer may not.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    except OSError as error:
        raise ArchiveRefused(
            f"{name} cannot be opened: {error.strerror}", hint="Name the file itself, not a link."
        ) from error
    found, folder = os.fstat(fd), os.fstat(folder_fd)
    reason = ""
    if not stat.S_ISREG(found.st_mode):
        reason = f"{name} is no regular file"
    elif not _is_ours_alone(folder) and (found.st_uid not in (domain.owner_uid, os.geteuid()) or found.st_nlink != 1):
        reason = f"{name} lies in a folder that others may write to and is not the domain's own"
    if reason:
        os.close(fd)
        raise ArchiveRefused(
            reason, hint="Copy it into a folder that only root may write to, and import it from there."
        )
    return fd


def _is_ours_alone(folder: os.stat_result) -> bool:
    return folder.st_uid in (0, os.geteuid()) and not folder.st_mode & 0o022


def _open_list(source: Source, domain: Domain) -> int | None:
    """Return the original's list of the files that an increment holds, None where there is none."""
    if source.kind is not SourceKind.INCREMENTAL or source.named.local_time is None:
        return None
    folder = os.path.join(os.path.dirname(source.folder), ".incremental", os.path.basename(source.folder))
    try:
        with closing(open_folder(folder)) as folder_fd:
            return _open_file(folder_fd, f"changed_files_{source.named.local_time:%Y%m%d_%H%M%S}.txt", domain)
    except (MissingDocumentRoot, UnsafePath, ArchiveRefused, PermissionError):
        return None


def _small_file(folder_fd: int, name: str) -> bytes:
    """Return the beginning of a small regular file, b"" where there is none."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    except OSError:
        return b""
    with closing(fd):
        return os.read(fd, META_BYTES + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _sha256(fd: int, name: str) -> str:
    """Return the checksum of a whole file, which is read from its beginning again afterwards. Raises ArchiveDamaged."""
    digest = hashlib.sha256()
    try:
        while piece := os.read(fd, _READ_BYTES):
            digest.update(piece)
    except OSError as error:
        raise ArchiveDamaged(f"{name} cannot be read: {error.strerror}") from error
    os.lseek(fd, 0, os.SEEK_SET)
    return digest.hexdigest()

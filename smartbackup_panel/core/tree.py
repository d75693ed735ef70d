"""What the engine is told and what it answers: trees, points, archives and restores as plain values.

Paths are bytes relative to the domain's folder, without a leading "./"; the folder itself is b"". Times are nanoseconds
since the epoch (`_ns`) or aware UTC datetimes (`_at`), sizes are bytes, durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PointKind(StrEnum):
    """How a point relates to earlier ones; its list of paths is complete in every kind."""

    FULL = "full"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"


class Codec(StrEnum):
    """How frames are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


class EntryType(StrEnum):
    """What a path is. SKIPPED paths are listed with their reason and never offered for restore."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """Why a path was left out of a point."""

    FIFO = "fifo"
    SOCKET = "socket"
    DEVICE = "device"
    FOREIGN_OWNER = "foreign_owner"
    FOREIGN_LINKS = "foreign_links"
    OTHER_FILESYSTEM = "other_filesystem"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    EXCLUDED = "excluded"
    NESTED_ROOT = "nested_root"
    OWN_FOLDER = "own_folder"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"

    @property
    def is_loss(self) -> bool:
        """Whether something a customer may want back is missing (the point is then `partial`)."""
        return self in _LOSSES


_LOSSES = frozenset(
    {
        SkipReason.FOREIGN_OWNER,
        SkipReason.FOREIGN_LINKS,
        SkipReason.OTHER_FILESYSTEM,
        SkipReason.UNREADABLE,
        SkipReason.TOO_DEEP,
        SkipReason.TOO_LARGE,
    }
)


class RestoreMode(StrEnum):
    """EXACT: the tree becomes the point. MERGE: files that the point does not have stay."""

    EXACT = "exact"
    MERGE = "merge"


class AgentPurpose(StrEnum):
    """What an agent may need; a child that keeps uid 0 gets only the capabilities of its purpose."""

    READ = "read"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Tenant:
    """The user an agent becomes. `web_uids` are the web users whose files also count (PHP's uploads), `web_gids` theirs."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    web_uids: tuple[int, ...] = ()
    web_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is. Totals are None until they are known."""

    step: str
    files_done: int
    bytes_done: int
    files_total: int | None = None
    bytes_total: int | None = None


@dataclass(frozen=True, slots=True)
class NameList:
    """How many paths there are, and the first of them in path order (at most a thousand)."""

    count: int = 0
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that was left out, and why. `detail` is the system's own word, for example "Permission denied"."""

    path: bytes
    reason: SkipReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SkippedList:
    """How many paths were left out, the first of them (at most a thousand), and how many of each reason."""

    count: int = 0
    first: tuple[Skipped, ...] = ()
    reasons: dict[SkipReason, int] = field(default_factory=dict)

    @property
    def loss_count(self) -> int:
        """How many of them make the point `partial`."""
        return sum(count for reason, count in self.reasons.items() if reason.is_loss)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from an earlier point: everything but folders."""

    added: NameList = NameList()
    changed: NameList = NameList()
    removed: NameList = NameList()


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What a scan leaves out.

    `exclude` are lines in gitignore syntax; `nested_roots` are folders of other domains below this one. With `rebuildable`
    folders that a lock file beside them makes again (`vendor`, `node_modules`) are left out too.
    """

    exclude: tuple[str, ...] = ()
    nested_roots: tuple[bytes, ...] = ()
    rebuildable: bool = False


@dataclass(frozen=True, slots=True)
class ExcludedPath:
    """A path that a rule left out, with the files in it."""

    path: bytes
    file_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Excluded:
    """What rules left out: paths that were not entered, the files in them, and the first of them.

    `is_complete` is false where there was too much to count: the sums are then lower bounds.
    """

    path_count: int = 0
    file_count: int = 0
    size_bytes: int = 0
    first: tuple[ExcludedPath, ...] = ()
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """One pass over a domain's folder. `changes` compares with the earlier point that was given, else all is added."""

    started_at_ns: int
    seconds: float
    file_count: int
    directory_count: int
    link_count: int
    size_bytes: int
    changed_last_24_hours: int
    newest_mtime_ns: int
    changes: Changes
    skipped: SkippedList
    excluded: Excluded = Excluded()


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How the point of the last scan is written. `point_id` has 16 bytes.

    `level`: gzip 1 to 9, zstd 1 to 19. `read_again` reads and hashes also what looks unchanged.
    `is_synthetic`: a full point takes over from the earlier one what looks unchanged, frame by frame, without reading it.
    """

    kind: PointKind
    point_id: bytes
    created_at: datetime
    codec: Codec = Codec.GZIP
    level: int = 6
    threads: int = 0
    read_again: bool = False
    is_synthetic: bool = False


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """A written archive. `original_bytes` counts the content of all files of the point, `stored_bytes` what was read
    and stored by this archive; `file_count` counts files and hard links. `changes.changed` holds only what really
    differs (content, type, mode, owner or time); `unstable` are files that changed during each of four reads.
    `silent` are files whose content differs from the earlier point's although no fact of them does.
    `is_unchanged`: nothing differs from the point it builds on, whose list of paths it shares.
    """

    kind: PointKind
    point_id: bytes
    archive_bytes: int
    archive_sha256: bytes
    root_digest: bytes
    parent_digest: bytes | None
    original_bytes: int
    stored_bytes: int
    entry_count: int
    file_count: int
    changes: Changes
    skipped: SkippedList
    unstable: NameList
    silent: NameList
    is_unchanged: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """Everything was read back and equals what the scan read (damage raises ArchiveDamaged instead)."""

    archive_count: int
    frame_count: int
    file_count: int
    read_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TarSurvey:
    """What a plain tar of somebody holds of a domain: files (links included) and their bytes.

    `strip` is the archive's folder that is the domain's, `elsewhere_count` what lies outside of it. Of a list of changed
    files `listed_count` were looked for and `absent` are not in the archive.
    """

    file_count: int
    size_bytes: int
    strip: bytes
    elsewhere_count: int
    listed_count: int
    absent: NameList


@dataclass(frozen=True, slots=True)
class UnpackSummary:
    """What was unpacked from a plain tar; `warnings` are sentences."""

    file_count: int
    size_bytes: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a point. `sha256` is None where there is no content; `link` is a symlink's text or, of a hard link,
    the path it shares its content with.
    """

    path: bytes
    type: EntryType
    mode: int
    uid: int
    gid: int
    user: str
    group: str
    size: int
    mtime_ns: int
    sha256: bytes | None = None
    link: bytes = b""
    reason: SkipReason | None = None
    detail: str = ""
    unstable: bool = False


@dataclass(frozen=True, slots=True)
class PointFacts:
    """What an archive's footer says of its point."""

    kind: PointKind
    codec: Codec
    point_id: bytes
    created_at: datetime
    scan_started_at_ns: int
    root_digest: bytes
    parent_digest: bytes | None
    entry_count: int
    file_count: int
    original_bytes: int
    stored_bytes: int
    archive_bytes: int


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What is put back. `paths` empty: everything; else these paths and what is below them, all else stays as it is.

    `scan` says what the domain leaves out today: what is excluded is kept as it is in both modes.
    """

    mode: RestoreMode = RestoreMode.EXACT
    paths: tuple[bytes, ...] = ()
    scan: ScanOptions = ScanOptions()


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do to the live tree; folders are not counted.

    `not_kept` are live paths that can neither be restored nor carried over (FIFOs, sockets, unreadable files); after an
    exchange they are only in the undo. `bytes_needed` is the room that staging takes on the domain's filesystem.
    `obstacle` says in a sentence why the restore would be refused, "" when it would not.
    """

    added: NameList
    replaced: NameList
    removed: NameList
    kept: NameList
    unchanged_count: int
    not_kept: SkippedList
    restored_bytes: int
    bytes_needed: int
    bytes_free: int
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What was written. `warnings` are sentences for the page."""

    restored_files: int
    restored_bytes: int
    kept_files: int
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Staging:
    """A staged tree beside the live one, and all that is needed to finish or roll back after a crash.

    Write it into the journal before the swap. `live_inode` is None when the domain's folder is missing; inode numbers
    belong to `device`. `by_worker` says who may change names in the parent folder. A `staged_inode` of 0, which no
    folder has, announces a staging folder that is about to be made: it is empty, or not there.
    """

    parent: str
    name: str
    staging_name: str
    device: int
    staged_inode: int
    live_inode: int | None
    by_worker: bool


class SwapState(StrEnum):
    """Where a restore stands, told by inode numbers alone."""

    OLD = "old"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class DumpSection:
    """A named part of a dump; `sha256` is of its plain bytes."""

    name: str
    frame: int
    frame_count: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class DumpSummary:
    """A written dump. `plain_sha256` is of the whole SQL text, `dump_sha256` of the compressed file."""

    dump_bytes: int
    plain_bytes: int
    plain_sha256: bytes
    dump_sha256: bytes
    sections: tuple[DumpSection, ...]
    seconds: float


class ExportFormat(StrEnum):
    """How paths of a point are downloaded: one file as it is, or files and folders in an archive."""

    FILE = "file"
    TAR_GZ = "tar.gz"
    ZIP = "zip"


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What a download holds: files and links, bytes of their content, and how many paths the point had left out.

    Of a damaged point `lost` are the files whose bytes are not what was backed up, which are not in it, and
    `unlisted_count` paths are not known any more, because a part of the point's list is damaged.
    """

    file_count: int
    size_bytes: int
    skipped_count: int
    lost: NameList = NameList()
    unlisted_count: int = 0


class TextDiffState(StrEnum):
    """Whether two contents could be compared line by line."""

    TEXT = "text"
    SAME = "same"
    BINARY = "binary"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line: kind "-" is only in the older text, "+" only in the newer, " " in both, "@" begins a place further on.

    Numbers of lines count from 1.
    """

    kind: str
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class TextDiff:
    """What changed inside a text; `is_cut` when only the first lines are here."""

    state: TextDiffState
    lines: tuple[DiffLine, ...] = ()
    is_cut: bool = False

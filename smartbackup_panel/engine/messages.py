"""What the worker and an agent say to each other. Archives and folders travel as descriptors beside the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from smartbackup_panel.core.tree import (
    AgentPurpose,
    ExportFormat,
    Progress,
    RestoreOptions,
    ScanOptions,
    Staging,
    Tenant,
    WriteOptions,
)


class Hello(msgspec.Struct, tag=True, frozen=True):
    """The first message to an agent, with the spool's descriptor and that of the socket to its steward, if it has one.

    `parent_pid` must still be its parent.
    """

    root: str
    tenant: Tenant | None
    purpose: AgentPurpose
    parent_pid: int
    allowed_uids: tuple[int, ...]


class Scan(msgspec.Struct, tag=True, frozen=True):
    """Walk the folder; descriptors: the archives of the earlier point, if any."""

    options: ScanOptions
    earlier: list[str]


class Compare(msgspec.Struct, tag=True, frozen=True):
    """Compare the last scan; descriptors: the archives of the earlier point, if any."""

    earlier: list[str]


class Write(msgspec.Struct, tag=True, frozen=True):
    """Write the last scan as a point; descriptors: the archives of the earlier point, if any."""

    options: WriteOptions
    earlier: list[str]


class CopyPoint(msgspec.Struct, tag=True, frozen=True):
    """Write a point again as a full one, out of its archives; descriptors: these archives."""

    archives: list[str]
    options: WriteOptions


class Verify(msgspec.Struct, tag=True, frozen=True):
    """Read back, or of so many files a sample (0: every byte); descriptors: the point's archives."""

    archives: list[str]
    whole_chain: bool
    sample_files: int = 0


class Inspect(msgspec.Struct, tag=True, frozen=True):
    """Find the application in the folder."""


class ReadFile(msgspec.Struct, tag=True, frozen=True):
    """Write one file's content; descriptors: the point's archives, then the output."""

    archives: list[str]
    path: bytes


class Export(msgspec.Struct, tag=True, frozen=True):
    """Write paths as a download; descriptors: the point's archives, then the output. `may_lose`: without damaged files."""

    archives: list[str]
    paths: list[bytes]
    format: ExportFormat
    limit_bytes: int
    may_lose: bool = False


class DiffText(msgspec.Struct, tag=True, frozen=True):
    """Compare a text with that of a point; descriptors: the point's archives, then the older text."""

    archives: list[str]
    path: bytes


class Plan(msgspec.Struct, tag=True, frozen=True):
    """Plan a restore; descriptors: the point's archives, then a folder on the filesystem to write to if not beside the site."""

    archives: list[str]
    options: RestoreOptions
    elsewhere: bool


class Stage(msgspec.Struct, tag=True, frozen=True):
    """Fill a folder; descriptors: the point's archives, then the folder unless it lies in the tenant's own parent folder.

    Without `staging` the folder stands alone: the live tree does not count, and what is in the way is replaced.
    """

    archives: list[str]
    options: RestoreOptions
    staging: Staging | None


class MakeStaging(msgspec.Struct, tag=True, frozen=True):
    """Make a staging folder in the tenant's own parent folder."""

    staging_name: str


class Exchange(msgspec.Struct, tag=True, frozen=True):
    """Swap (or swap back) in the tenant's own parent folder."""

    staging: Staging
    is_back: bool


class SwapState(msgspec.Struct, tag=True, frozen=True):
    """Say which tree is live, in the tenant's own parent folder."""

    staging: Staging


class RemoveTree(msgspec.Struct, tag=True, frozen=True):
    """Empty the folder whose descriptor comes along; without one remove `staging` from the tenant's own parent folder."""

    staging: Staging | None


class UseFolder(msgspec.Struct, tag=True, frozen=True):
    """From now on the domain's folder is the one whose descriptor comes last, which no path may lead to.

    Descriptors before it: the archives of the point that was made of just the files that it holds, if any.
    """

    archives: list[str]


class SurveyTar(msgspec.Struct, tag=True, frozen=True):
    """Look through a plain tar; descriptors: the archive, then its list of changed files if there is one."""

    name: str
    root: bytes
    names: list[bytes]
    strip: bytes | None


class UnpackTar(msgspec.Struct, tag=True, frozen=True):
    """Unpack a plain tar into the folder, which is empty unless `may_replace`; descriptor: the archive."""

    name: str
    strip: bytes
    may_replace: bool


class Stop(msgspec.Struct, tag=True, frozen=True):
    """End."""


Request = (
    Hello
    | Scan
    | Compare
    | Write
    | CopyPoint
    | Verify
    | Inspect
    | ReadFile
    | Export
    | DiffText
    | Plan
    | Stage
    | MakeStaging
    | Exchange
    | SwapState
    | RemoveTree
    | UseFolder
    | SurveyTar
    | UnpackTar
    | Stop
)


class Advanced(msgspec.Struct, tag=True, frozen=True):
    """A step is under way."""

    progress: Progress


class Frame(msgspec.Struct, tag=True, frozen=True):
    """A finished frame; `sha256` is of its packed bytes."""

    packed: memoryview
    plain_bytes: int
    sha256: bytes


class CopyFrame(msgspec.Struct, tag=True, frozen=True):
    """Take over a frame of one of the earlier point's archives, by its number in the table, as it is."""

    archive: int
    frame: int


class Mark(msgspec.Struct, tag=True, frozen=True):
    """A place that a later Rollback may return to."""


class Rollback(msgspec.Struct, tag=True, frozen=True):
    """Forget the frames since the last Mark."""


class Block(msgspec.Struct, tag=True, frozen=True):
    """A finished index block."""

    first_path: bytes
    packed: bytes
    plain_bytes: int
    entry_count: int


class Done(msgspec.Struct, tag=True, frozen=True):
    """The result of a request, of the type that the request has."""

    result: msgspec.Raw


class Failed(msgspec.Struct, tag=True, frozen=True):
    """A request failed: an error of the product's tree by its code."""

    code: str
    message: str
    hint: str


Event = Advanced | Frame | CopyFrame | Mark | Rollback | Block | Done | Failed

# msgspec accepts a union of structures where mypy wants a class, hence Any.
_requests: Any = Request
_events: Any = Event
decode_request: Callable[[bytearray], Request] = msgspec.msgpack.Decoder(_requests).decode
decode_event: Callable[[bytearray], Event] = msgspec.msgpack.Decoder(_events).decode
decode_hello: Callable[[bytearray], Hello] = msgspec.msgpack.Decoder(Hello).decode

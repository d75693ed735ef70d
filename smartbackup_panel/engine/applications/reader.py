"""How a domain's folder is read: by the agent, as the tenant, inside that folder alone."""

from __future__ import annotations

import time
from typing import Protocol

CONFIG_LIMIT_BYTES = 256 * 1024
PARSE_LIMIT_SECONDS = 0.8
READ_LIMIT_BYTES = 1024 * 1024


class Reader(Protocol):
    """Bounded access to one domain's folder; paths are relative to it, without `..`."""

    def read(self, rel_path: bytes, limit_bytes: int) -> bytes | None:
        """Return a regular file's bytes; None when absent, a link out, not regular, unreadable or longer than the limit."""

    def names(self, rel_path: bytes) -> list[bytes]:
        """Return the names in a folder (b"" is the domain's own); empty where there is no such folder."""


class BoundedReader:
    """A reader for one detection as a whole: 1 MB of files and 0.8 s of parsing, whatever the tenant put there."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._left_bytes = READ_LIMIT_BYTES
        self._deadline = time.monotonic() + PARSE_LIMIT_SECONDS

    def read(self, rel_path: bytes, limit_bytes: int) -> bytes | None:
        raw = self._reader.read(rel_path, min(limit_bytes, self._left_bytes))
        self._left_bytes -= len(raw or b"")
        return raw

    def names(self, rel_path: bytes) -> list[bytes]:
        return self._reader.names(rel_path)

    @property
    def seconds_left(self) -> float:
        """The time that is left for parsing."""
        return max(self._deadline - time.monotonic(), 0.0)


def joined(folder: bytes, name: bytes) -> bytes:
    """Return the relative path of a name in a folder."""
    return folder + b"/" + name if folder else name


def decoded(raw: bytes) -> str | None:
    """Return the text of a configuration file; None for what is not UTF-8 or holds NUL bytes (UTF-16, binary)."""
    if b"\0" in raw:
        return None
    try:
        # Not "utf-8-sig": its codec would be imported here, where the tenant may not read the interpreter's own files.
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        return None

"""How a domain's folder is read: by the agent, as the tenant, inside that folder alone."""

from __future__ import annotations

from typing import Protocol

CONFIG_LIMIT_BYTES = 256 * 1024
PARSE_LIMIT_SECONDS = 0.8


class Reader(Protocol):
    """Bounded access to one domain's folder; paths are relative to it, without `..`."""

    def read(self, rel_path: bytes, limit_bytes: int) -> bytes | None:
        """Return a regular file's bytes; None when absent, a link out, not regular, unreadable or longer than the limit."""

    def names(self, rel_path: bytes) -> list[bytes]:
        """Return the names in a folder (b"" is the domain's own); empty where there is no such folder."""


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

"""Names that others chose, in messages that people read."""

from __future__ import annotations

_MOST_BYTES = 200


def quoted(name: bytes) -> str:
    """Return a path or name in quotes, its end cut off where it is long.

    Nothing in it can act on a terminal, break a line of a log or pass for another name: what cannot be printed, and bytes
    that are no UTF-8, are spelled out (SECURITY rule 8).
    """
    text = name[:_MOST_BYTES].decode("utf-8", "backslashreplace")
    plain = "".join([letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text])
    return f"'{plain}'" if len(name) <= _MOST_BYTES else f"'{plain}…'"

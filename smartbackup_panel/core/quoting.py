"""Names that others chose, in messages that people read."""

from __future__ import annotations

_MOST_BYTES = 200


def quoted(name: bytes) -> str:
    """Return a path or name in quotes, its end cut off where it is long.

    Nothing in it can act on a terminal, break a line of a log or pass for another name: what cannot be printed, and bytes
    that are no UTF-8, are spelled out (SECURITY rule 8).
    """
    plain = printable(name[:_MOST_BYTES].decode("utf-8", "backslashreplace"))
    return f"'{plain}'" if len(name) <= _MOST_BYTES else f"'{plain}…'"


def printable(text: str) -> str:
    """Return a text in which everything that cannot be printed, line ends included, is spelled out."""
    if text.isprintable():
        return text
    return "".join([letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text])

"""Names that others chose, in messages that people read."""

from __future__ import annotations

_MOST_BYTES = 200
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(name: bytes) -> str:
    """Return a path or name in quotes, its end cut off where it is long.

    Nothing in it can act on a terminal, break a line of a log or pass for another name: what cannot be printed, and bytes
    that are no UTF-8, are spelled out (SECURITY rule 8).
    """
    plain = printable(name[:_MOST_BYTES].decode("utf-8", "backslashreplace"))
    return f"'{plain}'" if len(name) <= _MOST_BYTES else f"'{plain}…'"


def printable(text: str) -> str:
    """Return a text in which everything that cannot be printed, line ends included, is spelled out."""
    return text if text.isprintable() else "".join([_spelled(letter) for letter in text])


def _spelled(letter: str) -> str:
    """Return a letter, or its number where it cannot be printed. Without a codec: an agent may import none any more."""
    if letter.isprintable():
        return letter
    number = ord(letter)
    return _SHORT.get(letter) or (
        f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    )

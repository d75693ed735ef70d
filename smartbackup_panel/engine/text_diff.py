"""What changed inside a text file between two points, line by line, for a person to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from smartbackup_panel.core.tree import DiffLine, EntryType, TextDiff, TextDiffState
from smartbackup_panel.engine.archive_reader import ArchiveSet, with_holes
from smartbackup_panel.engine.entries import entry_type, unpack_stat

MAX_DIFF_BYTES = 512 * 1024
_MAX_LINES = 5_000
"""Comparing lines takes time in the square of their number."""

_SHOWN_LINES = 2_000
_SHOWN_LETTERS = 1_000
_AROUND = 3


def diff_text(before: bytes, newer: ArchiveSet, path: bytes) -> TextDiff:
    """Return how `before` became the text at `path` of a point; where it has no file there, that counts as empty."""
    entry = newer.find_index_entry(path)
    after = b""
    if entry is not None and entry_type(entry) in (EntryType.FILE, EntryType.HARDLINK):
        if unpack_stat(entry.stat).size > MAX_DIFF_BYTES:
            return TextDiff(TextDiffState.TOO_LARGE)
        after = b"".join(with_holes(entry, newer.checked_data(entry)))
    if before == after:
        return TextDiff(TextDiffState.SAME)
    if b"\0" in before or b"\0" in after:
        return TextDiff(TextDiffState.BINARY)
    old, new = _text(before).splitlines(), _text(after).splitlines()
    if max(len(old), len(new)) > _MAX_LINES or max(len(before), len(after)) > MAX_DIFF_BYTES:
        return TextDiff(TextDiffState.TOO_LARGE)
    lines = list(_lines(old, new))
    return TextDiff(TextDiffState.TEXT, tuple(lines[:_SHOWN_LINES]), len(lines) > _SHOWN_LINES)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _lines(before: list[str], after: list[str]) -> Iterator[DiffLine]:
    """Yield changed lines with three lines around them; kind "@" begins a place further on."""
    for group in difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(_AROUND):
        yield DiffLine("@", group[0][1] + 1, group[0][3] + 1, "")
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                for at in range(i2 - i1):
                    yield DiffLine(" ", i1 + at + 1, j1 + at + 1, before[i1 + at][:_SHOWN_LETTERS])
                continue
            for at in range(i1, i2):
                yield DiffLine("-", at + 1, None, before[at][:_SHOWN_LETTERS])
            for at in range(j1, j2):
                yield DiffLine("+", None, at + 1, after[at][:_SHOWN_LETTERS])

"""Patterns of what a domain leaves out, in gitignore syntax; anchored at the domain's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from smartbackup_panel.core.errors import BadSetting

MAX_LINES = 500
MAX_LINE_LENGTH = 500
_MAX_STARS = 3

IsExcluded = Callable[[bytes, bool], bool]


def compile_exclusions(lines: tuple[str, ...]) -> IsExcluded | None:
    """Return a function of (path, whether it is a folder), or None when nothing is excluded.

    Raises BadSetting for a line that is no pattern, leads out of the folder, or would make matching slow.
    """
    rules: list[tuple[bool, re.Pattern[str]]] = []
    if len(lines) > MAX_LINES:
        raise BadSetting(f"{len(lines)} exclusion patterns are more than {MAX_LINES}")
    for line in lines:
        rule = _compile_line(line)
        if rule is not None:
            rules.append(rule)
    if not rules:
        return None
    if all(excludes for excludes, _ in rules):
        return _match_any(re.compile("|".join(f"(?:{pattern.pattern})" for _, pattern in rules)))
    return _match_last(rules)


def _compile_line(line: str) -> tuple[bool, re.Pattern[str]] | None:
    problem = _find_problem(line)
    if problem:
        raise BadSetting(f"the exclusion pattern {line[:80]!r} {problem}")
    try:
        pattern = GitIgnoreSpecPattern(line)
    except ValueError as error:
        raise BadSetting(f"the exclusion pattern {line[:80]!r} is not valid: {error}") from error
    if pattern.include is None or pattern.regex is None:
        return None
    unnamed = re.sub(r"\(\?P<\w+>", "(?:", pattern.regex.pattern)
    return bool(pattern.include), re.compile(unnamed)


def _find_problem(line: str) -> str | None:
    if len(line) > MAX_LINE_LENGTH:
        return f"is longer than {MAX_LINE_LENGTH} characters"
    if any(ord(character) < 32 or ord(character) == 127 for character in line):
        return "holds a control character"
    names = line.lstrip("!").split("/")
    if ".." in names:
        return "leads out of the domain's folder"
    if any(name.replace("**", "*").count("*") > _MAX_STARS for name in names):
        return f"has more than {_MAX_STARS} stars between slashes"
    return None


def _match_any(pattern: re.Pattern[str]) -> IsExcluded:
    def is_excluded(path: bytes, is_folder: bool) -> bool:
        return pattern.match(os.fsdecode(path) + "/" * is_folder) is not None

    return is_excluded


def _match_last(rules: list[tuple[bool, re.Pattern[str]]]) -> IsExcluded:
    def is_excluded(path: bytes, is_folder: bool) -> bool:
        text = os.fsdecode(path) + "/" * is_folder
        for excludes, pattern in reversed(rules):
            if pattern.match(text):
                return excludes
        return False

    return is_excluded

"""Patterns of what a domain leaves out, in gitignore syntax; anchored at the domain's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from smartbackup_panel.core.errors import BadSetting

MAX_LINES = 200
MAX_LINE_LENGTH = 500
_MAX_STARS = 3
_MAX_DOUBLE_STARS = 2

_STARS = re.compile(r"(?:\[\^/\]\*){2,}")
_BETWEEN_STARS = re.compile(
    r"\[\^/\]\*((?:\\.|\[\^/\](?!\*)|\[(?!\^)(?:\\.|[^\]])+\](?!\*)|[^\\\[()/])+?)(?=\[\^/\]\*)"
)
"""A star, as pathspec writes it, and what stands between it and the next one in the same name (which `[!a]` may leave)."""

IsExcluded = Callable[[bytes, bool], bool]


class _Rule(NamedTuple):
    """One line: whether it excludes (or brings back), and what it matches: a name anywhere, or a whole path."""

    excludes: bool
    is_name: bool
    pattern: re.Pattern[str]


def compile_exclusions(lines: tuple[str, ...]) -> IsExcluded | None:
    """Return a function of (path, whether it is a folder), or None when nothing is excluded.

    It is for walks from the top that do not enter what is excluded: a line without a slash is compared with the last
    name alone, which is as good and much faster. Raises BadSetting for a line that is no pattern, leads out of the
    folder, or would make matching slow.
    """
    if len(lines) > MAX_LINES:
        raise BadSetting(f"{len(lines)} exclusion patterns are more than {MAX_LINES}")
    rules = [rule for line in lines if (rule := _compile_line(line)) is not None]
    if not rules:
        return None
    if all(rule.excludes for rule in rules):
        names = [rule.pattern.pattern for rule in rules if rule.is_name]
        paths = [rule.pattern.pattern for rule in rules if not rule.is_name]
        return _match_any(_either(names), _either(paths))
    return _match_last(rules)


def _compile_line(line: str) -> _Rule | None:
    problem = _find_problem(line)
    if problem:
        raise BadSetting(f"the exclusion pattern {line[:80]!r} {problem}")
    try:
        pattern = GitIgnoreSpecPattern(line)
    except (ValueError, re.error) as error:
        raise BadSetting(f"the exclusion pattern {line[:80]!r} is not valid: {error}") from error
    if pattern.include is None or pattern.regex is None:
        return None
    unnamed = re.sub(r"\(\?P<\w+>", "(?:", pattern.regex.pattern)
    is_name = "/" not in line.strip().removesuffix("/")
    return _Rule(bool(pattern.include), is_name, re.compile(without_retries(unnamed)))


def without_retries(expression: str) -> str:
    """Return an expression that matches the same names in linear time.

    What stands between two stars of a name may be taken where it first occurs: what the later star takes makes up for it.
    """
    return _BETWEEN_STARS.sub(r"(?>[^/]*?\1)", _STARS.sub("[^/]*", expression))


def _either(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


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
    if sum("**" in name for name in names) > _MAX_DOUBLE_STARS:
        return f"has more than {_MAX_DOUBLE_STARS} double stars"
    return None


def _match_any(names: re.Pattern[str] | None, paths: re.Pattern[str] | None) -> IsExcluded:
    def is_excluded(path: bytes, is_folder: bool) -> bool:
        text = os.fsdecode(path) + "/" * is_folder
        if names is not None and names.match(_last_name(text)) is not None:
            return True
        return paths is not None and paths.match(text) is not None

    return is_excluded


def _match_last(rules: list[_Rule]) -> IsExcluded:
    def is_excluded(path: bytes, is_folder: bool) -> bool:
        text = os.fsdecode(path) + "/" * is_folder
        name = _last_name(text)
        for rule in reversed(rules):
            if rule.pattern.match(name if rule.is_name else text):
                return rule.excludes
        return False

    return is_excluded


def _last_name(text: str) -> str:
    """Return the last name of a path, with the slash that says that it is a folder."""
    return text[text.rfind("/", 0, -1) + 1 :]

"""What exclusion patterns leave out, and which patterns are refused."""

from __future__ import annotations

import time

import pytest

from smartbackup_panel.core.errors import BadSetting
from smartbackup_panel.engine.exclusions import compile_exclusions


@pytest.mark.parametrize(
    ("lines", "path", "is_folder", "expected"),
    [
        (("*.log",), b"deep/debug.log", False, True),
        (("*.log",), b"debug.log.txt", False, False),
        (("/cache/",), b"cache", True, True),
        (("/cache/",), b"cache", False, False),
        (("/cache/",), b"src/cache", True, False),
        (("/cache/*",), b"cache", True, False),
        (("/cache/*",), b"cache/page.html", False, True),
        (("node_modules",), b"a/b/node_modules", True, True),
        (("*.log", "!keep.log"), b"keep.log", False, False),
        (("*.log", "!keep.log"), b"other.log", False, True),
        (("# a comment", "", "*.tmp"), b"x.tmp", False, True),
        (("caf\u00e9",), "caf\u00e9".encode(), False, True),
        (("*.bin",), b"\xff\xfe.bin", False, True),
        (("--to-command=id",), b"other", False, False),
    ],
)
def test_patterns_match_like_gitignore(lines: tuple[str, ...], path: bytes, is_folder: bool, expected: bool) -> None:
    is_excluded = compile_exclusions(lines)
    assert is_excluded is not None
    assert is_excluded(path, is_folder) is expected


def test_no_patterns_exclude_nothing() -> None:
    assert compile_exclusions(()) is None
    assert compile_exclusions(("", "# only a comment")) is None


@pytest.mark.parametrize(
    "line", ["../../", "a/../b", "line\nbreak", "\0", "*" * 10_000, "*a*a*a*a*a*a*a", "x" * 501, "[z-a]/\x7f"]
)
def test_bad_patterns_are_refused(line: str) -> None:
    with pytest.raises(BadSetting):
        compile_exclusions((line,))


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(BadSetting, match="501"):
        compile_exclusions(("x",) * 501)


def test_matching_is_quick() -> None:
    is_excluded = compile_exclusions(("*a*a*b", "/**/c/**/d", "*.log", "node_modules/"))
    assert is_excluded is not None
    started = time.process_time()
    for _ in range(50):
        is_excluded(b"a" * 255, False)
        is_excluded(b"wp-content/plugins/shop/includes/class-shop.php", False)
    assert time.process_time() - started < 10.0, "a pattern that tries every way of matching takes hours"

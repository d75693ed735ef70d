"""What exclusion patterns leave out, and which patterns are refused."""

from __future__ import annotations

import random
import re
import time

import pytest
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from smartbackup_panel.core.errors import BadSetting
from smartbackup_panel.engine.exclusions import compile_exclusions, without_retries


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
    """Linear: a hundred thousand of the longest names that nearly match, within the seconds that their bytes take (case T11)."""
    is_excluded = compile_exclusions(("*a*a*b", "*a?a*c", "*[a-z]*a*d", "*.log", "node_modules/"))
    assert is_excluded is not None
    took = []
    for _ in range(3):
        started = time.process_time()
        for _ in range(1_000):
            is_excluded(b"a" * 255, False)
            is_excluded(b"wp-content/plugins/shop/includes/class-shop.php", False)
        took.append(time.process_time() - started)
    assert min(took) < 0.1, "a hundredth of it, with a slow machine's time"


PIECES = ["a", "b", "*", "?", "[ab]", "[!a]", "/", "**/", "/**", "a*"]


@pytest.mark.parametrize("seed", range(200))
def test_an_expression_without_retries_matches_the_same(seed: int) -> None:
    chance = random.Random(seed)
    line = "".join(chance.choices(PIECES, k=chance.randrange(1, 8)))
    plain = GitIgnoreSpecPattern(line).regex
    if plain is None:
        return
    quick = re.compile(without_retries(plain.pattern))
    for _ in range(300):
        path = "".join(chance.choices("aab/", k=chance.randrange(1, 9))) + chance.choice(["", "/"])
        assert bool(quick.match(path)) == bool(plain.match(path)), (line, path, quick.pattern)

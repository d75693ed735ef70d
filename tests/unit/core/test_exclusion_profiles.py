"""The profiles: what each leaves out, and what it does not."""

from __future__ import annotations

import pytest

from smartbackup_panel.core.errors import WrongUsage
from smartbackup_panel.core.exclusions import FULL_LIST, Exclusions, Profile
from smartbackup_panel.engine.exclusions import compile_exclusions
from smartbackup_panel.services.exclusions import Site, find_critical

# The fifteen of the original, each with a path that it leaves out and one that it does not.
FIFTEEN = [
    ("*/cache/*", "a/cache/page.html", "a/cached/page.html"),
    ("*/tmp/*", "tmp/x", "a/tmpl/x"),
    ("*/temp/*", "a/b/temp/x", "template/x"),
    ("*/.cache/*", ".cache/pip/x", ".cached"),
    ("*/logs/*", "logs/access", "blogs/post"),
    ("*.log", "a/debug.log", "a/debug.log.php"),
    ("*/node_modules/*", "theme/node_modules/x/index.js", "node_modules.txt"),
    ("*/vendor/*", "vendor/autoload.php", "vendors/list.php"),
    ("*/.git/*", ".git/HEAD", ".gitignore"),
    ("*/wp-content/cache/*", "wp-content/cache/all/index.html", "wp-content/cache-enabler.php"),
    ("*/wp-content/uploads/cache/*", "blog/wp-content/uploads/cache/a.jpg", "wp-content/uploads/2026/a.jpg"),
    ("*/storage/framework/cache/*", "storage/framework/cache/data/1", "storage/framework/testing/1"),
    ("*/storage/framework/sessions/*", "app/storage/framework/sessions/abc", "storage/sessions/abc"),
    ("*/storage/framework/views/*", "storage/framework/views/1.php", "resources/views/1.php"),
    ("*/storage/logs/*", "storage/logs/laravel-2026.txt", "storage/app/logs.txt"),
]


def is_left_out(lines: tuple[str, ...], path: str) -> bool:
    """Return whether a walk from the top leaves out a file: its name, or a folder above it."""
    is_excluded = compile_exclusions(lines)
    names = path.split("/")
    return is_excluded is not None and any(
        is_excluded("/".join(names[:depth]).encode(), depth < len(names)) for depth in range(1, len(names) + 1)
    )


@pytest.mark.parametrize(("number", "row"), list(enumerate(FIFTEEN)), ids=[row[0] for row in FIFTEEN])
def test_each_of_the_fifteen_patterns(number: int, row: tuple[str, str, str]) -> None:
    original, left_out, kept = row
    assert FULL_LIST[number] == original.replace("*/", "**/", 1)
    assert is_left_out((FULL_LIST[number],), left_out)
    assert not is_left_out(FULL_LIST, kept)
    without = tuple(line for line in FULL_LIST if line != FULL_LIST[number])
    if number in (0, 1, 2, 3, 5, 6, 7, 8, 12, 13):
        assert not is_left_out(without, left_out), "no other one of the fifteen does it"


@pytest.mark.parametrize(
    ("kind", "root", "path", "expected"),
    [
        ("wordpress", "", "wp-content/cache/page.html", True),
        ("wordpress", "", "wp-content/cache", False),
        ("wordpress", "", "cache/mine.txt", False),
        ("wordpress", "", "wp-content/debug.log", True),
        ("wordpress", "", "wp-content/plugins/shop/vendor/lib.php", False),
        ("wordpress", "public_html/blog", "public_html/blog/wp-content/cache/x", True),
        ("wordpress", "public_html/blog", "wp-content/cache/x", False),
        ("wordpress", "a [b] *c", "a [b] *c/wp-content/cache/x", True),
        ("wordpress", "a [b] *c", "a b dc/wp-content/cache/x", False),
        ("laravel", "public", "storage/framework/sessions/x", True),
        ("laravel", "app/public", "app/storage/logs/laravel.log", True),
        ("laravel", "public", "storage/app/logs/x", False),
        ("joomla", "", "tmp/x", True),
        ("drupal", "web", "web/sites/default/files/css/x.css", True),
        ("drupal", "web", "web/sites/default/files/photo.jpg", False),
        ("static", "", "cache/x", False),
        ("php", "", "logs/error.log", False),
    ],
)
def test_safe_leaves_out_what_the_application_makes_again(kind: str, root: str, path: str, expected: bool) -> None:
    assert is_left_out(Exclusions().lines(kind, root), path) is expected


def test_own_patterns_come_last_and_may_bring_something_back() -> None:
    chosen = Exclusions(Profile.FULL_LIST, ("*.bak",)).changed({"patterns": ["!/vendor/mine/"], "profile": "full-list"})
    lines = chosen.lines("wordpress", "")
    assert is_left_out(lines, "x.bak")
    assert not is_left_out(lines, "vendor/mine/x.php")
    assert is_left_out(lines, "vendor/other/x.php")


def test_nothing_leaves_nothing_out() -> None:
    assert Exclusions(Profile.NOTHING).lines("wordpress", "") == ()


@pytest.mark.parametrize(
    "own", [{"profile": "all"}, {"patterns": "*.log"}, {"patterns": [1]}, {"patterns": ["x"] * 51}]
)
def test_bad_choices_are_refused(own: dict[str, object]) -> None:
    with pytest.raises(WrongUsage):
        Exclusions().changed(own)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("*.log",), []),
        (("/wp-content/",), ["wp-content/uploads/", "wp-content/themes/", "wp-content/plugins/"]),
        (("wp-config.php",), ["wp-config.php"]),
        (("/wp-content/uploads/*",), ["wp-content/uploads/"]),
        (("*",), ["wp-config.php", "wp-content/uploads/", "wp-content/themes/", "wp-content/plugins/", "index.php"]),
    ],
)
def test_patterns_that_take_what_a_site_needs_are_told(lines: tuple[str, ...], expected: list[str]) -> None:
    assert find_critical(lines, Site("wordpress", "")) == expected

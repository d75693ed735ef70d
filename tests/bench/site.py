"""The sites that are measured: Debian's WordPress, generated code, and pictures that do not compress."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.wordpress_package import find_wordpress

CODE_FILES = 20_000
PICTURES = 1_500
PICTURE_BYTES = 200_000
CODE_BYTES = 10_500
_PLAIN_BYTES = 900
_FILES_A_FOLDER = 50
_SEED = 20261101


@dataclass(frozen=True)
class Size:
    """What a folder holds."""

    file_count: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.file_count:,} files, {self.size_bytes / 1e6:,.0f} MB"


def make_mixed_site(folder: Path, scale: float) -> Size:
    """Make WordPress, 20,000 code files and 300 MB of pictures, both times `scale`; return what the site holds."""
    shutil.copytree(find_wordpress(), folder)
    chance = random.Random(_SEED)
    lines = _code_lines(folder)
    for number in range(round(CODE_FILES * scale)):
        size = min(100_000, int(chance.lognormvariate(0, 1) * CODE_BYTES / 1.65))
        _write(folder / "wp-content/plugins", number, "php", "".join(_code(chance, lines, size)).encode())
    for number in range(round(PICTURES * scale)):
        _write(folder / "wp-content/uploads", number, "jpg", chance.randbytes(PICTURE_BYTES))
    return measure(folder)


def make_plain_site(folder: Path, file_count: int) -> Size:
    """Make `file_count` files of about a kilobyte, for growth curves."""
    folder.mkdir()
    chance = random.Random(_SEED)
    text = "".join(_code(chance, _code_lines(find_wordpress()), 1_000_000)).encode()
    for number in range(file_count):
        start = chance.randrange(len(text) - _PLAIN_BYTES)
        _write(folder, number, "html", b"%d\n" % number + text[start : start + _PLAIN_BYTES])
    return measure(folder)


def change_one_percent(folder: Path, round_number: int) -> int:
    """Give one file of a hundred another content; return how many. Each round changes other files."""
    return _change(_code_files(folder)[round_number % 100 :: 100], round_number)


def change_neighbours(folder: Path, round_number: int) -> int:
    """Give one file of a hundred another content, in four runs of neighbours as updates make them; return how many."""
    files = _code_files(folder)
    run = len(files) // 400
    starts = [(place * len(files) // 4 + round_number * run) % (len(files) - run) for place in range(4)]
    return _change([path for start in starts for path in files[start : start + run]], round_number)


def _code_files(folder: Path) -> list[str]:
    return [path for path in sorted(_walk(folder)) if path.endswith(".php")]


def _change(chosen: list[str], round_number: int) -> int:
    for path in chosen:
        with open(path, "ab") as file:
            file.write(b"// changed in round %d\n" % round_number)
    return len(chosen)


def measure(folder: Path) -> Size:
    """Return what a folder holds."""
    sizes = [os.lstat(path).st_size for path in _walk(folder)]
    return Size(len(sizes), sum(sizes))


def _walk(folder: Path) -> Iterator[str]:
    for below, _, names in os.walk(folder):
        yield from (os.path.join(below, name) for name in names)


def _code_lines(folder: Path) -> list[str]:
    found: list[str] = []
    for path in sorted(folder.rglob("*.php"))[:400]:
        found += path.read_text("utf-8", "replace").splitlines(keepends=True)
    return found


def _code(chance: random.Random, lines: list[str], size_bytes: int) -> Iterator[str]:
    """Yield about `size_bytes` of passages of real code, each of another file."""
    missing = size_bytes
    while missing > 0:
        start = chance.randrange(len(lines) - 40)
        passage = "".join(lines[start : start + chance.randrange(8, 40)])
        missing -= len(passage)
        yield passage


def _write(folder: Path, number: int, suffix: str, content: bytes) -> None:
    below = folder / f"{number // (_FILES_A_FOLDER * 40):03d}" / f"{number // _FILES_A_FOLDER % 40:02d}"
    if number % _FILES_A_FOLDER == 0:
        below.mkdir(parents=True, exist_ok=True)
    (below / f"file-{number:07d}.{suffix}").write_bytes(content)

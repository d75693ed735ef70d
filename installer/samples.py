"""Three sample sites, so that a new installation has something to look at: static, PHP, and one with a SQLite database.

Their texts lie in sample_sites/; pictures, the database, links, times and access logs are made here.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import struct
import time
import zlib
from pathlib import Path

_TEXTS = Path(__file__).resolve().parent / "sample_sites"
SAMPLE_DOMAINS = ("notes.example.test", "php.example.test", "static.example.test")

# Requests in each hour of a day (0 to 23): the nights are quiet, the quietest hour is another one on each site.
_REQUESTS_BY_HOUR = {
    "notes.example.test": (1, 1, 0, 0, 0, 0, 1, 3, 6, 8, 7, 6, 4, 6, 7, 6, 5, 4, 3, 2, 2, 2, 1, 1),
    "php.example.test": (9, 6, 4, 2, 1, 0, 2, 6, 12, 20, 24, 26, 28, 30, 31, 28, 26, 30, 34, 36, 33, 28, 20, 14),
    "static.example.test": (5, 3, 1, 0, 2, 3, 5, 9, 14, 18, 20, 22, 19, 17, 18, 20, 21, 19, 16, 15, 12, 10, 8, 6),
}
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
_DAYS_OF_LOG = 3


def make_samples(domains_root: Path, logs: Path, *, owner: tuple[int, int] | None = None) -> tuple[str, ...]:
    """Make the sample sites below `domains_root` and their access logs in `logs`; return the names of the domains.

    `owner` (uid and gid, only as root) gets the sites. A site that is there already is left alone.
    """
    domains_root.mkdir(mode=0o755, parents=True, exist_ok=True)
    logs.mkdir(mode=0o755, parents=True, exist_ok=True)
    for domain in SAMPLE_DOMAINS:
        root = domains_root / domain
        if root.exists():
            continue
        part = domains_root / f".{domain}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(_TEXTS / domain, part)
        _add_what_is_no_text(domain, part)
        _set_modes_and_owner(part, owner)
        _age(part)
        part.rename(root)
        (logs / f"{domain}.access.log").write_text(_access_log(domain, root, datetime.datetime.now(datetime.UTC)))
    return SAMPLE_DOMAINS


def picture(width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> bytes:
    """Return a PNG of that size that fades from one colour (red, green, blue) to another."""
    rows = bytearray()
    for y in range(height):
        colour = bytes(start + (end - start) * y // height for start, end in zip(top, bottom, strict=True))
        rows += b"\0" + colour * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _add_what_is_no_text(domain: str, root: Path) -> None:
    if domain == "static.example.test":
        _add_pictures_and_links(root)
    elif domain == "notes.example.test":
        _add_notes(root / "data" / "notes.sqlite")
    else:
        (root / "storage" / "uploads").mkdir()


def _add_pictures_and_links(root: Path) -> None:
    seasons = {
        "spring": ((214, 236, 200), (96, 160, 90)),
        "summer": ((255, 240, 176), (240, 170, 50)),
        "autumn": ((250, 200, 140), (150, 70, 30)),
    }
    for name, (top, bottom) in seasons.items():
        (root / "assets" / f"{name}.png").write_bytes(picture(960, 540, top, bottom))
    (root / "downloads" / "latest.txt").symlink_to("prices.txt")
    os.link(root / "downloads" / "prices.txt", root / "downloads" / "Preise für Gärten.txt")
    (root / "guestbook").mkdir()
    publish = root / "publish.sh"
    publish.write_text("#!/bin/sh\nexec rsync -a --delete ./ garden@example.test:site/\n")
    publish.chmod(0o755)


def _add_notes(file: Path) -> None:
    texts = (
        "Water the tomatoes",
        "Send the invoice to Noor",
        "Book the ferry",
        "Ask Jonas about the ladder",
        "Buy nails",
    )
    database = sqlite3.connect(file)
    with database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, done INTEGER, created_at TEXT)")
        database.executemany(
            "INSERT INTO notes (text, done, created_at) VALUES (?, ?, ?)",
            [(f"{text} ({week}. week)", week < 40, f"2026-W{week:02}") for week in range(1, 47) for text in texts],
        )
    database.close()


def _set_modes_and_owner(root: Path, owner: tuple[int, int] | None) -> None:
    """Make the modes independent of the umask and of how the texts were unpacked."""
    for folder, folders, files in os.walk(root):
        for path in [Path(folder), *(Path(folder) / name for name in [*folders, *files])]:
            if owner is not None:
                os.lchown(path, *owner)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)


def _age(root: Path) -> None:
    """Give the files times of the past weeks: a site whose files are all new would look busier than it is."""
    now_ns = time.time_ns()
    paths = sorted(root.rglob("*"), reverse=True)
    for number, path in enumerate([*paths, root]):
        age_days = (number * 7) % 45 + 2 if number % 6 else 0.25
        moment_ns = now_ns - int(age_days * 86_400_000_000_000) - number * 1_234_567_891
        os.utime(path, ns=(moment_ns, moment_ns), follow_symlinks=False)


def _access_log(domain: str, root: Path, now: datetime.datetime) -> str:
    """Return three days of requests up to `now` in the combined format."""
    pages = [
        "/",
        *sorted("/" + str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in (".html", ".css")),
    ]
    lines = []
    hour = (now - datetime.timedelta(days=_DAYS_OF_LOG)).replace(minute=0, second=0, microsecond=0)
    number = 0
    while hour <= now:
        requests = _REQUESTS_BY_HOUR[domain][hour.hour]
        for request in range(requests):
            moment = hour + datetime.timedelta(seconds=request * 3600 // requests + number % 50)
            if moment <= now:
                lines.append(_log_line(moment, number, pages[number % len(pages)]))
            number += 1
        hour += datetime.timedelta(hours=1)
    return "".join(lines)


def _log_line(moment: datetime.datetime, number: int, page: str) -> str:
    # 192.0.2.0/24 is set aside for examples (RFC 5737).
    visitor, agent = f"192.0.2.{number * 37 % 254 + 1}", _AGENTS[number % 11 % len(_AGENTS)]
    stamp = moment.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{visitor} - - [{stamp}] "GET {page} HTTP/1.1" 200 {1800 + number * 13 % 900} "-" "{agent}"\n'

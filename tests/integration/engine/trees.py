"""Trees for the engine's tests: a rich one, and what a tree looks like so that two can be compared exactly."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

Facts = dict[str, object]
OLD_NS = 1_600_000_000_123_456_789


def look(root: Path) -> dict[bytes, Facts]:
    """Return every path below `root` (b"" is the root) with all that a restore has to bring back."""
    found: dict[bytes, Facts] = {}
    first_links: dict[tuple[int, int], bytes] = {}
    fd = os.open(root, os.O_RDONLY)
    found[b""] = _facts(fd, b"", os.fstat(fd), first_links)
    _look_below(fd, b"", found, first_links)
    return found


def _look_below(fd: int, prefix: bytes, found: dict[bytes, Facts], first_links: dict[tuple[int, int], bytes]) -> None:
    """Add what is below a folder and close its descriptor; paths may be longer than any system call takes."""
    for name in sorted(map(os.fsencode, os.listdir(fd))):
        facts, path = os.stat(name, dir_fd=fd, follow_symlinks=False), prefix + name
        if stat.S_ISLNK(facts.st_mode):
            found[path] = _plain_facts(facts) | {"link": os.readlink(name, dir_fd=fd)}
            continue
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        found[path] = _facts(below, path, facts, first_links)
        if stat.S_ISDIR(facts.st_mode):
            _look_below(below, path + b"/", found, first_links)
        else:
            os.close(below)
    os.close(fd)


def _plain_facts(facts: os.stat_result) -> Facts:
    return {"mode": oct(facts.st_mode), "owner": (facts.st_uid, facts.st_gid), "mtime_ns": facts.st_mtime_ns}


def _facts(fd: int, path: bytes, facts: os.stat_result, first_links: dict[tuple[int, int], bytes]) -> Facts:
    row = _plain_facts(facts)
    row["xattrs"] = {name: os.getxattr(fd, name) for name in os.listxattr(fd) if name.startswith("user.")}
    if stat.S_ISREG(facts.st_mode):
        row["size"] = facts.st_size
        row["holes"] = facts.st_blocks * 512 < facts.st_size and facts.st_size > 1 << 16
        row["sha256"] = "too large" if facts.st_size > 1 << 30 else _sha256(fd)
        row["same_as"] = first_links.setdefault((facts.st_dev, facts.st_ino), path)
    return row


def _sha256(fd: int) -> str:
    with open(os.dup(fd), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes, *, mode: int = 0o644, mtime_ns: int = OLD_NS) -> Path:
    """Write a file with an old time, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def make_rich_tree(root: Path, *, deep: bool = True) -> None:
    """Fill `root` with everything a document root can hold that has to come back exactly.

    Without `deep` there is no path longer than 4096 bytes, which other programs cannot make.
    """
    write(root / "index.php", b"<?php require 'wp-blog-header.php';\n" * 30, mode=0o640)
    write(root / "empty.txt", b"", mode=0o600)
    write(root / "photo.jpg", os.urandom(700_000), mtime_ns=1_700_000_000_000_000_001)
    write(root / "large.bin", b"0123456789abcdef" * 200_000 + os.urandom(1_234_567))
    write(root / "exactly-one-pack.bin", os.urandom(512 * 1024))
    write(root / "before-1970.txt", b"old", mtime_ns=-1_500_000_001)
    write(root / "readonly" / "file.txt", b"nobody writes here", mode=0o444)
    (root / "readonly").chmod(0o555)
    (root / "uploads" / "2026" / "empty").mkdir(parents=True)
    (root / "uploads").chmod(0o2775)
    (root / "tmp-like").mkdir(mode=0o700)
    (root / "tmp-like").chmod(0o1777)
    (root / "theme").symlink_to("wp-content/themes/ours")
    (root / "absolute").symlink_to("/etc/shadow")
    os.utime(root / "absolute", ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    os.symlink(b"x" * 300, os.fsencode(root / "long-link"))
    os.link(root / "index.php", root / "uploads" / "index-again.php")
    os.link(root / "large.bin", root / "uploads" / "large-again.bin")
    _make_sparse(root / "sparse.img", 50_000_000, {0: b"head", 20_000_000: os.urandom(70_000), 49_999_996: b"tail"})
    _make_sparse(root / "only-a-hole.img", 1 << 40, {})
    os.setxattr(root / "index.php", "user.origin", b"\x00\xff binary\n=value")
    os.setxattr(root / "uploads", "user.folder", b"yes")
    _make_odd_names(root / "names")
    # os.walk: in Debian 12's Python pathlib's rglob trips over a link whose target is longer than a name may be.
    for folder, _, _ in os.walk(os.fsencode(root), topdown=False):
        if folder != os.fsencode(root):
            os.utime(folder, ns=(OLD_NS + 7, OLD_NS + 7))
    if deep:
        _make_deep(root, 30)
    os.utime(root, ns=(OLD_NS + 9, OLD_NS + 9))


def _make_sparse(path: Path, size: int, parts: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, content in parts.items():
            file.seek(offset)
            file.write(content)
    os.utime(path, ns=(OLD_NS, OLD_NS))


ODD_NAMES = [
    *(bytes([byte]) + b"-byte" for byte in range(1, 256) if byte != ord("/")),
    b"-rf",
    b"--checkpoint-action=exec=touch x",
    b"$(touch x)",
    b"'; touch x #",
    b"new\nline",
    b"\x1b[31mred",
    "\u202egnp.exe".encode(),
    b"\xff\xfe\xfd not utf-8",
    b"n" * 255,
    "ü".encode() * 127,
    b"\xff" * 255,
    b"...",
    b" ",
    b"a\\b",
    b"*",
]


def _make_odd_names(folder: Path) -> None:
    folder.mkdir()
    for name in ODD_NAMES:
        path = os.fsencode(folder) + b"/" + name
        with open(path, "wb") as file:
            file.write(name)
        os.utime(path, ns=(OLD_NS, OLD_NS))


def _make_deep(root: Path, levels: int) -> None:
    """Make a path of more than 4096 bytes (each folder's name has 200), which no single system call can name."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("bottom.txt", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, b"reached")
    os.utime(file, ns=(OLD_NS, OLD_NS))
    os.close(file)
    os.close(fd)

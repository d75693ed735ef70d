"""Plain tar archives that attack whoever unpacks them: a corpus made from bytes, since no tar program writes these."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from functools import partial

BLOCK = 512
END = bytes(2 * BLOCK)
CONTENT = b"content"
Chunks = Iterator[bytes]
MEMBERS = 10_000_000 if os.environ.get("SMARTBACKUP_LONG") else 60_000


def number(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def member(
    name: bytes,
    kind: bytes = b"0",
    content: bytes = b"",
    *,
    link: bytes = b"",
    mode: bytes | None = None,
    uid: bytes | None = None,
    size: bytes | None = None,
    mtime: bytes | None = None,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
    owner: bytes = b"alice",
) -> bytes:
    """Return a header block with its content; every field can be set to any bytes."""
    head = b"".join(
        [
            name[:100].ljust(100, b"\0"),
            mode or number(0o755 if kind == b"5" else 0o644, 8),
            uid or number(20001, 8),
            number(20001, 8),
            size or number(len(content), 12),
            mtime or number(1_600_000_000, 12),
            b" " * 8,
            kind,
            link[:100].ljust(100, b"\0"),
            magic,
            owner.ljust(32, b"\0"),
            b"alice".ljust(32, b"\0"),
            bytes(16),
            prefix.ljust(155, b"\0"),
        ]
    ).ljust(BLOCK, b"\0")
    total = checksum or b"%06o\0 " % sum(head)
    return head[:148] + total + head[156:] + content + bytes(-len(content) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/entry", kind, b"".join(record(key, value) for key, value in records))


def raw_pax(body: bytes) -> bytes:
    return member(b"PaxHeaders/entry", b"x", body)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return member(b"././@LongLink", kind, name + b"\0", magic=b"ustar  \0")


def folder(name: bytes) -> bytes:
    return member(name, b"5")


def symlink(name: bytes, target: bytes) -> bytes:
    return member(name, b"2", link=target)


def hardlink(name: bytes, target: bytes) -> bytes:
    return member(name, b"1", link=target)


FILE = member(b"a.txt", b"0", CONTENT)
BASE_256 = b"\x80" + bytes(3)


def refused_streams(outside: bytes) -> dict[str, bytes]:
    """Return tar streams (not compressed yet) that must be refused; `outside` is a folder that they try to reach."""
    up = b"../" * 12 + outside.strip(b"/")
    return {
        "path: dot dot": member(b"..", b"5") + END,
        "path: up": member(b"../evil", b"0", CONTENT) + END,
        "path: up to a place": member(up + b"/evil", b"0", CONTENT) + END,
        "path: in and up": member(b"a/../../evil", b"0", CONTENT) + END,
        "path: dot inside": member(b"a/./evil", b"0", CONTENT) + END,
        "path: two slashes": member(b"a//evil", b"0", CONTENT) + END,
        "path: absolute": member(b"/etc/cron.d/evil", b"0", CONTENT) + END,
        "path: absolute to a place": member(outside + b"/evil", b"0", CONTENT) + END,
        "path: slashes first": member(b"//evil", b"0", CONTENT) + END,
        "path: dot slash slash": member(b".//etc/evil", b"0", CONTENT) + END,
        "path: a slash alone": folder(b"/") + END,
        "path: empty": member(b"", b"0", CONTENT) + END,
        "path: empty folder": folder(b"") + END,
        "path: dot as a file": member(b".", b"0", CONTENT) + END,
        "path: file with a slash at its end": member(b"evil/", b"0", CONTENT) + END,
        "path: up by the prefix": member(b"evil", b"0", CONTENT, prefix=b"..") + END,
        "path: absolute by the prefix": member(b"evil", b"0", CONTENT, prefix=b"/etc") + END,
        "path: up by pax": pax((b"path", b"../evil")) + FILE + END,
        "path: absolute by pax": pax((b"path", outside + b"/evil")) + FILE + END,
        "path: zero byte by pax": pax((b"path", b"good\0/../../evil")) + FILE + END,
        "path: empty by pax": pax((b"path", b"")) + FILE + END,
        "path: up by a GNU long name": long_name(b"x/" * 60 + b"../" * 70 + b"evil") + FILE + END,
        "path: absolute by a GNU long name": long_name(b"/" + b"x" * 120) + FILE + END,
        "path: zero byte in a GNU long name": long_name(b"good\0/../evil") + FILE + END,
        "path: a name of 256 bytes": pax((b"path", b"n" * 256)) + FILE + END,
        "path: deeper than any": pax((b"path", b"/".join([b"d"] * 4_001))) + FILE + END,
        "path: a hundred thousand folders deep": pax((b"path", b"d/" * 100_000)) + folder(b"d/") + END,
        "path: longer than any": pax((b"path", b"/".join([b"d" * 200] * 1_400))) + FILE + END,
        "path: chain beyond PATH_MAX and up": folder(b"d" * 90)
        + pax((b"path", b"/".join([b"d" * 250] * 20) + b"/" + b"../" * 40 + b"evil"))
        + FILE
        + END,
        "two: the same file": FILE + FILE + END,
        "two: a folder, then a file": folder(b"a") + member(b"a", b"0", CONTENT) + END,
        "two: a file, then a folder": member(b"a", b"0", CONTENT) + folder(b"a/") + END,
        "two: a link, then a file": symlink(b"a", outside) + member(b"a", b"0", CONTENT) + END,
        "two: a file, then a link": FILE + symlink(b"a.txt", outside) + END,
        "two: a link, then a folder": symlink(b"a", outside) + folder(b"a/") + END,
        "two: by dot slash": FILE + member(b"./a.txt", b"0", b"another") + END,
        "two: an implied folder, then a link": member(b"a/b", b"0", CONTENT) + symlink(b"a", outside) + END,
        "below: a link": symlink(b"a", outside) + member(b"a/evil", b"0", CONTENT) + END,
        "below: a link up": symlink(b"a", b"../..") + member(b"a/evil", b"0", CONTENT) + END,
        "below: a link to itself": symlink(b"a", b"a") + member(b"a/evil", b"0", CONTENT) + END,
        "below: a link to a folder inside": folder(b"b/") + symlink(b"a", b"b") + member(b"a/evil") + END,
        "below: two links": symlink(b"a", b".") + symlink(b"a/b", outside) + END,
        "below: a file": FILE + member(b"a.txt/evil", b"0", CONTENT) + END,
        "below: a hard link": FILE + hardlink(b"h", b"a.txt") + member(b"h/evil", b"0", CONTENT) + END,
        "below: the archive's own folder as a link": symlink(b"./", outside) + FILE + END,
        "link: to nothing": symlink(b"a", b"") + END,
        "link: too long": pax((b"linkpath", b"x" * 4_096)) + symlink(b"a", b"x") + END,
        "link: zero byte": pax((b"linkpath", b"x\0y")) + symlink(b"a", b"x") + END,
        "link: with content": member(b"a", b"2", CONTENT, link=b"x") + END,
        "hard link: outside": hardlink(b"a", outside + b"/secret") + END,
        "hard link: up": hardlink(b"a", up + b"/secret") + END,
        "hard link: to what comes later": hardlink(b"a", b"a.txt") + FILE + END,
        "hard link: to itself": hardlink(b"a", b"a") + END,
        "hard link: to a symlink": symlink(b"s", outside + b"/secret") + hardlink(b"a", b"s") + END,
        "hard link: through a symlink": symlink(b"s", outside) + hardlink(b"a", b"s/secret") + END,
        "hard link: to a folder": folder(b"d/") + hardlink(b"a", b"d") + END,
        "hard link: outside by pax": FILE + pax((b"linkpath", b"../secret")) + hardlink(b"h", b"a.txt") + END,
        "hard link: outside by a GNU long link": long_name(outside + b"/" + b"x" * 99, b"K")
        + hardlink(b"h", b"x")
        + END,
        "hard link: with content": FILE + member(b"h", b"1", CONTENT, link=b"a.txt") + END,
        "type: character device": member(b"null", b"3") + END,
        "type: block device": member(b"disk", b"4") + END,
        "type: FIFO": member(b"pipe", b"6") + END,
        "type: contiguous": member(b"a", b"7", CONTENT) + END,
        "type: multi-volume": member(b"a", b"M", CONTENT) + END,
        "type: volume label": member(b"a", b"V") + END,
        "type: GNU sparse": member(b"a", b"S", CONTENT, magic=b"ustar  \0") + END,
        "type: GNU dump folder": member(b"a", b"D", b"Ya\0\0", magic=b"ustar  \0") + END,
        "type: unknown": member(b"a", b"Z", CONTENT) + END,
        "type: folder with content": member(b"a/", b"5", CONTENT) + END,
        "sparse: pax 0.0": pax((b"GNU.sparse.size", b"99999999999"), (b"GNU.sparse.numblocks", b"1")) + FILE + END,
        "sparse: pax 0.1": pax((b"GNU.sparse.map", b"0,1,9999999999,1")) + FILE + END,
        "sparse: pax 1.0": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"../evil")) + FILE + END,
        "size: negative": member(b"a", b"0", CONTENT, size=b"\xff" * 12) + END,
        "size: negative by pax": pax((b"size", b"-1")) + member(b"a") + END,
        "size: huge": member(b"a", b"0", CONTENT, size=b"\x80" + b"\x7f" * 11) + END,
        "size: huge by pax": pax((b"size", b"9" * 30)) + member(b"a") + END,
        "size: not a number": member(b"a", b"0", CONTENT, size=b"7777777777x\0") + END,
        "size: another one by pax": pax((b"size", b"512")) + FILE + END,
        "size: eight gigabytes that are not there": member(b"a", b"0", CONTENT, size=b"77777777777\0") + END,
        "size: hides a member": member(b"a", b"0", size=number(0, 12)) + pax((b"size", b"1024")) + FILE + FILE + END,
        "owner: negative": member(b"a", b"0", uid=b"\xff" * 8) + END,
        "owner: beyond 32 bits": member(b"a", b"0", uid=b"\x80" + b"\xff" * 7) + END,
        "owner: by pax": pax((b"uid", b"0x0")) + FILE + END,
        "time: in no century": member(b"a", b"0", mtime=b"\x80" + b"\xff" * 11) + END,
        "time: not a time": pax((b"mtime", b"nan")) + FILE + END,
        "time: endless digits": pax((b"mtime", b"1" * 400)) + FILE + END,
        "pax: record longer than its header": raw_pax(b"999 path=evil\n") + FILE + END,
        "pax: record of no length": raw_pax(b"0 path=evil\n") + FILE + END,
        "pax: negative length": raw_pax(b"-12 path=evil\n") + FILE + END,
        "pax: record without its end": raw_pax(b"12 path=evil ") + FILE + END,
        "pax: no key": raw_pax(b"6 =ab\n") + FILE + END,
        "pax: unknown key": pax((b"execute", b"id")) + FILE + END,
        "pax: the same key twice": pax((b"path", b"a"), (b"path", b"../evil")) + FILE + END,
        "pax: two headers": pax((b"path", b"a")) + pax((b"path", b"../evil")) + FILE + END,
        "pax: global path": pax((b"path", b"../evil"), kind=b"g") + FILE + END,
        "pax: and a GNU long name": pax((b"path", b"a")) + long_name(b"../" + b"x" * 99) + FILE + END,
        "pax: at the end": pax((b"path", b"a")) + END,
        "pax: padded with something": pax((b"comment", b"x"))[:-1] + b"!" + FILE + END,
        "pax: one gigabyte": member(b"PaxHeaders/entry", b"x", size=number(1 << 30, 12)) + bytes(4 * BLOCK),
        "GNU: long name of one gigabyte": member(b"././@LongLink", b"L", size=number(1 << 30, 12)) + bytes(4 * BLOCK),
        "GNU: two long names": long_name(b"a" * 120) + long_name(b"../" + b"x" * 99) + FILE + END,
        "header: wrong checksum": member(b"a", b"0", CONTENT, checksum=b"000000\0 ") + END,
        "header: no checksum": member(b"a", b"0", CONTENT, checksum=b"        ") + END,
        "header: no magic": member(b"a", b"0", CONTENT, magic=bytes(8)) + END,
        "header: mode that is none": member(b"a", b"0", mode=b"rwxr-xr\0") + END,
        "end: cut in a header": (FILE + END)[: BLOCK + 100],
        "end: cut in content": member(b"a", b"0", bytes(5_000))[:2_000],
        "end: no end marker": FILE,
        "end: half an end marker": FILE + bytes(BLOCK),
        "end: a marker in the middle": FILE + bytes(BLOCK) + member(b"b", b"0", CONTENT) + END,
        "end: a second archive behind it": FILE + END + member(b"../evil", b"0", CONTENT) + END,
        "end: bytes behind it": FILE + END + bytes(BLOCK) + b"something",
        "content: padded with something": FILE[:-1] + b"!" + END,
    }


def refused_files(outside: bytes) -> dict[str, Callable[[], Chunks]]:
    """Return whole files that must be refused or found damaged, as functions that yield their bytes."""
    sound = gzip.compress(FILE + END)
    files: dict[str, Callable[[], Chunks]] = {
        name: partial(_gzipped, stream) for name, stream in refused_streams(outside).items()
    }
    whole = {
        "gzip: empty file": b"",
        "gzip: one byte": b"\x1f",
        "gzip: a plain tar": FILE + END,
        "gzip: text": b"<?php system('id');",
        "gzip: cut": sound[:-9],
        "gzip: without its trailer": sound[:-8],
        "gzip: wrong checksum": sound[:-8] + bytes(4) + sound[-4:],
        "gzip: wrong length": sound[:-4] + bytes(4),
        "gzip: a flipped bit": sound[:40] + bytes([sound[40] ^ 8]) + sound[41:],
        "gzip: bytes behind it": sound + b"garbage",
        "gzip: zeros behind it": sound + bytes(10_240),
        "gzip: a second archive behind it": sound + gzip.compress(member(b"../evil", b"0", CONTENT) + END),
        "gzip: in gzip": gzip.compress(sound),
        "gzip: a method that is none": b"\x1f\x8b\x07" + sound[3:],
        "gzip: reserved flags": b"\x1f\x8b\x08\xe0" + sound[4:],
        "gzip: a second member that is none": gzip.compress(FILE) + b"\x1f\x8b\x08",
    }
    files |= {name: partial(iter, [content]) for name, content in whole.items()}
    files["bomb: a gigabyte out of a megabyte"] = lambda: packed_zeros(member(b"a", b"0", size=number(1 << 30, 12)))
    files["bomb: a gigabyte of one pax header"] = lambda: packed_zeros(
        member(b"PaxHeaders/entry", b"x", size=number(1 << 30, 12))
    )
    files["bomb: zeros behind the end"] = lambda: packed_zeros(FILE + END)
    files["bomb: millions of members"] = lambda: packed(many(MEMBERS))
    files["bomb: folders in folders in folders"] = lambda: packed(deeper_and_deeper())
    files["bomb: names of implied folders"] = lambda: packed(long_paths())
    return files


def contained_streams(outside: bytes) -> dict[str, bytes]:
    """Return tar streams that are odd but may be unpacked: nothing of them reaches beyond the folder."""
    return {
        "set-user-id and set-group-id": member(b"a", b"0", CONTENT, mode=number(0o6777, 8)) + END,
        "owned by root": member(b"a", b"0", CONTENT, uid=number(0, 8), owner=b"root") + END,
        "a name that is an option": member(b"-rf", b"0", CONTENT) + member(b"--checkpoint-action=exec=id") + END,
        "names that are no text": member(b"\xff\xfe\n\x1b[31m$(id)", b"0", CONTENT) + END,
        "a link out, which nothing follows": symlink(b"a", outside + b"/secret") + FILE + END,
        "a link to nowhere": symlink(b"a", b"/nowhere/at/all") + END,
        "a link to itself": symlink(b"loop", b"loop") + END,
        "hard links inside": FILE + hardlink(b"h", b"a.txt") + hardlink(b"i", b"./h") + END,
        "no folders of its own": member(b"x/y/z/a", b"0", CONTENT) + END,
        "a folder twice": folder(b"a/") + member(b"a/b", b"0", CONTENT) + folder(b"a/") + END,
        "a folder that nobody may enter": member(b"a/", b"5", mode=number(0, 8)) + member(b"a/b", b"0", CONTENT) + END,
        "an attribute that gives rights": pax((b"SCHILY.xattr.security.capability", bytes(20))) + FILE + END,
        "a time in the far future": member(b"a", b"0", CONTENT, mtime=number(0o37777777777, 12)) + END,
        "before 1970": pax((b"mtime", b"-1.500000001")) + FILE + END,
        "a path beyond PATH_MAX": pax((b"path", b"/".join([b"d" * 200] * 30) + b"/bottom")) + FILE + END,
        "a comment for all": pax((b"comment", b"made by git"), kind=b"g") + FILE + END,
        "more zeros than needed": FILE + END + bytes(20 * BLOCK),
        "base-256 numbers": member(b"a", b"0", CONTENT, size=b"\x80" + (7).to_bytes(11, "big")) + END,
        "names by GNU": long_name(b"n/" * 60 + b"a") + member(b"x", b"0", CONTENT, magic=b"ustar  \0") + END,
    }


def _gzipped(stream: bytes) -> Chunks:
    yield gzip.compress(stream, 1)


def packed(plain: Chunks) -> Chunks:
    """Compress a stream without keeping it."""
    squeezer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for chunk in plain:
        yield squeezer.compress(chunk)
    yield squeezer.flush()


def packed_zeros(before: bytes) -> Chunks:
    """Yield a gzip file that inflates to `before` and a gigabyte of zeros: one packed piece, again and again."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield squeezer.compress(before) + squeezer.flush(zlib.Z_FULL_FLUSH)
    piece = squeezer.compress(bytes(1 << 20)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    yield piece * 1_024


def many(count: int) -> Chunks:
    """Yield the headers of so many empty files."""
    for start in range(0, count, 1_000):
        yield b"".join([member(b"%d/%d" % (start, at)) for at in range(1_000)])


def deeper_and_deeper() -> Chunks:
    """Yield folders, each inside the one before, deeper than any system call can name."""
    path = b""
    for _ in range(5_000):
        path += b"d/"
        yield pax((b"path", path)) + folder(b"d/")


def long_paths() -> Chunks:
    """Yield paths of 250 kB each: their folders alone would take half a gigabyte of memory a path."""
    for at in range(200):
        yield pax((b"path", b"%d/" % at + b"/".join([b"d" * 124] * 2_000))) + member(b"x")

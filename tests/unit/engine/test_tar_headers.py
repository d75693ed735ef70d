"""Header blocks as the standard library's tar reader understands them."""

from __future__ import annotations

import io
import stat
import tarfile

import pytest

from smartbackup_panel.engine.entries import STAT, IndexEntry
from smartbackup_panel.engine.tar_headers import END_OF_ARCHIVE, tar_headers

REGULAR = stat.S_IFREG | 0o640


def entry(path: bytes, mode: int = REGULAR, **fields: object) -> IndexEntry:
    numbers: dict[str, int] = {"uid": 0, "gid": 0, "size": 0, "mtime_ns": 0}
    for name in numbers:
        value = fields.pop(name, 0)
        assert isinstance(value, int)
        numbers[name] = value
    packed = STAT.pack(mode, numbers["uid"], numbers["gid"], 1, numbers["size"], numbers["mtime_ns"], 0, 1, 1)
    return IndexEntry(path, packed, **fields)  # type: ignore[arg-type]  # fields as given by the test


def read(header: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(header + END_OF_ARCHIVE)) as tar:
        member = tar.next()
    assert member is not None
    return member


def test_a_plain_file_needs_one_block() -> None:
    header = tar_headers(
        entry(b"index.php", uid=33, gid=44, size=0, mtime_ns=1_600_000_000_000_000_000, user="alice", group="www")
    )
    member = read(header)
    assert len(header) == 512
    assert (member.name, member.mode, member.uid, member.gid) == ("index.php", 0o640, 33, 44)
    assert (member.mtime, member.uname, member.gname, member.type) == (1_600_000_000, "alice", "www", b"0")


@pytest.mark.parametrize("length", [1, 99, 100, 101, 155, 156, 200, 255, 256, 257, 5_000])
def test_names_of_every_length_come_back(length: int) -> None:
    for path in (b"n" * min(length, 250), b"/".join([b"d" * 49] * (length // 50 + 1))[:length].rstrip(b"/")):
        assert read(tar_headers(entry(path))).name == path.decode()


def test_a_name_that_fits_with_a_prefix_needs_no_pax_record() -> None:
    path = b"d" * 150 + b"/" + b"n" * 100
    assert len(tar_headers(entry(path))) == 512


def test_names_that_are_not_utf8_come_back() -> None:
    for path in (b"\xff\xfe", b"\xff" * 200):
        assert read(tar_headers(entry(path))).name.encode(errors="surrogateescape") == path


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (1, "0.000000001"),
        (1_700_000_000_500_000_000, "1700000000.500000000"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.500000000"),
        (-2_000_000_000, "-2"),
        (9_000_000_000_000_000_000, "9000000000"),
    ],
)
def test_times_that_ustar_cannot_hold_are_pax_records(time_ns: int, text: str) -> None:
    assert read(tar_headers(entry(b"a", mtime_ns=time_ns))).pax_headers["mtime"] == text


def test_large_numbers_come_back() -> None:
    header = tar_headers(entry(b"a", uid=4_000_000_000, gid=3_000_000_000, size=20_000_000_000))
    member = read(header)
    assert (member.uid, member.gid, member.size) == (4_000_000_000, 3_000_000_000, 20_000_000_000)


def test_links_and_folders_have_their_types() -> None:
    long = b"t" * 300
    assert read(tar_headers(entry(b"f", stat.S_IFDIR | 0o755))).type == b"5"
    assert read(tar_headers(entry(b""))).name == "."
    symlink = read(tar_headers(entry(b"s", stat.S_IFLNK | 0o777, link=long)))
    assert (symlink.type, symlink.linkname) == (b"2", long.decode())
    hardlink = read(tar_headers(entry(b"h", link=b"first")))
    assert (hardlink.type, hardlink.linkname, hardlink.size) == (b"1", "first", 0)


def test_a_long_user_name_is_a_pax_record() -> None:
    member = read(tar_headers(entry(b"a", user="u" * 60, group="g" * 60)))
    assert (member.uname, member.gname) == ("u" * 60, "g" * 60)


def test_pax_records_count_their_own_length() -> None:
    for size in range(1, 130):
        header = tar_headers(entry(b"a", xattrs=[(b"user.x", b"v" * size)]))
        assert read(header).pax_headers["SCHILY.xattr.user.x"] == "v" * size

"""What is read of a file, and when it is not read at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import PointKind, SkipReason, WriteOptions
from smartbackup_panel.engine.archive_writer import PointWriter, Written
from smartbackup_panel.engine.entries import IndexEntry, pack_stat
from smartbackup_panel.engine.member_reader import MemberReader, NotRead
from smartbackup_panel.engine.scan import LinkCounts, ScanRules
from smartbackup_panel.engine.spool import Seen
from smartbackup_panel.engine.tree_reader import TreeReader

ALICE, BOB, WEB = 20001, 20002, 20033
RULES = ScanRules(frozenset({os.geteuid(), ALICE, WEB}), frozenset({WEB}))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Give a file."""
    path = tmp_path / "page.php"
    path.write_bytes(b"today")
    return path


@pytest.fixture
def page_fd(page: Path) -> Iterator[int]:
    """Give the open file."""
    fd = os.open(page, os.O_RDONLY)
    yield fd
    os.close(fd)


@needs_root
def test_the_owner_counts_at_the_moment_of_reading(page: Path, page_fd: int) -> None:
    reader = MemberReader(RULES, LinkCounts(RULES.guarded_uids))
    assert reader.look(page_fd).content == b"today"
    os.chown(page, BOB, BOB)
    with pytest.raises(NotRead) as caught:
        reader.look(page_fd)
    assert caught.value.reason is SkipReason.FOREIGN_OWNER


@needs_root
def test_a_guarded_file_with_links_that_the_scan_never_met_is_not_read(page: Path, page_fd: int) -> None:
    links = LinkCounts(RULES.guarded_uids)
    os.chown(page, WEB, WEB)
    os.link(page, page.parent / "elsewhere")
    with pytest.raises(NotRead) as caught:
        MemberReader(RULES, links).look(page_fd)
    assert caught.value.reason is SkipReason.FOREIGN_LINKS
    for _ in range(2):
        links.note(os.fstat(page_fd))
    assert MemberReader(RULES, links).look(page_fd).content == b"today"


@pytest.mark.parametrize(("disturbances", "is_stable"), [(0, True), (1, True), (3, True), (4, False)])
def test_a_small_file_that_changes_is_read_up_to_four_times(
    page: Path, page_fd: int, monkeypatch: pytest.MonkeyPatch, disturbances: int, is_stable: bool
) -> None:
    really_read, versions = os.pread, [f"version {number}".encode() * (number + 1) for number in range(disturbances)]

    def read_and_disturb(fd: int, length: int, offset: int) -> bytes:
        content = really_read(fd, length, offset)
        if versions:
            page.write_bytes(versions.pop(0))
        return content

    monkeypatch.setattr(os, "pread", read_and_disturb)
    member = MemberReader(RULES, LinkCounts(frozenset())).look(page_fd)
    assert (member.is_stable, len(versions)) == (is_stable, 0)
    assert member.content is not None
    assert len(member.content) == member.found.st_size
    if is_stable:
        assert member.content == page.read_bytes()


def test_what_became_something_else_is_not_read(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(NotRead) as caught:
        MemberReader(RULES, LinkCounts(frozenset())).look(fd)
    os.close(fd)
    assert caught.value.reason is SkipReason.VANISHED


class Ignored:
    """Takes an archive's parts and keeps the entries only."""

    def frame(self, packed: bytes, plain_bytes: int, sha256: bytes) -> None: ...

    def copy_frame(self, archive: int, frame: int) -> None: ...

    def mark(self) -> None: ...

    def rollback(self) -> None: ...

    def block(self, first_path: bytes, packed: bytes, plain_bytes: int, entry_count: int) -> None: ...

    def advanced(self, files: int, size_bytes: int) -> None: ...


def write_increment(page: Path, young_from_ns: int, *, read_again: bool = False) -> Written:
    """Write an increment on a point that has other content under exactly the same facts."""
    root_fd = os.open(page.parent, os.O_RDONLY)
    facts = pack_stat(os.stat(page))
    earlier = IndexEntry(b"page.php", facts, hashlib.sha256(b"other").digest())
    options = WriteOptions(PointKind.INCREMENTAL, bytes(16), datetime.now(UTC), threads=1, read_again=read_again)
    writer = PointWriter(root_fd, RULES, LinkCounts(frozenset()), options, Ignored(), 1, young_from_ns)
    try:
        return writer.write([Seen(b"page.php", facts)], [earlier])
    finally:
        os.close(root_fd)


def test_equal_facts_that_are_old_prove_equal_content(page: Path) -> None:
    written = write_increment(page, young_from_ns=1 << 62)
    assert (written.changes.changed.count, written.stored_bytes) == (0, 0)


def test_equal_facts_that_are_young_prove_nothing(page: Path) -> None:
    written = write_increment(page, young_from_ns=0)
    assert (written.changes.changed.names, written.stored_bytes) == ((b"page.php",), 5)


def test_reading_again_believes_no_facts(page: Path) -> None:
    written = write_increment(page, young_from_ns=1 << 62, read_again=True)
    assert (written.changes.changed.names, written.stored_bytes) == ((b"page.php",), 5)


def test_the_reader_for_applications_answers_only_for_plain_files(page: Path) -> None:
    (page.parent / "link").symlink_to("page.php")
    os.mkfifo(page.parent / "pipe")
    root_fd = os.open(page.parent, os.O_RDONLY)
    with TreeReader(root_fd, RULES.allowed_uids) as reader:
        assert reader.read(b"page.php", 5) == b"today"
        unread = [b"", b"link", b"pipe", b"gone", b"../page.php", b"page.php/below"]
        assert [reader.read(path, 5) for path in unread] == [None] * 6
        assert reader.read(b"page.php", 4) is None
        assert reader.names(b"") == [b"link", b"page.php", b"pipe"]
        assert reader.names(b"../") == reader.names(b"link") == []
    os.close(root_fd)

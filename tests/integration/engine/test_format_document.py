"""docs/archive-format.md is enough to write a reader: one that was written from it alone restores what the product wrote."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import pytest

from smartbackup_panel.core.databases import DumpPiece
from smartbackup_panel.core.tree import Codec, PointKind
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.dumps import write_dump
from tests.integration.engine.store import KEY, Store
from tests.integration.engine.trees import look, make_rich_tree, write
from tests.support import second_reader
from tests.support.second_reader import FULL, SecondReader

SETTLED_SECONDS = 2.1
"""After that a file is too old to be read again only because it is young."""


def test_the_second_reader_uses_nothing_of_the_product() -> None:
    tree = ast.parse(Path(second_reader.__file__).read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.startswith(("smartbackup_panel", "tests"))]


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_a_reader_made_from_the_document_restores_every_point_exactly(
    store: Store, site: Path, open_folder: Path, codec: Codec
) -> None:
    make_rich_tree(site, deep=False)
    (site / "only-a-hole.img").unlink()
    moments = [look(site)]
    store.back_up(codec=codec)
    write(site / "index.php", b"changed")
    (site / "photo.jpg").unlink()
    os.link(site / "large.bin", site / "large-third.bin")
    moments.append(look(site))
    store.back_up(PointKind.INCREMENTAL, earlier=0, codec=codec)
    (site / "theme").unlink()
    write(site / "theme" / "style.css", b"body {}")
    moments.append(look(site))
    time.sleep(SETTLED_SECONDS)
    store.back_up(PointKind.INCREMENTAL, earlier=1, codec=codec)
    moments.append(look(site))
    store.back_up(PointKind.INCREMENTAL, earlier=2, codec=codec)
    assert SecondReader(store.path()).directory == []

    for number, moment in enumerate(moments):
        reader = SecondReader(store.path(number), KEY)
        assert (reader.kind == FULL) == (number == 0)
        assert len(reader.archives) == number + 1
        assert reader.parent_digest == (SecondReader(store.path(number - 1)).root_digest if number else bytes(32))
        target = open_folder / f"restored-{number}"
        target.mkdir()
        assert reader.restore(target) > 260
        assert look(target) == moment


def test_what_was_left_out_is_in_the_list_with_its_reason(store: Store, site: Path) -> None:
    write(site / "a.txt", b"a")
    os.mkfifo(site / "pipe")
    store.back_up()
    reader = SecondReader(store.path(), KEY)
    assert [(entry[0], entry[13]) for entry in reader.entries() if entry[13]] == [(b"pipe", "fifo")]
    assert reader.skipped_count == 1


def test_a_reader_made_from_the_document_reads_a_dump_table_by_table(tmp_path: Path) -> None:
    posts = b"".join(b"INSERT INTO wp_posts VALUES (%d);\n" % number for number in range(60_000))
    pieces = [DumpPiece(None, b"-- a dump\n"), DumpPiece("wp_posts", posts), DumpPiece("wp_users", b"-- nobody\n")]
    fd = os.open(tmp_path, os.O_RDONLY)
    sink = ArchiveSink.create(fd, "database_20261101_030000.sql.gz", codec=Codec.GZIP, key=KEY)
    write_dump(pieces, sink)
    sink.publish()
    os.close(fd)
    sections = SecondReader(tmp_path / "database_20261101_030000.sql.gz", KEY).sections()
    assert sections == {"": b"-- a dump\n", "wp_posts": posts, "wp_users": b"-- nobody\n"}

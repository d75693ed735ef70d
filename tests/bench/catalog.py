"""How long the catalog takes to answer: python -m tests.bench.catalog [--files 100000] [--points 100].

The points are forged with the engine's own writer, so that a hundred of them take seconds instead of an hour; one percent
of the files changes from point to point. Every question is asked eleven times; the median is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from smartbackup_panel.adapters.db import domains, points
from smartbackup_panel.bootstrap import Services, open_services
from smartbackup_panel.core.model import COMMAND_LINE, PanelDomain, Point, PointKind, PointState, Verified
from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_sink import ArchiveSink, Totals
from smartbackup_panel.engine.codecs import get_codec, squeeze
from smartbackup_panel.engine.entries import STAT, IndexEntry, sort_key
from smartbackup_panel.engine.layout import ContentKind
from smartbackup_panel.services import catalog, store
from smartbackup_panel.settings import load_settings

CONTENT = b"content"
ENTRIES_A_BLOCK = 150
ROUNDS = 11
START = datetime(2026, 1, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """One row: what was asked, and the median of its times."""

    question: str
    milliseconds: float


def entries(count: int) -> list[IndexEntry]:
    """Return the list of a site: a tenth of the files in one folder, the rest in folders of a hundred."""
    paths = [b"wp-content/uploads/image-%06d.jpg" % at for at in range(count // 10)]
    paths += [code_file(at) for at in range(count * 9 // 10)]
    folders = {b""}
    for path in paths:
        while path := path.rpartition(b"/")[0]:
            folders.add(path)
    rows = [IndexEntry(path, _stat(stat.S_IFDIR | 0o755, 0, 0)) for path in folders]
    digest = hashlib.sha256(CONTENT).digest()
    rows += [IndexEntry(path, _stat(stat.S_IFREG | 0o644, len(CONTENT), 0), digest) for path in paths]
    return sorted(rows, key=lambda row: sort_key(row.path))


def code_file(number: int) -> bytes:
    return b"app/module-%04d/part-%02d/File%d.php" % (number // 1_000, number // 100 % 10, number)


def _stat(mode: int, size: int, version: int) -> bytes:
    moment_ns = 1_700_000_000_000_000_000 + version * 1_000_000_000
    return STAT.pack(mode, 20001, 20001, 1, size, moment_ns, moment_ns, 1, 1)


def changed(rows: list[IndexEntry], version: int) -> list[IndexEntry]:
    """Return the list with one file of a hundred changed."""
    draw = random.Random(version)
    found = list(rows)
    for at in draw.sample(range(len(found)), len(found) // 100):
        if found[at].sha256:
            digest = hashlib.sha256(b"%d" % version).digest()
            facts = _stat(stat.S_IFREG | 0o644, len(CONTENT), version)
            found[at] = msgspec.structs.replace(found[at], stat=facts, sha256=digest)
    return found


def write(folder_fd: int, key: bytes, name: str, rows: list[IndexEntry]) -> bytes:
    """Write a point with this list and one frame; return its root digest."""
    sink = ArchiveSink.create(folder_fd, name, codec=Codec.GZIP, key=key)
    packed = get_codec(Codec.GZIP).pack(CONTENT, 6)
    sink.add_frame(packed, len(CONTENT), hashlib.sha256(packed).digest())
    for at in range(0, len(rows), ENTRIES_A_BLOCK):
        part = rows[at : at + ENTRIES_A_BLOCK]
        plain = msgspec.msgpack.encode(part)
        sink.add_block(part[0].path, squeeze(plain), len(plain), len(part))
    finished = sink.finish(Totals(ContentKind.FULL, bytes(16), 0, 0, len(rows), len(rows), 7, 7, 0), [])
    sink.publish()
    return finished.root_digest


def make_points(services: Services, files: int, count: int) -> str:
    """Write and record the points of one domain; return its id."""
    installation = services.installation
    with installation.state.write() as tx:
        domains.insert_domain(
            tx, "directory", PanelDomain("big", "big.example", "big.example", "big", 0, 0, "/nowhere"), START
        )
        domain = domains.find_live(tx, "big.example")
    assert domain is not None
    rows = entries(files)
    with store.open_store(installation, domain) as folder_fd:
        for number in range(count):
            moment = START + timedelta(days=number)
            name = store.archive_name(moment, PointKind.FULL, Codec.GZIP)
            digest = write(folder_fd, installation.signing_key, name, rows)
            point = a_point(domain.id, number, moment, name, digest.hex(), len(rows))
            with installation.state.write() as tx:
                points.insert_point(tx, point)
            rows = changed(rows, number + 1)
    return domain.id


def a_point(domain_id: str, number: int, moment: datetime, name: str, digest: str, count: int) -> Point:
    return Point(
        id=f"{number + 1:032x}",
        domain_id=domain_id,
        kind=PointKind.FULL,
        state=PointState.GOOD,
        verified=Verified.READ_BACK,
        created_at=moment,
        archive=name,
        archive_bytes=1,
        original_bytes=1,
        file_count=count,
        added=0,
        changed=0,
        deleted=0,
        parent_id=None,
        root_digest=digest,
        sha256=None,
    )


def measure(services: Services, domain_id: str, files: int, count: int) -> Iterator[Answer]:
    """Yield the median time of each question."""
    contents = services.contents
    first, middle, last = (f"{number:032x}" for number in (1, count // 2, count))
    path = code_file(files // 3)
    questions: dict[str, Callable[[], object]] = {
        "browse the root": lambda: contents.folder(COMMAND_LINE, domain_id, last, b""),
        "browse a folder of 100": lambda: contents.folder(COMMAND_LINE, domain_id, middle, b"app/module-0001/part-03"),
        "browse 10,000 in one folder, first page": lambda: contents.folder(
            COMMAND_LINE, domain_id, last, b"wp-content/uploads"
        ),
        "history of a file over all points": lambda: contents.history(COMMAND_LINE, domain_id, path),
        "compare the last two points": lambda: contents.compare(COMMAND_LINE, domain_id, f"{count - 1:032x}", last),
        "compare the first and the last point": lambda: contents.compare(COMMAND_LINE, domain_id, first, last),
        "search a name, one hit": lambda: contents.search(COMMAND_LINE, domain_id, f"file{files // 3}.php"),
        "search a name, no hit": lambda: contents.search(COMMAND_LINE, domain_id, "nothing-is-called-this"),
        "search a name, 1,000 of many hits": lambda: contents.search(COMMAND_LINE, domain_id, "image"),
    }
    for question, ask in questions.items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            ask()
            times.append(time.perf_counter() - began)
        yield Answer(question, 1_000 * statistics.median(times))


def run(files: int, count: int, folder: Path) -> Iterator[Answer]:
    """Yield what was measured in a scratch installation below `folder`."""
    settings = load_settings(
        environment={"SMARTBACKUP_STATE_DIR": str(folder / "state"), "SMARTBACKUP_BACKUP_ROOT": str(folder / "store")}
    )
    services = open_services(settings)
    domain_id = make_points(services, files, count)
    domain = services.queries.domains(COMMAND_LINE)[0]
    began = time.perf_counter()
    added = catalog.catch_up(services.installation, domain)
    assert added == count
    yield Answer(f"make the catalog of {count} points anew", 1_000 * (time.perf_counter() - began))
    path = services.installation.catalog_file(domain_id)
    yield Answer(f"(the catalog has {os.path.getsize(path) / 1e6:.0f} MB)", 0.0)
    yield from measure(services, domain_id, files, count)
    yield forget_one(services, domain_id)


def forget_one(services: Services, domain_id: str) -> Answer:
    """Return how long it takes to drop a point that retention removed."""
    domain = replace(services.queries.domains(COMMAND_LINE)[0], id=domain_id)
    with services.installation.state.write() as tx:
        tx.exec_driver_sql("DELETE FROM points WHERE id = ?", (f"{2:032x}",))
    began = time.perf_counter()
    catalog.catch_up(services.installation, domain)
    return Answer("forget a point", 1_000 * (time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=100)
    chosen = parser.parse_args()
    print(f"{chosen.files:,} files a point, {chosen.points} points")
    with tempfile.TemporaryDirectory() as folder:
        for answer in run(chosen.files, chosen.points, Path(folder)):
            print(f"{answer.milliseconds:10.1f} ms  {answer.question}", flush=True)


if __name__ == "__main__":
    main()

"""Full points: gzip beside pigz, zstd beside zstd, both beside restic and borg."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench import ours
from tests.bench.measure import Contender, Figure, Sample, compare
from tests.bench.peers import repositories, tar_pigz, tar_zstd_sha256
from tests.bench.site import make_mixed_site
from tests.bench.table import Bench, Row, most_row, ratio_row


def measure(bench: Bench) -> list[Row]:
    """Return the rows about full points."""
    site = bench.folder / "site"
    size = make_mixed_site(site, bench.scale)
    with _stores(bench.folder) as stores:
        contenders = [
            Contender("gzip 6", partial(_write, stores, site, {"codec": "gzip", "level": 6})),
            Contender("gzip 6, read back", partial(_write, stores, site, {"codec": "gzip", "level": 6, "verify": 1})),
            Contender("zstd 3", partial(_write, stores, site, {"codec": "zstd", "level": 3})),
            Contender("tar \\| pigz -6", lambda _: tar_pigz(site, bench.folder / "peer.tar.gz")),
            Contender("tar \\| zstd -3 -T0, sha256", lambda _: tar_zstd_sha256(site, bench.folder / "peer.tar.zst")),
            *(Contender(peer.name, partial(peer.begin_and_back_up, site)) for peer in repositories(bench.folder)),
        ]
        figures = {figure.name: figure for figure in compare(contenders, bench.rounds, warm=site)}
    return [*_rows(figures, f"full point ({size})"), _memory(figures)]


def _rows(figures: dict[str, Figure], work: str) -> Iterator[Row]:
    gzip, read_back, zstd, pigz, tar_zstd, restic, borg = figures.values()
    yield ratio_row(f"{work}, gzip 6, durable", gzip, pigz, 3)
    yield ratio_row("… every byte read back too", read_back, pigz, 2)
    yield most_row(
        "… its size, checksums and index included",
        gzip.size_bytes / pigz.size_bytes,
        1.01,
        "×",
        f"{gzip.size_bytes:,} B",
    )
    yield ratio_row("full point, zstd 3", zstd, tar_zstd, 1)
    for peer in (restic, borg):
        yield ratio_row("full point, gzip 6", gzip, peer, 1.8)
        yield ratio_row("… read back too", read_back, peer, 1.3)


def _memory(figures: dict[str, Figure]) -> Row:
    told = ", ".join(f"{figure.name} {figure.peak_bytes / 1e6:.0f}" for figure in figures.values())
    return most_row("memory of a full point", figures["gzip 6, read back"].peak_bytes / 1e6, 200, "MB", told)


@contextmanager
def _stores(folder: Path) -> Iterator[Path]:
    stores = folder / "stores"
    stores.mkdir()
    yield stores
    shutil.rmtree(stores)


def _write(stores: Path, site: Path, options: dict[str, object], number: int) -> Sample:
    """Write a full point into an empty store."""
    store = stores / f"{number}-{options}".replace("/", "")
    done = ours.ask("write", store, site, **options)
    shutil.rmtree(store)
    return ours.sample(done)

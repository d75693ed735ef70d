"""Synthetic full points beside full ones, after one file in a hundred has changed."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path

from tests.bench import ours
from tests.bench.measure import Contender, Figure, Sample, compare
from tests.bench.site import change_neighbours, change_one_percent, make_mixed_site
from tests.bench.table import Bench, Row, ratio_row

_SETTLED_SECONDS = 2.5
"""What was written less than two seconds before a scan is read again by the next one, whatever its times say."""


def measure(bench: Bench) -> list[Row]:
    """Return the rows about synthetic full points: changes as an update makes them, and changes all over the site."""
    site = bench.folder / "site"
    make_mixed_site(site, bench.scale)
    together, full = _compare(bench, site, spread=False)
    spread, full_again = _compare(bench, site, spread=True)
    return [
        ratio_row("synthetic full point, 1 % changed, in neighbouring files", together, full, 5),
        ratio_row("… every hundredth file", spread, full_again, 5),
    ]


def _compare(bench: Bench, site: Path, *, spread: bool) -> list[Figure]:
    stores = bench.folder / f"stores-{spread}"
    stores.mkdir()
    time.sleep(_SETTLED_SECONDS)
    ours.ask("write", stores / "chain", site)
    change = change_one_percent if spread else change_neighbours
    change(site, 0)
    contenders = [
        Contender("synthetic", partial(_synthetic, stores, site)),
        Contender("a full point", partial(_full, stores, site)),
    ]
    figures = compare(contenders, bench.rounds, warm=site)
    shutil.rmtree(stores)
    return figures


def _synthetic(stores: Path, site: Path, number: int) -> Sample:
    """Write a synthetic full point on a chain that stays as it is (nothing of it is on its way to the disk)."""
    chain = stores / f"chain-{number}"
    shutil.copytree(stores / "chain", chain, copy_function=os.link)
    done = ours.ask("write", chain, site, synthetic=1)
    shutil.rmtree(chain)
    return ours.sample(done)


def _full(stores: Path, site: Path, number: int) -> Sample:
    store = stores / f"full-{number}"
    done = ours.ask("write", store, site)
    shutil.rmtree(store)
    return ours.sample(done)

"""Increments: nothing changed, one file in a hundred changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.bench import ours
from tests.bench.measure import Contender, Figure, Sample, compare
from tests.bench.peers import find_printf, repositories
from tests.bench.site import change_one_percent, make_mixed_site
from tests.bench.table import Bench, Row, most_row, ratio_row


def measure(bench: Bench) -> list[Row]:
    """Return the rows about increments."""
    site, store = bench.folder / "site", bench.folder / "store"
    size = make_mixed_site(site, bench.scale)
    peers = repositories(bench.folder)
    ours.ask("write", store, site, verify=1)
    ours.ask("write", store, site, kind="incremental", verify=1)
    for peer in peers:
        peer.begin_and_back_up(site, 0)
        peer.back_up(site, 0)
    contenders = [
        Contender("increment", partial(_increment, store, site)),
        find_printf(site),
        *(Contender(peer.name, partial(peer.back_up, site)) for peer in peers),
    ]
    unchanged, find, *others = compare(contenders, bench.rounds, warm=site)
    one_percent, _, *others_changed = compare(contenders, bench.rounds, partial(change_one_percent, site), warm=site)
    return [
        *(ratio_row(f"increment, nothing changed ({size})", unchanged, other, 8) for other in others),
        _against_find(unchanged, find),
        *(ratio_row("increment, 1 % changed, read back", one_percent, other, 4) for other in others_changed),
    ]


def _against_find(unchanged: Figure, find: Figure) -> Row:
    detail = f"{unchanged.seconds:.3f} s, {find.name} {find.seconds:.3f} s"
    return most_row("… against find -printf, in the worker", unchanged.seconds / find.seconds, 2, "×", detail)


def _increment(store: Path, site: Path, _: int) -> Sample:
    return ours.sample(ours.ask("write", store, site, kind="incremental", verify=1))

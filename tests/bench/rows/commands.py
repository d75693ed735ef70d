"""Whole commands from the shell: an increment beside other programs, many domains at once, the original design's own targets."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from tests.bench.measure import Contender, Figure, Sample, compare, run_pipeline
from tests.bench.peers import repositories
from tests.bench.site import make_mixed_site
from tests.bench.table import Bench, Row, most_row, ratio_row
from tests.support.installation import SMARTBACKUP, Installation, make_installation

_DOMAIN = "shop.example.test"
_MANY = [f"site{number}.example.test" for number in range(10)]
_SMALL, _MEDIUM, _LARGE = 50e6, 500e6, 5e9
_BASE = 570e6
"""What the mixed site holds at scale 1 (bytes)."""


def measure(bench: Bench) -> list[Row]:
    """Return the rows about whole commands."""
    return [*_increment(bench), *_many(bench), *_targets(bench)]


def _increment(bench: Bench) -> list[Row]:
    """Return how an increment without changes compares when everything counts that a shell waits for."""
    with make_installation() as installation:
        site = installation.domains_root / _DOMAIN
        size = make_mixed_site(site, bench.scale)
        peers = repositories(bench.folder)
        _run(installation, "backup", _DOMAIN)
        for peer in peers:
            peer.begin_and_back_up(site, 0)
        contenders = [
            Contender("smartbackup backup", lambda _: _run(installation, "backup", _DOMAIN, "--type", "incremental")),
            *(Contender(peer.name, partial(peer.back_up, site)) for peer in peers),
        ]
        mine, *others = compare(contenders, bench.rounds, warm=site)
    return [ratio_row(f"`smartbackup backup`, nothing changed ({size})", mine, other, 3) for other in others]


def _many(bench: Bench) -> list[Row]:
    """Return how much sooner ten domains are done when four are backed up at once (the original design: −70 %)."""
    with make_installation() as installation:
        for domain in _MANY:
            size = make_mixed_site(installation.domains_root / domain, bench.scale / 20)
        _run(installation, "backup", "--all")
        rows = []
        for kind in ("full", "incremental"):
            four, one = compare(
                [
                    Contender("four at once", partial(_all, installation, kind, 4)),
                    Contender("one after the other", partial(_all, installation, kind, 1)),
                ],
                bench.rounds,
            )
            row = ratio_row(f"`backup --all`, ten domains of {size}, {kind}", four, one, 2.2)
            rows.append(replace(row, detail=f"{row.detail}; {_most(four, one)}"))
    return rows


def _most(four: Figure, one: Figure) -> str:
    """Say how much sooner the processors would allow at best: one domain alone uses more than one of them already."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores allow at most {one.seconds * cores / four.cpu_seconds:.2f} ×"


def _targets(bench: Bench) -> list[Row]:
    """Return the original design's tests 18 and 19: analysis within a second, and how long first points may take."""
    rows = []
    for name, size_bytes, most in (("small", _SMALL, 10), ("medium", _MEDIUM, 60), ("large", _LARGE, 300)):
        with make_installation() as installation:
            size = make_mixed_site(installation.domains_root / _DOMAIN, bench.scale * size_bytes / _BASE)
            (analysis,) = compare([Contender("analyze", partial(_analyse, installation))], bench.rounds)
            backup = _run(installation, "backup", _DOMAIN)
        if name == "medium":
            rows.append(most_row(f"test 18: `analyze`, {size}", analysis.seconds, 1, "s"))
        rows.append(most_row(f"test 19: first `backup` of a {name} site, {size}", backup.seconds, most, "s"))
    return rows


def _analyse(installation: Installation, _: int) -> Sample:
    return _run(installation, "analyze", _DOMAIN)


def _all(installation: Installation, kind: str, at_once: int, _: int) -> Sample:
    return _run(installation, "backup", "--all", "--type", kind, concurrency=at_once)


def _run(installation: Installation, *arguments: str, concurrency: int = 4) -> Sample:
    environment = {**installation.environment, "SMARTBACKUP_CONCURRENCY": str(concurrency)}
    return run_pipeline([str(SMARTBACKUP), *arguments, "--json"], environment=environment)

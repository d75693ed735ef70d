"""Rows of the benchmark's table, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Figure


@dataclass(frozen=True)
class Bench:
    """What a module of rows works with: a folder of its own for everything, and how thorough to be."""

    folder: Path
    rounds: int
    scale: float
    most_files: int


@dataclass(frozen=True)
class Row:
    """A line of the table: a budget, what was reached, and whether that is enough."""

    work: str
    reached: str
    budget: str
    is_met: bool
    detail: str = ""


Measure = Callable[[Bench], Sequence[Row]]


def ratio_row(work: str, ours: Figure, peer: Figure, least: float) -> Row:
    """Return the row that asks for at least `least` times the peer's speed."""
    ratio = peer.seconds / ours.seconds
    detail = f"{ours.seconds:.2f} s, {peer.name} {peer.seconds:.2f} s; processor {ours.cpu_seconds:.2f} / {peer.cpu_seconds:.2f} s"
    return Row(f"{work}, against {peer.name}", f"{ratio:.2f} ×", f"≥ {least:g} ×", ratio >= least, detail)


def most_row(work: str, value: float, most: float, unit: str, detail: str = "") -> Row:
    """Return the row that asks for at most `most`."""
    return Row(work, f"{value:.3g} {unit}", f"≤ {most:g} {unit}", value <= most, detail)


def render(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = ["| work | reached | budget | | figures |", "|---|---:|---:|---|---|"]
    lines = [
        f"| {row.work} | {row.reached} | {row.budget} | {'met' if row.is_met else '**open**'} | {row.detail} |"
        for row in rows
    ]
    return "\n".join([*head, *lines])

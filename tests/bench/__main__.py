"""Measures everything, or the rows that are named, and prints the table: python -m tests.bench."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.rows import ROWS
from tests.bench.table import Bench, Row, render


def main() -> int:
    """Return 0 when every measured budget is met."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measure this product beside what people use.")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender; the median counts")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the mixed site; 1 is 24,000 files and 570 MB")
    parser.add_argument("--files", type=int, default=100_000, help="end of the growth curve, up to 1,000,000")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"which of {', '.join(ROWS)}")
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp"), help="where the scratch folder of 20 GB is made"
    )
    chosen = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="sb-bench-", dir=chosen.folder))
    found: list[Row] = []
    try:
        for name in chosen.rows.split(","):
            (scratch / name).mkdir()
            print(f"measuring {name}", file=sys.stderr)
            found += ROWS[name](Bench(scratch / name, chosen.rounds, chosen.scale, chosen.files))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.release()}, Python {platform.python_version()}."
    )
    print(f"Median of {chosen.rounds}; warm cache; load average {os.getloadavg()[1]:.1f}.\n")
    print(render(found))
    return 0 if all(row.is_met for row in found) else 1


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())

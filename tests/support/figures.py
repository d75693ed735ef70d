"""Makes docs/figures.md from what a long run of the tests recorded.

python -m tests.support.figures RECORDED TARGET
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

Figure = Callable[[str, float, str], None]
"""Records a measured figure: `figure(name, value, unit)`."""

_INTRODUCTION = """# Figures of the last long run

Written by `tests/run --long`; each figure is recorded by the test that measured it.

Machine: {machine}, {cores} cores, Python {python}. Date: {date}.

| what | value | unit |
|---|---:|---|
"""


def render(recorded: str) -> str:
    """Return the page for the recorded lines (JSON, one a line: name, value, unit), the last value of a name counting."""
    rows = {figure["name"]: figure for figure in map(json.loads, recorded.splitlines())}
    lines = [f"| {name} | {_shown(rows[name]['value'])} | {rows[name]['unit']} |" for name in sorted(rows)]
    heading = _INTRODUCTION.format(
        machine=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    return heading + "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(render(Path(sys.argv[1]).read_text("utf-8")), "utf-8")

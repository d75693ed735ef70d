"""A progress bar on a terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Job, Progress

Watch = Callable[["Job", "Progress"], None]


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Give a function that shows where a job is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _job, _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("waiting", total=None)

        def show(_job: Job, progress: object) -> None:
            phase, done, total = (getattr(progress, name) for name in ("phase", "done_bytes", "total_bytes"))
            bar.update(task, description=phase, completed=done, total=total or None)

        yield show

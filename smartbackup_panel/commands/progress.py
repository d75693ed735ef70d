"""A progress bar on a terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Job
    from smartbackup_panel.core.model import Progress as JobProgress

Watch = Callable[["Job", "JobProgress"], None]


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Give a function that shows where a job is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _job, _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(job: Job, progress: JobProgress) -> None:
            if job.id not in tasks:
                tasks[job.id] = bar.add_task("waiting", total=None)
            done, total = progress.done_bytes, progress.total_bytes or None
            bar.update(tasks[job.id], description=progress.phase, completed=done, total=total)

        yield show

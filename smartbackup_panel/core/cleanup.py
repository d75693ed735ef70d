"""Taking back what was begun where it does not come to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` where the block does not come to its end, whatever stopped it; what stopped it goes on its way."""
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if not is_done:
            undo()

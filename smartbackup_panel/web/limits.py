"""A rate limit inside this process: enough against loops and guessing, without a server of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

_MOST_KEYS = 10_000


class RateLimit:
    """At most `limit` calls of a key in each window of `window_seconds`. Thread-safe; memory is bounded."""

    def __init__(self, limit: int, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}
        self._lock = Lock()

    def allows(self, key: str) -> bool:
        """Count one call of `key` and return whether it is within the limit."""
        now = self._clock()
        with self._lock:
            began, calls = self._windows.get(key, (now, 0))
            if now - began >= self.window_seconds:
                began, calls = now, 0
            if len(self._windows) >= _MOST_KEYS and key not in self._windows:
                self._forget_old(now)
            self._windows[key] = (began, calls + 1)
            return calls < self.limit

    def _forget_old(self, now: float) -> None:
        """Drop the windows that are over, or the oldest tenth where none is."""
        fresh = {key: window for key, window in self._windows.items() if now - window[0] < self.window_seconds}
        if len(fresh) >= _MOST_KEYS:
            oldest_first = sorted(fresh, key=lambda key: fresh[key][0])
            for key in oldest_first[: _MOST_KEYS // 10]:
                del fresh[key]
        self._windows = fresh

"""The system's clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The real time of day."""

    def now(self) -> datetime:
        return datetime.now(UTC)

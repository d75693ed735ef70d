"""How programs of this product write their logs: one event is one line, whatever names stand in it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from smartbackup_panel.core.quoting import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class LogLines(logging.Formatter):
    """`TIME LEVEL LOGGER MESSAGE key=value …`, the time in UTC; a traceback follows, each line behind a bar.

    Nobody's name or message can end a line and begin one of its own (SECURITY rule 8).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and those of the traceback if there is one."""
        at = datetime.fromtimestamp(record.created, UTC)
        told = [f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD]
        line = " ".join([f"{at:%Y-%m-%dT%H:%M:%S}Z", record.levelname, record.name, record.getMessage(), *told])
        if record.exc_info is None:
            return printable(line)
        rows = self.formatException(record.exc_info).split("\n")
        return "\n".join([printable(line), *(f"  | {printable(row)}" for row in rows)])


def write_log() -> None:
    """Write this process's log to its error output."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])

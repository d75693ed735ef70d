"""One event is one line of a log."""

from __future__ import annotations

import logging
import sys

from smartbackup_panel.log_lines import LogLines


def line_of(message: str, *arguments: object, **extra: object) -> str:
    record = logging.makeLogRecord(
        {"name": "smartbackup", "levelname": "INFO", "created": 1.0, "msg": message, "args": arguments, **extra}
    )
    return LogLines().format(record)


def test_a_line_has_its_time_and_what_was_told_with_it() -> None:
    assert line_of("event %s", "refused", event_file="a b") == (
        "1970-01-01T00:00:01Z INFO smartbackup event refused event_file=a b"
    )


def test_names_cannot_begin_a_line_or_steer_a_terminal() -> None:
    forged = "x\n1970-01-01T00:00:02Z INFO smartbackup all is well\x1b[2J\r\u2028\u202e"
    assert line_of("domain %s", forged, file=forged).count("\n") == 0
    assert line_of("domain %s", forged, file=forged).isprintable()


def test_a_traceback_stands_behind_bars() -> None:
    try:
        raise ValueError("first\nINFO smartbackup all is well")
    except ValueError:
        written = line_of("job failed", exc_info=sys.exc_info(), job="5")
    first, *rest = written.split("\n")
    assert first == "1970-01-01T00:00:01Z INFO smartbackup job failed job=5"
    assert len(rest) > 2
    assert all(row.startswith("  | ") for row in rest)

"""Reading a PHP file ends in time, whatever is in it."""

from __future__ import annotations

import time

import pytest

from smartbackup_panel.engine.applications.php_values import read_php_values


def test_a_file_that_a_parser_chokes_on_is_given_up_in_time() -> None:
    begin = time.process_time()
    values = read_php_values("<?php define('DB_NAME', 'x');" + '"{$a["' * 400_000)
    assert time.process_time() - begin < 2.0
    assert not values.is_complete
    assert values.find("DB_NAME") == (None, None)


def test_time_that_runs_out_between_parsing_and_reading_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node asks for its text for ever where the source gives it nothing any more."""
    calls = iter(range(1_000_000))
    monkeypatch.setattr("smartbackup_panel.engine.applications.php_values.time.monotonic", lambda: next(calls) * 0.01)
    values = read_php_values("<?php " + "define('DB_NAME', 'x');" * 5_000)
    assert not values.is_complete


@pytest.mark.parametrize(
    ("php", "found"),
    [
        ("$x = 'a'; $x = 'b';", ("b", None)),
        ("$x = 'a'; if (f()) { $x = 'b'; }", (None, "has different values depending on a condition")),
        ("if (f()) { $x = 'b'; } $x = 'a';", ("a", None)),
        ("$x = $y = 'b';", (None, "is computed by PHP (an expression, getenv or another constant)")),
        ("$y = 'b';", (None, None)),
    ],
)
def test_a_variable_has_its_last_value(php: str, found: tuple[str | None, str | None]) -> None:
    assert read_php_values(f"<?php {php}").find("$x") == found

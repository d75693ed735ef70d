"""docs/figures.md is made from what the tests recorded, and from nothing else."""

from __future__ import annotations

from tests.support.figures import render


def test_the_last_value_of_each_figure_is_a_row_with_its_unit() -> None:
    recorded = (
        '{"name": "trees restored", "value": 12, "unit": "trees"}\n'
        '{"name": "hook, median", "value": 0.00512, "unit": "s"}\n'
        '{"name": "trees restored", "value": 1500, "unit": "trees"}\n'
    )
    rows = [line for line in render(recorded).splitlines() if line.startswith("| ")]
    assert rows == [
        "| what | value | unit |",
        "| hook, median | 0.00512 | s |",
        "| trees restored | 1,500 | trees |",
    ]

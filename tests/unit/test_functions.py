"""docs/functions.md names things that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from smartbackup_panel.cli import program

ROWS = [
    line.split(" | ")
    for line in (Path(__file__).resolve().parents[2] / "docs" / "functions.md").read_text("utf-8").splitlines()
    if re.match(r"\| \d", line)
]


def test_all_thirteen_functions_are_there() -> None:
    assert [int(row[0].strip("| ")) for row in ROWS] == list(range(1, 14))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[1]))
def test_the_code_and_the_command_exist(row: list[str]) -> None:
    for name in re.findall(r"`((?:services|core|engine)\.[\w.]+)`", row[2]):
        parts = name.split(".")
        found = importlib.import_module("smartbackup_panel." + ".".join(parts[:2]))
        for part in parts[2:]:
            found = getattr(found, part)
    words = re.findall(r"`smartbackup ([a-z-]+)(?: ([a-z]+))?", row[3])[0]
    group = program.commands[words[0]]
    assert not isinstance(group, click.Group) or words[1] in group.commands

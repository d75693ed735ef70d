"""The docs name every setting, command and error code, as they are."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from smartbackup_panel.cli import program
from smartbackup_panel.core.errors import SmartBackupError, all_errors
from smartbackup_panel.settings import SettingDoc, table

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def commands(group: click.Group, above: str = "") -> list[str]:
    found = []
    for name, command in group.commands.items():
        found.append(f"{above}{name}")
        if isinstance(command, click.Group):
            found += commands(command, f"{above}{name} ")
    return found


@pytest.mark.parametrize("setting", table(), ids=lambda setting: str(setting.name))
def test_every_setting_is_in_the_readme_with_its_default_and_meaning(setting: SettingDoc) -> None:
    default = f"`{setting.default}`" if setting.default else ""
    assert f"| `{setting.variable}` | {default} | {setting.doc} |" in README


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: str(error.code))
def test_every_error_is_in_the_readme_with_its_codes(error: type[SmartBackupError]) -> None:
    first = (error.__doc__ or "").splitlines()[0]
    assert f"| `{error.code}` | {error.exit_code} | {error.http_status} | {first} {error.default_hint} |" in README


def test_error_codes_are_unique() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("name", commands(program))
def test_every_command_is_in_the_readme(name: str) -> None:
    group, _, action = name.partition(" ")
    section = README.split("## Commands")[1].split("## Errors")[0]
    if action:
        assert any(f"{group} " in line and action in line for line in section.splitlines())
    else:
        assert f"`smartbackup {group}" in section

"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.figures import Figure
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import mariadb_server
from tests.support.wordpress_package import wordpress_package

__all__ = ["figure", "installation", "mariadb_server", "open_folder", "wordpress_package"]

STARTED = time.monotonic()
LONGEST_FIRST = ("test_every_syscall.py", "test_simulated_year.py")
"""What a long run begins with: it would wait for these alone at its end."""


@pytest.fixture
def installation() -> Iterator[Installation]:
    """Give a scratch installation without domains; its worker and pages are started by the test."""
    with make_installation() as made:
        yield made


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give an empty folder that every user can pass through (pytest's own belongs to one user alone)."""
    folder = Path(tempfile.mkdtemp(prefix="sb-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def figure() -> Figure:
    """Give `figure(name, value, unit)`: it records a measured figure for docs/figures.md during a long run."""
    return _record


def _record(name: str, value: float, unit: str) -> None:
    target = os.environ.get("SMARTBACKUP_FIGURES")
    if target:
        with open(target, "a", encoding="utf-8") as figures:
            figures.write(json.dumps({"name": name, "value": value, "unit": unit}) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    if os.environ.get("SMARTBACKUP_LONG"):
        names = dict(zip(LONGEST_FIRST, range(len(LONGEST_FIRST)), strict=True))
        items.sort(key=lambda item: names.get(item.path.name, len(names)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Record how much ran, and for how long."""
    if hasattr(session.config, "workerinput"):
        return  # one of several processes: the one that started them knows the whole
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    told = reporter.stats if reporter is not None else {}
    _record("whole run: tests that passed", len(told.get("passed", [])), "tests")
    _record("whole run: tests that failed", len(told.get("failed", [])) + len(told.get("error", [])), "tests")
    _record("whole run: time", (time.monotonic() - STARTED) / 60, "minutes")

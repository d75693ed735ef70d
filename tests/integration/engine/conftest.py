"""Fixtures of the engine's tests: a place that tenants can reach, a site, and its store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.engine.store import Store


@pytest.fixture
def site(open_folder: Path) -> Path:
    """Give an empty domain folder."""
    folder = open_folder / "shop.example"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def store(open_folder: Path, site: Path) -> Iterator[Store]:
    """Give the store of that site; its agents stay the user of the tests."""
    made = Store(open_folder / "store", site)
    yield made
    made.close()

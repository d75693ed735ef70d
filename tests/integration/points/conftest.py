"""A host with a real site: its clock belongs to the test, its archives, agents and state are real."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.points.living import Living
from tests.support.clock import a_host


@pytest.fixture
def living() -> Iterator[Living]:
    """Give a host with the domain shop.example; its folder can be passed through by every tenant."""
    folder = Path(tempfile.mkdtemp(prefix="sb-test-"))
    os.chmod(folder, 0o711)
    try:
        with a_host(folder) as host:
            yield Living.on(host)
    finally:
        shutil.rmtree(folder)

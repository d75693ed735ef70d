"""The engine's own fixtures serve here too."""

from tests.integration.engine.conftest import site, store

__all__ = ["site", "store"]

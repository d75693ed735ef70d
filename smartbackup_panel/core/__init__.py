"""Decisions: frozen dataclasses and pure functions. Imports the standard library and croniter only."""

"""Migrations of the state, run by Alembic from the program's own code."""

"""Moves bytes: scanning, archives, verification and restores of files."""

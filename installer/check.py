"""Tries the whole product once, unattended: backs up sample sites, verifies and restores them, leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import click

from installer.setup import Failed, Setup, prepare
from installer.trees import differences, tree_of


def check() -> None:
    """Return when every sample site came back exactly; raises Failed otherwise. Either way nothing is left."""
    scratch = Path(tempfile.mkdtemp(prefix="smartbackup-check-"))
    # The sites' owner has to pass through, as through any folder above a document root.
    scratch.chmod(0o711)
    try:
        _walk(scratch)
    finally:
        Setup.stop_programs(scratch / "state")
        shutil.rmtree(scratch)
    click.echo("Everything works: backed up, verified, restored and compared byte by byte. Nothing is left running.")


def _walk(scratch: Path) -> None:
    """Back up, verify and restore; raises Failed at the first thing that is not right."""
    state = scratch / "state"
    state.mkdir(mode=0o700)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMARTBACKUP_")}
    setup = prepare(state, {**clean, "SMARTBACKUP_DOMAINS_ROOT": str(scratch / "domains")})
    setup.create_admin()
    setup.start()
    click.echo(f"The worker and the pages run ({setup.url}).")
    for domain in setup.cover_all_domains(say=click.echo):
        _verify_and_restore(setup, domain, scratch / "restored" / domain)


def _verify_and_restore(setup: Setup, domain: str, target: Path) -> None:
    points = setup.smartbackup("points", domain)
    if not points:
        raise Failed(f"{domain} has no restore point")
    setup.smartbackup("verify", domain)
    target.parent.mkdir(mode=0o755, exist_ok=True)
    setup.smartbackup("restore", domain, "--point", points[0]["point"], "--to", str(target), "--files-only", "--yes")
    expected, found = tree_of(setup.domains_root / domain), tree_of(target)
    if wrong := differences(expected, found):
        raise Failed(f"{domain} did not come back as it was: " + "; ".join(wrong[:5]))
    files = [entry for entry in expected.values() if entry.kind == "file"]
    size_bytes = sum(entry.size_bytes for entry in files)
    click.echo(f"  {domain}: verified; {len(files)} files ({size_bytes:,} bytes) restored and equal")

"""Tries the whole product once, unattended: backs up every domain, verifies, restores one, leaves nothing running."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import click

from installer.setup import Failed, Setup, prepare
from installer.trees import differences, tree_of


def check() -> None:
    """Return when every domain is backed up and verified and one came back exactly; raises Failed otherwise.

    The domains are those that a quickstart would take: of SMARTBACKUP_DOMAINS_ROOT, else sample sites. All that is made
    lies in a scratch folder that is removed, but for what SMARTBACKUP_STATE_DIR and SMARTBACKUP_BACKUP_ROOT name.
    """
    scratch = Path(tempfile.mkdtemp(prefix="smartbackup-check-"))
    # The sites' owner has to pass through, as through any folder above a document root.
    scratch.chmod(0o711)
    state = Path(os.environ.get("SMARTBACKUP_STATE_DIR") or scratch / "state")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    was_running = bool(Setup.running_programs(state))
    try:
        _walk(scratch, state)
    finally:
        if not was_running:
            Setup.stop_programs(state)
        shutil.rmtree(scratch)
    click.echo("Everything works: backed up, verified, restored and compared byte by byte. Nothing is left running.")


def _walk(scratch: Path, state: Path) -> None:
    """Back up, verify and restore; raises Failed at the first thing that is not right."""
    setup = prepare(state, os.environ, samples=scratch / "domains")
    setup.create_admin()
    setup.start()
    click.echo(f"The worker and the pages run ({setup.url}).")
    domains = setup.cover_all_domains(say=click.echo)
    if not domains:
        raise Failed(f"there is no domain in {setup.domains_root}")
    for domain in domains:
        setup.smartbackup("verify", domain)
        click.echo(f"  {domain}: verified")
    _restore_one(setup, domains, scratch / "restored")


def _restore_one(setup: Setup, domains: list[str], target: Path) -> None:
    """Restore the smallest domain of which nothing is missing into a scratch folder and compare every byte."""
    points = {domain: rows[0] for domain in domains if (rows := setup.smartbackup("points", domain))}
    whole = {domain: point for domain, point in points.items() if point["state"] == "good"}
    if not whole:
        raise Failed("no domain has a restore point from which nothing is missing")
    domain = min(whole, key=lambda name: int(whole[name]["original_bytes"]))
    point, root = whole[domain]["point"], setup.root_of(domain)
    setup.smartbackup("restore", domain, "--point", point, "--to", str(target), "--files-only", "--yes")
    expected, found = tree_of(root), tree_of(target)
    if wrong := differences(expected, found):
        raise Failed(f"{domain} did not come back as it was: " + "; ".join(wrong[:5]))
    files = [entry for entry in expected.values() if entry.kind == "file"]
    size_bytes = sum(entry.size_bytes for entry in files)
    click.echo(f"  {domain}: {len(files)} files ({size_bytes:,} bytes) restored and equal")

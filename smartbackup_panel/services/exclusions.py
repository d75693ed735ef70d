"""What a domain leaves out: the settings' profile and patterns, its own choices, and the application that was found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import policies
from smartbackup_panel.core.errors import BadSetting
from smartbackup_panel.core.exclusions import Exclusions, Profile, critical_paths
from smartbackup_panel.core.model import Domain
from smartbackup_panel.core.tree import Excluded, ScanOptions
from smartbackup_panel.engine.exclusions import compile_exclusions
from smartbackup_panel.services.installation import Installation

LISTED = 50


@dataclass(frozen=True, slots=True)
class Site:
    """The application of a domain: its kind and the folder that is served, relative to the domain's."""

    kind: str
    document_root: str

    @classmethod
    def of(cls, domain: Domain, found: Mapping[str, object] | None = None) -> Site:
        """Return what was found just now, or else at the last look."""
        if found is not None:
            return cls(str(found.get("kind", "")), str(found.get("document_root", "")))
        served = os.path.relpath(domain.document_root or domain.root, domain.root)
        return cls(domain.application or "", "" if served == "." or served.startswith("..") else served)


def scan_options(installation: Installation, domain: Domain, found: Mapping[str, object] | None = None) -> ScanOptions:
    """Return what a scan of this domain leaves out; `found` is what the agent says of its application now."""
    with installation.state.read() as tx:
        chosen = exclusions_of(installation, tx, domain.id)
    return ScanOptions(
        exclude=lines_of(chosen, Site.of(domain, found)),
        nested_roots=tuple(os.fsencode(root) for root in domain.nested_roots),
        rebuildable=chosen.rebuildable,
    )


def exclusions_of(installation: Installation, tx: Connection, domain_id: str) -> Exclusions:
    """Return the settings' exclusions with a domain's own choices."""
    return general_exclusions(installation).changed(policies.find_policy(tx, domain_id).exclusions)


def general_exclusions(installation: Installation) -> Exclusions:
    """Return what the settings leave out of every domain."""
    settings = installation.settings
    return Exclusions(Profile(settings.exclude_profile), settings.exclude, settings.exclude_rebuildable)


def lines_of(chosen: Exclusions, site: Site) -> tuple[str, ...]:
    """Return the patterns for a site, in gitignore syntax."""
    return chosen.lines(site.kind, site.document_root)


def find_critical(lines: Sequence[str], site: Site) -> list[str]:
    """Return the paths that a site cannot be put back without and that the patterns leave out. Raises BadSetting."""
    is_excluded = compile_exclusions(tuple(lines))
    if is_excluded is None:
        return []
    found = []
    for name in critical_paths(site.kind, site.document_root):
        names = name.rstrip("/").split("/")
        above = [("/".join(names[:depth]), True) for depth in range(1, len(names))]
        checked = [*above, (name.rstrip("/"), name.endswith("/"))]
        content = [(name + "x", False)] if name.endswith("/") else []
        if any(is_excluded(os.fsencode(path), is_folder) for path, is_folder in [*checked, *content]):
            found.append(name)
    return found


def wrong_lines(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Return the lines that are no patterns as (number from 1, what is wrong with it)."""
    wrong = []
    for number, line in enumerate(lines, 1):
        try:
            compile_exclusions((line,))
        except BadSetting as error:
            wrong.append((number, error.message))
    return wrong


def left_out_fields(options: ScanOptions, excluded: Excluded) -> dict[str, object]:
    """Return what the rules left out of a point, as its record and its `.meta` have it."""
    first = [
        {"path": row.path.decode("utf-8", "surrogateescape"), "files": row.file_count, "bytes": row.size_bytes}
        for row in excluded.first[:LISTED]
    ]
    return {
        "patterns": list(options.exclude),
        "paths": excluded.path_count,
        "files": excluded.file_count,
        "bytes": excluded.size_bytes,
        "is_complete": excluded.is_complete,
        "first": first,
    }

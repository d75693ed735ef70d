"""`smartbackup browse`, `cat`, `diff`, `history`, `search`, `export`: looking into restore points."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from smartbackup_panel.commands.session import Session, command

if TYPE_CHECKING:
    from smartbackup_panel.core.model import Domain
    from smartbackup_panel.core.tree import Entry
    from smartbackup_panel.services.contents import Contents
    from smartbackup_panel.services.installation import Installation
    from smartbackup_panel.services.pages import Version
    from smartbackup_panel.services.queries import Queries

POINT = "A point's id, the beginning of it, its archive's name, or 'latest'."


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help=POINT)
@click.argument("path", required=False, default="")
@command
def browse(session: Session, domain: str, point: str, path: str) -> None:
    """List what a point holds in a folder."""
    from smartbackup_panel.commands.tables import show_table, size
    from smartbackup_panel.core.errors import UnknownPath
    from smartbackup_panel.core.quoting import quoted
    from smartbackup_panel.core.tree import EntryType
    from smartbackup_panel.services.contents import open_archives

    with open_archives(*parts(session), domain_of(session, domain), point) as archives:
        wanted = checked_path(path)
        found = archives.find(wanted)
        if found is None:
            raise UnknownPath(f"the point holds no {quoted(wanted)}")
        entries = archives.children(wanted) if found.type is EntryType.DIRECTORY else [found]
    rows = [(entry.type, f"{entry.mode:04o}", entry.user, size(entry.size), _name(entry.path)) for entry in entries]
    session.answer(
        [_entry(entry) for entry in entries], lambda: show_table(("type", "mode", "owner", "size", "name"), rows)
    )


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help=POINT)
@click.argument("path")
@command
def cat(session: Session, domain: str, point: str, path: str) -> None:
    """Write one file of a point to the standard output, after its checksum matched."""
    from smartbackup_panel.engine.archive_reader import read_file
    from smartbackup_panel.services.contents import open_archives

    with open_archives(*parts(session), domain_of(session, domain), point) as archives:
        read_file(archives, checked_path(path), sys.stdout.fileno())


@click.command()
@click.argument("domain")
@click.argument("older")
@click.argument("newer")
@command
def diff(session: Session, domain: str, older: str, newer: str) -> None:
    """Show what differs between two points of a domain."""
    from smartbackup_panel.commands.tables import show_table
    from smartbackup_panel.core.model import COMMAND_LINE

    found, contents = _catalog_of(session, domain)
    one, other = (session.services.queries.point_named(COMMAND_LINE, found.id, text).id for text in (older, newer))
    compared = contents.compare(COMMAND_LINE, found.id, one, other, limit=None)
    lists = {
        name: [_name(row.path) for row in listed.rows]
        for name, listed in (("added", compared.added), ("changed", compared.changed), ("removed", compared.removed))
    }
    rows = [(name, path) for name, paths in lists.items() for path in paths]
    session.answer({"domain": domain, **lists}, lambda: show_table(("change", "path"), rows))


@click.command()
@click.argument("domain")
@click.argument("path")
@command
def history(session: Session, domain: str, path: str) -> None:
    """List the versions of a file over all points, newest first."""
    from smartbackup_panel.commands.tables import show_table, size
    from smartbackup_panel.core.model import COMMAND_LINE

    found, contents = _catalog_of(session, domain)
    told = contents.history(COMMAND_LINE, found.id, checked_path(path))
    rows = [
        (
            f"{version.points[-1].created_at:%Y-%m-%d %H:%M}",
            "now" if version.is_newest else f"{version.points[0].created_at:%Y-%m-%d %H:%M}",
            len(version.points),
            version.points[0].id[:8],
            version.entry.type,
            size(version.entry.size),
            f"{datetime.fromtimestamp(version.entry.mtime_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}",
        )
        for version in told.versions
    ]
    headings = ("from (UTC)", "to (UTC)", "points", "point", "type", "size", "modified (UTC)")
    session.answer([_version(version) for version in told.versions], lambda: show_table(headings, rows))


@click.command()
@click.argument("domain")
@click.argument("text")
@command
def search(session: Session, domain: str, text: str) -> None:
    """Find paths of all points by a part of their name; with a slash, also of their folder."""
    from smartbackup_panel.commands.tables import show_table, size
    from smartbackup_panel.core.model import COMMAND_LINE

    found, contents = _catalog_of(session, domain)
    told = contents.search(COMMAND_LINE, found.id, text)
    rows = [
        (
            "in the newest point" if hit.is_newest else f"gone after {hit.points[0].created_at:%Y-%m-%d %H:%M}",
            hit.points[0].id[:8],
            hit.entry.type,
            size(hit.entry.size),
            _name(hit.entry.path),
        )
        for hit in told.hits
    ]
    document = {"domain": domain, "hits": [_version(hit) for hit in told.hits], "has_more": told.has_more}
    session.answer(document, lambda: show_table(("state", "point", "type", "size", "path"), rows))


@click.command()
@click.argument("domain")
@click.option("--point", required=True, help=POINT)
@click.option("--path", "paths", multiple=True, help="Only this file or folder; may be given several times.")
@click.option(
    "--format", "kind", type=click.Choice(["tar.gz", "zip", "file"]), default="tar.gz", help="file: one file as it is."
)
@click.option("--output", required=True, help="The new file to write; never one that exists.")
@command
def export(session: Session, domain: str, point: str, paths: tuple[str, ...], kind: str, output: str) -> None:
    """Write files and folders of a point, or all of it, into an archive that anybody unpacks."""
    from smartbackup_panel.commands.tables import show_facts
    from smartbackup_panel.core.tree import ExportFormat
    from smartbackup_panel.services.downloads import export_to_file

    chosen = [checked_path(path) for path in paths] or [b""]
    found = session.domain(domain)
    result = export_to_file(*parts(session), found, point, chosen, ExportFormat(kind), os.path.abspath(output))
    session.answer(result, lambda: show_facts(result.items()))


def parts(session: Session) -> tuple[Installation, Queries]:
    """Return what looking into points needs."""
    return session.services.installation, session.services.queries


def domain_of(session: Session, name: str) -> str:
    """Return the id of a domain by its name."""
    return session.domain(name).id


def checked_path(text: str) -> bytes:
    """Return a path inside a point as bytes, as shells complete it ("./a/"); raises UnsafePath for one that could lead out."""
    from smartbackup_panel.services import paths

    path = os.fsencode(text).strip(b"/")
    while path.startswith(b"./"):
        path = path[2:].lstrip(b"/")
    return paths.checked_path(b"" if path == b"." else path)


def _catalog_of(session: Session, name: str) -> tuple[Domain, Contents]:
    """Return a domain whose catalog has been brought up to date."""
    from smartbackup_panel.services.catalog import catch_up

    found = session.domain(name)
    catch_up(session.services.installation, found)
    return found, session.services.contents


def _name(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _version(version: Version) -> dict[str, Any]:
    return {
        **_entry(version.entry),
        "points": [point.id for point in version.points],
        "first_at": version.points[-1].created_at.isoformat(),
        "last_at": version.points[0].created_at.isoformat(),
        "in_newest": version.is_newest,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "path": _name(entry.path),
        "type": entry.type,
        "size_bytes": entry.size,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "owner": entry.user,
        "mtime_ns": entry.mtime_ns,
        "sha256": entry.sha256.hex() if entry.sha256 else None,
        "link": entry.link.decode("utf-8", "surrogateescape") or None,
        "skipped": entry.reason,
    }

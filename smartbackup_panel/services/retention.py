"""Old points go: judged again in the transaction that removes their records, files after it, oldest chain first (rule 18).

A crash at any instant leaves either the records with their files, or no records and a note of the files, which whoever
comes next carries through. Nothing goes while the clock is suspect.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import people, points, schedules
from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused
from smartbackup_panel.core.model import Domain, Point, Progress
from smartbackup_panel.core.retention import Verdict
from smartbackup_panel.core.scrub import bytes_of
from smartbackup_panel.services import sidecars, store
from smartbackup_panel.services.alarms import clock_is_suspect
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.new_fulls import make_new_fulls
from smartbackup_panel.services.policies import judge


def remove_old_points(context: JobContext, domain: Domain) -> Outcome:
    """Remove what no rule of the domain keeps and return what went and why; the dry run lists the same."""
    installation = context.installation
    store.remove_leftovers(installation, domain)
    needs = _archives_needed(installation, domain)
    with installation.state.read() as tx:
        before = {point.id: point for point in points.list_points(tx, domain.id)}
    removed = _remove_chains(context, domain, needs)
    new_fulls = make_new_fulls(context, domain, needs)
    if new_fulls:
        removed += _remove_chains(context, domain, needs)
    with installation.state.read() as tx:
        left = points.list_points(tx, domain.id)
        schedule = schedules.find_schedule(tx, domain.id)
    if (removed or new_fulls) and left:
        sidecars.write_lists(installation, domain, left, schedule)
    return Outcome(
        {
            "domain": domain.name,
            "removed": [verdict_fields(verdict) for verdict in removed],
            "kept": len(left),
            "new_fulls": [point.id for point in new_fulls],
            "freed_bytes": sum(bytes_of(verdict.point) for verdict in removed)
            + sum(before[point.id].archive_bytes - point.archive_bytes for point in new_fulls),
        }
    )


def _remove_chains(context: JobContext, domain: Domain, needs: dict[str, set[str]]) -> list[Verdict]:
    """Remove what nothing keeps, chain by chain, and return it."""
    removed: list[Verdict] = []
    withheld: set[str] = set()
    while going := _take_chain(context, domain, needs, withheld):
        store.carry_removal_through(context.installation, domain)
        removed += going
        for verdict in going:
            context.say(f"{_name(verdict.point)} is gone: {verdict.reason}")
        context.progress(Progress("removing", done_files=len(removed)))
    return removed


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as the command line's JSON has it."""
    point = verdict.point
    return {
        "point": point.id,
        "archive": point.archive,
        "created_at": point.created_at.isoformat(),
        "bytes": bytes_of(point),
        "stays": verdict.stays,
        "reason": verdict.reason,
        "becomes_full": verdict.becomes_full,
    }


def _take_chain(context: JobContext, domain: Domain, needs: dict[str, set[str]], withheld: set[str]) -> list[Verdict]:
    """Remove the records of the oldest chain's points that go, note their files, and return them, children first.

    What another archive says it needs stays, whatever the records say; such points are added to `withheld`.
    """
    installation, now = context.installation, context.installation.clock.now()
    while True:
        with installation.state.write() as tx:
            verdicts = [] if clock_is_suspect(tx, now) else judge(installation, tx, domain, makes_fulls=False)
            going = _oldest_chain([row for row in verdicts if not row.stays and row.point.id not in withheld])
            chosen = {verdict.point.id for verdict in going}
            kept = [needs.get(verdict.point.id, set()) for verdict in verdicts if verdict.point.id not in chosen]
            blocked = [verdict.point for verdict in going if verdict.point.archive in set().union(*kept)]
            if not blocked:
                _remove_records(context, tx, domain, going)
                return going
        withheld.update(point.id for point in blocked)
        for point in blocked:
            context.say(f"{_name(point)} stays: an archive that is kept needs it", "warning")


def _remove_records(context: JobContext, tx: Connection, domain: Domain, going: list[Verdict]) -> None:
    if not going:
        return
    now = context.installation.clock.now()
    detail: dict[str, object] = {"points": [f"{row.point.id}: {row.reason}" for row in going]}
    people.add_audit(tx, now, context.job.actor, "retention", domain.id, context.job.id, detail)
    points.delete_points(tx, domain.id, [row.point.id for row in going])
    store.note_removal(tx, domain, [row.point for row in going], now)


def _oldest_chain(going: list[Verdict]) -> list[Verdict]:
    """Return those of the verdicts that belong to the chain of the oldest one, newest (children) first."""
    by_id = {verdict.point.id: verdict.point for verdict in going}

    def root(point: Point) -> str:
        seen = {point.id}
        while (parent := by_id.get(point.parent_id or "")) is not None and parent.id not in seen:
            seen.add(parent.id)
            point = parent
        return point.id

    if not going:
        return []
    oldest = root(min((verdict.point for verdict in going), key=lambda point: point.created_at))
    chain = [verdict for verdict in going if root(verdict.point) == oldest]
    return sorted(chain, key=lambda verdict: verdict.point.created_at, reverse=True)


def _archives_needed(installation: Installation, domain: Domain) -> dict[str, set[str]]:
    """Return by point the names of all archives that its own archive refers to, as it says itself.

    A point whose archive cannot be read is judged by its record alone.
    """
    with installation.state.read() as tx:
        every = points.list_points(tx, domain.id)
    needs: dict[str, set[str]] = {}
    with store.open_store(installation, domain) as folder_fd:
        for point in every:
            if point.archive is not None:
                with (
                    suppress(ArchiveDamaged, ArchiveMissing, ArchiveRefused),
                    store.open_point(installation, folder_fd, point.archive) as archive,
                ):
                    needs[point.id] = {row.name for row in archive.rows}
    return needs


def _name(point: Point) -> str:
    return f"the point of {point.created_at:%Y-%m-%d %H:%M:%S}"

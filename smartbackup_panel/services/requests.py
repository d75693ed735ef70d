"""What people ask for. Each request is checked for its actor, audited, and becomes a job; nothing is done here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from smartbackup_panel.adapters.db import jobs, people, points, restores
from smartbackup_panel.adapters.db.restores import RestorePhase
from smartbackup_panel.core.database_choice import NO_TABLES, Tables, fields_of
from smartbackup_panel.core.errors import (
    ArchiveDamaged,
    NotAllowed,
    NothingToUndo,
    UnknownDomain,
    UnknownJob,
    UnknownPoint,
    WrongUsage,
)
from smartbackup_panel.core.model import Actor, Domain, Job, JobKind, JobState, Point, PointKind, PointState, Verified
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.services.database_logins import refuse_strange_target
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import submit
from smartbackup_panel.services.paths import checked_path

TYPES = ("auto", *PointKind)
LEVELS = (Verified.SAMPLED, Verified.READ_BACK, Verified.CHAIN)
MOST_AT_ONCE = 1_000
PLAN_HOLDS = timedelta(hours=1)
KEEP_NEWER = "keep_newer"


@dataclass(frozen=True, slots=True)
class Requests:
    """Every request takes the actor first. Raises UnknownDomain, UnknownPoint, UnknownJob alike for "not there" and "not yours"."""

    installation: Installation

    def backup(
        self, actor: Actor, domain_id: str, kind: str = "auto", *, files: bool = True, databases: bool = True
    ) -> Job:
        """Return the job that makes a restore point; while one waits or runs, that one."""
        if kind not in TYPES:
            raise WrongUsage(f"{kind!r} is no type of point", hint="Use auto, full, incremental or differential.")
        if not (files or databases):
            raise WrongUsage("a restore point of neither files nor databases would be empty")
        params: dict[str, object] = {"type": kind, "files": files, "databases": databases}
        key = f"backup:{domain_id}" + ("" if files and databases else f":{files}:{databases}")
        return self._submit(actor, JobKind.BACKUP, domain_id, params, key)

    def backup_many(self, actor: Actor, domain_ids: Sequence[str]) -> list[Job]:
        """Return the jobs that make a restore point of each of several domains; for one that is not the actor's none at all."""
        if not 0 < len(domain_ids) <= MOST_AT_ONCE:
            raise WrongUsage(f"{len(domain_ids)} domains are selected", hint=f"Select 1 to {MOST_AT_ONCE} domains.")
        with self.installation.state.read() as tx:
            chosen = {domain_by_id(tx, actor, domain_id).id for domain_id in domain_ids}
        return [self.backup(actor, domain_id) for domain_id in sorted(chosen)]

    def analyse(self, actor: Actor, domain_id: str) -> Job:
        """Return the job that analyses a domain."""
        return self._submit(actor, JobKind.ANALYSE, domain_id, {}, f"analyse:{domain_id}")

    def verify(self, actor: Actor, domain_id: str, point_id: str | None, level: str | None = None) -> Job:
        """Return the job that reads back a point, or all points of the domain; `level` says how far (None: all of it)."""
        if level not in (None, *LEVELS):
            raise WrongUsage(f"{level!r} is no level of verification", hint=f"Use {', '.join(LEVELS)}.")
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            if point_id is not None:
                _point(tx, domain, point_id)
        params: dict[str, object] = {"point": point_id, "level": level}
        return self._submit(actor, JobKind.VERIFY, domain_id, params, f"verify:{domain_id}:{point_id}:{level}")

    def retention(self, actor: Actor, domain_id: str) -> Job:
        """Return the job that removes the points which no rule keeps."""
        if not actor.is_admin:
            raise NotAllowed("only an administrator removes restore points")
        return self._submit(actor, JobKind.RETENTION, domain_id, {}, f"{JobKind.RETENTION}:{domain_id}")

    def plan(
        self,
        actor: Actor,
        domain_id: str,
        point_id: str,
        files: bool,
        databases: bool,
        exact: bool,
        paths: tuple[str, ...] = (),
        tables: Tables = NO_TABLES,
        into: str | None = None,
    ) -> Job:
        """Return the job that computes what a restore (of `paths` or `tables` alone where there are some) would do."""
        params = self.restore_params(
            actor,
            domain_id,
            point_id,
            files=files,
            databases=databases,
            exact=exact,
            paths=paths,
            to=None,
            tables=tables,
            into=into,
        )
        return self.plan_of(actor, domain_id, params)

    def plan_of(self, actor: Actor, domain_id: str, params: dict[str, object]) -> Job:
        """Return the job that plans a restore with these checked parameters."""
        return self._submit(
            actor, JobKind.PLAN, domain_id, params, _key("plan", domain_id, repr(sorted(params.items())))
        )

    def restore(
        self, actor: Actor, plan_job_id: str, typed_name: str | None, key: str, keep_newer: bool = False
    ) -> Job:
        """Return the job that carries out a finished plan; the same `key` gives the same job however often it is sent.

        `keep_newer`: the comments and orders that the plan names stay. An exact restore that removes files needs the domain's name typed.
        """
        with self.installation.state.read() as tx:
            plan = job_of(tx, actor, plan_job_id)
            if plan.kind is not JobKind.PLAN or plan.state is not JobState.DONE or plan.domain_id is None:
                raise WrongUsage("this plan is not computed yet", hint="Wait until the plan is shown, then confirm it.")
            if plan.finished_at is not None and self.installation.clock.now() - plan.finished_at > PLAN_HOLDS:
                raise WrongUsage(
                    "this plan is an hour old; the site may have changed since", hint="Make the plan again."
                )
            domain = domain_by_id(tx, actor, plan.domain_id)
        removes = plan.params["exact"] and bool((plan.result or {}).get("removed"))
        if removes and typed_name != domain.name:
            raise WrongUsage(
                f"the domain's name was not typed: this restore of {domain.name} removes files added since",
                hint=f"Type {domain.name} to confirm, or keep the files added since.",
            )
        params = plan.params | ({KEEP_NEWER: True} if keep_newer and _can_keep(plan) else {})
        return self.restore_now(actor, plan.domain_id, params, key)

    def restore_now(self, actor: Actor, domain_id: str, params: dict[str, object], key: str) -> Job:
        """Return the job that restores as `params` (a plan's) say."""
        return self._submit(actor, JobKind.RESTORE, domain_id, params, _key("restore", domain_id, key), once=True)

    def restore_params(
        self,
        actor: Actor,
        domain_id: str,
        point_id: str,
        *,
        files: bool,
        databases: bool,
        exact: bool,
        paths: tuple[str, ...],
        to: str | None,
        tables: Tables = NO_TABLES,
        into: str | None = None,
        keep_newer: bool = False,
    ) -> dict[str, object]:
        """Return checked parameters of a restore, as a plan has them. Raises ArchiveDamaged for a point not offered."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            point = _point(tx, domain, point_id)
        if point.state is PointState.DAMAGED or not point.is_restorable:
            raise ArchiveDamaged(
                f"the restore point of {point.created_at:%Y-%m-%d %H:%M} is damaged or was never verified"
            )
        if not (files or databases):
            raise WrongUsage("nothing was chosen to restore", hint="Choose files, databases or both.")
        for path in paths:
            checked_path(os.fsencode(path))
        if to is not None and not actor.is_admin:
            raise WrongUsage("only an administrator may restore to another folder")
        if (tables or into is not None) and (to is not None or paths or not databases):
            raise WrongUsage("tables and another database can be chosen only where databases are restored in place")
        if into is not None:
            refuse_strange_target(self.installation, domain, into)
        if into is not None and files:
            raise WrongUsage("files go back to the site itself", hint="Choose databases only to use another database.")
        if keep_newer and (into is not None or not databases):
            raise WrongUsage("what came since can be kept only where the site's own database is put back")
        return {
            "point": point.id,
            "files": files,
            "databases": databases and not paths,
            "exact": exact,
            "paths": list(paths),
            "to": to,
            **fields_of(point.databases, tables, into),
            **({KEEP_NEWER: True} if keep_newer else {}),
        }

    def export(self, actor: Actor, domain_id: str, point_id: str, paths: tuple[str, ...], kind: ExportFormat) -> Job:
        """Return the job that prepares a download of files and folders of a point."""
        with self.installation.state.read() as tx:
            _point(tx, domain_by_id(tx, actor, domain_id), point_id)
        if not paths or (kind is ExportFormat.FILE and len(paths) != 1):
            raise WrongUsage("nothing was chosen to download", hint="Choose files or folders, then ask again.")
        for path in paths:
            checked_path(os.fsencode(path))
        params: dict[str, object] = {"point": point_id, "paths": list(paths), "format": kind.value}
        return self._download(actor, domain_id, params)

    def text_diff(self, actor: Actor, domain_id: str, older_id: str, newer_id: str, path: str) -> Job:
        """Return the job that compares a file's text in two points."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            _point(tx, domain, older_id)
            _point(tx, domain, newer_id)
        checked_path(os.fsencode(path))
        return self._download(actor, domain_id, {"older": older_id, "newer": newer_id, "path": path, "format": "diff"})

    def _download(self, actor: Actor, domain_id: str, params: dict[str, object]) -> Job:
        key = _key("export", domain_id, repr((actor.login, sorted(params.items()))))
        return self._submit(actor, JobKind.EXPORT, domain_id, params, key)

    def import_archives(
        self, actor: Actor, domain_id: str, places: Sequence[str], *, strip: str | None = None, dry_run: bool = False
    ) -> Job:
        """Return the job that makes points of archives of other programs: of files, or of what lies in folders.

        `strip` is the archives' folder that is the domain's ("": their own); without it their content decides.
        """
        if not actor.is_admin:
            raise NotAllowed("only an administrator imports archives")
        if any(not place.startswith("/") or not place.isprintable() for place in places):
            raise WrongUsage("a folder or file to import needs its whole path, and a name that can be read")
        folder = None if strip is None else os.fsdecode(checked_path(os.fsencode(strip.strip("/"))))
        params: dict[str, object] = {"places": list(places), "strip": folder, "dry_run": dry_run}
        return self._submit(actor, JobKind.IMPORT, domain_id, params, _key("import", domain_id, repr(params)))

    def undo(self, actor: Actor, domain_id: str, restore_job_id: str | None, key: str) -> Job:
        """Return the job that takes a restore back; without an id the domain's last one."""
        with self.installation.state.read() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            kept = restores.list_restores(tx, RestorePhase.SWAPPED, RestorePhase.UNDOING, domain_id=domain.id)
        chosen = [record for record in kept if restore_job_id in (None, record.id)]
        if not chosen:
            raise NothingToUndo(f"there is no restore of {domain.name} that can be undone")
        return self._submit(
            actor, JobKind.UNDO, domain_id, {"restore": chosen[0].id}, _key("undo", chosen[0].id, key), once=True
        )

    def cancel(self, actor: Actor, job_id: str) -> None:
        """Ask for a job's cancellation; it stops at its next step and removes what it had begun."""
        with self.installation.state.write() as tx:
            job = job_of(tx, actor, job_id)
            self._audit(tx, actor, "cancel", job.domain_id, job.id, {})
            jobs.request_cancel(tx, job.id, self.installation.clock.now())

    def _submit(
        self,
        actor: Actor,
        kind: JobKind,
        domain_id: str,
        params: dict[str, object],
        key: str,
        *,
        once: bool = False,
    ) -> Job:
        with self.installation.state.write() as tx:
            domain = domain_by_id(tx, actor, domain_id)
            if once and (before := jobs.find_by_key(tx, key)) is not None:
                return before
            job, is_new = submit(self.installation, tx, kind, domain.id, actor, params, key)
            if is_new:
                self._audit(tx, actor, kind, domain.id, job.id, params)
        return job

    def _audit(
        self, tx: Connection, actor: Actor, action: str, domain_id: str | None, job_id: str, detail: dict[str, object]
    ) -> None:
        people.add_audit(tx, self.installation.clock.now(), actor, action, domain_id, job_id, detail)


def _can_keep(plan: Job) -> bool:
    """Return whether the plan named something that came since and may stay."""
    newer = (plan.result or {}).get("newer")
    return isinstance(newer, list) and any(row["can_be_kept"] for row in newer)


def job_of(tx: Connection, actor: Actor, job_id: str) -> Job:
    """Return a job that the actor may see; raises UnknownJob."""
    try:
        job = jobs.get_job(tx, job_id)
        if job.domain_id is not None:
            domain_by_id(tx, actor, job.domain_id)
    except (LookupError, UnknownDomain):
        raise UnknownJob("there is no such job") from None
    if job.domain_id is None and not actor.is_admin:
        raise UnknownJob("there is no such job")
    return job


def _key(kind: str, object_id: str, rest: str) -> str:
    """Return the key of a request: equal requests have equal keys, whatever a form sent."""
    return f"{kind}:{object_id}:{hashlib.sha256(rest.encode()).hexdigest()[:32]}"


def _point(tx: Connection, domain: Domain, point_id: str) -> Point:
    found = points.find_point(tx, domain.id, point_id)
    if found is None:
        raise UnknownPoint("there is no such restore point")
    return found

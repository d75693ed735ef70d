"""A restore: staged beside the site, swapped in one step, kept for an undo (SECURITY rules 6 and 15).

The journal in the state says where a restore stands, so that a crash at any instant leaves the old site or the new one.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from functools import partial

from smartbackup_panel.adapters.db import domains, restores
from smartbackup_panel.adapters.db.restores import RestorePhase, RestoreRecord
from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import DumpReport, RestoreState, SwapMode
from smartbackup_panel.core.errors import DatabaseRefused, NothingToUndo, SmartBackupError
from smartbackup_panel.core.model import Domain, DumpFile, Point, Progress
from smartbackup_panel.core.tree import AgentPurpose, StageSummary, Staging
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.database_logins import match_logins
from smartbackup_panel.services.dumping import dump_bytes
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.restore_elsewhere import restore_into
from smartbackup_panel.services.restore_journal import (
    after_a_crash,
    carry_undo_through,
    discard,
    forget_undo,
    keep_undo,
    logins_of,
    set_phase,
)
from smartbackup_panel.services.restore_plan import Choice, point_to_restore
from smartbackup_panel.services.sites import SiteCheck
from smartbackup_panel.services.tenants import database_server, start_agent


@dataclass
class Work:
    """A restore under way: `logins` are of the databases that are restored, by the name they had in the point."""

    context: JobContext
    domain: Domain
    point: Point
    choice: Choice
    folder_fd: int
    agent: Agent
    site: SiteCheck
    staging: Staging | None = None
    staged: StageSummary | None = None
    removed_files: int = 0
    logins: dict[str, DatabaseLogin] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.context.job.id

    @property
    def restores_files(self) -> bool:
        return self.choice.files and self.point.archive is not None

    @property
    def restores_databases(self) -> bool:
        return bool(self.choice.dumps(self.point))

    def journal(self) -> dict[str, object]:
        """Return what recovery and undo need; no password is in it."""
        return {
            "staging": asdict(self.staging) if self.staging else None,
            "databases": [
                [dump.kind, self.target(dump).name, self.logins[dump.database].name] for dump in self.dumps()
            ],
            "exact": all(self.choice.swap_mode(dump) is SwapMode.EXACT for dump in self.dumps()),
            "removed_files": self.removed_files,
            "restored_files": self.staged.restored_files if self.staged else 0,
        }

    def write_journal(self) -> None:
        """Keep where the preparation stands, before its next step."""
        set_phase(self.context.installation, self.id, RestorePhase.PREPARING, self.journal())

    def announce_staging(self, staging: Staging) -> None:
        """Keep the name of a staging folder before it is made."""
        self.staging = staging
        self.write_journal()

    def dumps(self) -> list[DumpFile]:
        """Return the dumps that are restored and whose logins are known by now."""
        return [dump for dump in self.choice.dumps(self.point) if dump.database in self.logins]

    def target(self, dump: DumpFile) -> DatabaseLogin:
        """Return the login of the database that a dump goes into."""
        return self.choice.of_databases.target(self.logins[dump.database])


def restore(context: JobContext, domain: Domain) -> Outcome:
    """Put a point back as the job's parameters say, and return what was done."""
    started = time.monotonic()
    installation = context.installation
    finished = after_a_crash(installation, context.job.id)
    if finished is not None:
        return _outcome(installation, finished, SiteCheck(installation, domain), time.monotonic() - started)
    point = point_to_restore(installation, domain, context.job.params)
    choice = Choice.from_params(context.job.params)
    if choice.to is not None:
        return restore_into(context, domain, point, choice, choice.to)
    with (
        store.open_store(installation, domain) as folder_fd,
        start_agent(installation, domain, AgentPurpose.RESTORE) as agent,
    ):
        work = Work(context, domain, point, choice, folder_fd, agent, SiteCheck(installation, domain))
        _restore_site(work)
    context.progress(Progress("asking"))
    with installation.state.read() as tx:
        record = restores.find_restore(tx, context.job.id)
    assert record is not None, "written by the restore"
    return _outcome(installation, record, work.site, time.monotonic() - started, work.warnings)


def undo(context: JobContext, domain: Domain) -> Outcome:
    """Put back what a restore replaced, files and databases together."""
    started = time.monotonic()
    installation = context.installation
    with installation.state.read() as tx:
        record = restores.find_restore(tx, str(context.job.params["restore"]))
    if record is None or record.domain_id != domain.id or record.phase is RestorePhase.PREPARING:
        raise NothingToUndo("this restore can no longer be undone")
    site = SiteCheck(installation, domain)
    if record.phase not in (RestorePhase.REMOVING, RestorePhase.ENDED):
        logins = logins_of(installation, domain, record)
        site.wait_before_swap()
        context.point_of_no_return("swapping")
        set_phase(installation, record.id, RestorePhase.UNDOING)
        with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
            carry_undo_through(installation, domain, agent, record, logins)
    elif context.job.attempts < 2:
        raise NothingToUndo("this restore can no longer be undone")
    elif record.phase is RestorePhase.REMOVING:
        forget_undo(installation, domain, record)
    answers, seconds = site.ask_after(), round(time.monotonic() - started, 3)
    return Outcome({"domain": domain.name, "undone": record.id, "site": answers, "seconds": seconds})


def _restore_site(work: Work) -> None:
    """Prepare everything beside the site, then swap. Whatever fails before the swap leaves the site untouched."""
    installation = work.context.installation
    with installation.state.write() as tx:
        restores.delete_restore(tx, work.id)
        restores.insert_restore(
            tx, work.id, work.domain.id, work.point.id, {}, work.context.job.actor.login, installation.clock.now()
        )
    with on_failure(partial(_roll_back, work)):
        if work.restores_files:
            _stage_files(work)
        if work.restores_databases:
            _load_databases(work)
        work.site.wait_before_swap()
        work.context.point_of_no_return("swapping")
    with installation.state.write() as tx:
        restores.set_phase(tx, work.id, RestorePhase.SWAPPING, journal=work.journal())
    try:
        _swap(work)
    except SmartBackupError:
        _swap_back(work)
        _roll_back(work)
        raise
    keep_undo(installation, work.domain, work.id)


def _stage_files(work: Work) -> None:
    assert work.point.archive is not None, "checked by restores_files"
    installation, options = work.context.installation, work.choice.options(work.context.installation, work.domain)
    with store.open_point(installation, work.folder_fd, work.point.archive) as archive:
        work.agent.verify(archive, whole_chain=True, on_progress=on_step(work.context, "verifying", work.agent))
        plan = work.agent.plan(archive, options, on_step(work.context, "comparing", work.agent))
        work.removed_files = plan.removed.count
        work.staging = work.agent.prepare_staging(work.id, announce=work.announce_staging)
        work.write_journal()
        work.context.say(f"staging {plan.restored_bytes} bytes beside the site")
        work.staged = work.agent.stage(archive, work.staging, options, on_step(work.context, "staging", work.agent))
    work.warnings += work.staged.warnings


def _load_databases(work: Work) -> None:
    """Load every dump into scratch tables and check them there; the live tables are not touched."""
    installation = work.context.installation
    work.logins = _find_logins(work)
    work.write_journal()
    for dump in work.dumps():
        work.context.say(f"loading the database {dump.database} into scratch tables")
        server, expected = database_server(installation, work.domain, dump.kind), DumpReport.from_fields(dump.report)
        part = work.choice.of_databases.part_of(dump)
        total_bytes = sum(table.size_bytes for table in expected.tables if part.takes(table.name))

        def loaded(done: int, total: int = total_bytes) -> None:
            work.context.progress(Progress("loading", done, max(done, total)))

        chunks = dump_bytes(installation, work.folder_fd, dump, part.tables)
        report = server.load(work.target(dump), chunks, work.id, expected, loaded, part)
        work.warnings += report.warnings


def _find_logins(work: Work) -> dict[str, DatabaseLogin]:
    """Return the logins of the site as it is; where it has none any more, those of the staged files."""
    installation, domain = work.context.installation, work.domain
    matched = match_logins(installation, domain, work.agent.inspect(), work.point)
    chosen = work.choice.dumps(work.point)
    missing = [dump.database for dump in chosen if dump.database not in matched]
    if missing and work.staging is not None:
        staged_root = os.path.join(work.staging.parent, work.staging.staging_name)
        with start_agent(installation, domain, root=staged_root) as agent:
            matched = match_logins(installation, domain, agent.inspect(), work.point) | matched
        missing = [dump.database for dump in chosen if dump.database not in matched]
    if missing:
        raise DatabaseRefused(
            f"the site's configuration names no login for the database {missing[0]}",
            hint="Restore the files together with the database, or put the login back into the site's configuration.",
        )
    return matched


def _swap(work: Work) -> None:
    """Put the staged files and the loaded tables into place; each step does nothing when it was done before."""
    if work.staging is not None:
        work.agent.swap(work.staging)
    for dump in work.dumps():
        server = database_server(work.context.installation, work.domain, dump.kind)
        report = server.swap(work.target(dump), work.id, work.choice.swap_mode(dump))
        work.warnings += report.warnings


def _swap_back(work: Work) -> None:
    """Undo a swap that failed halfway: the old site again, files and tables."""
    for dump in work.dumps():
        login = work.target(dump)
        server = database_server(work.context.installation, work.domain, dump.kind)
        if server.state_of(login, work.id) in (RestoreState.SWAPPED, RestoreState.SWAPPING):
            server.undo(login, work.id)
    if work.staging is not None:
        work.agent.swap_back(work.staging)


def _roll_back(work: Work) -> None:
    """Remove what was prepared. The agent may be dead by now (cancelled), so another one does it."""
    installation = work.context.installation
    record = RestoreRecord(
        work.id,
        work.domain.id,
        work.point.id,
        RestorePhase.PREPARING,
        work.journal(),
        "",
        work.context.job.created_at,
        None,
        None,
    )
    work.agent.close()
    discard(installation, work.domain, record, [(dump.kind, work.target(dump)) for dump in work.dumps()])
    set_phase(installation, work.id, RestorePhase.ENDED)


def _outcome(
    installation: Installation,
    record: RestoreRecord,
    site: SiteCheck,
    seconds: float,
    warnings: list[str] | None = None,
) -> Outcome:
    with installation.state.read() as tx:
        domain = domains.get_domain(tx, record.domain_id)
    rows = record.journal.get("databases") or []
    result: dict[str, object] = {
        "domain": domain.name,
        "point": record.point_id,
        "restored_files": record.journal.get("restored_files", 0),
        "removed_files": record.journal.get("removed_files", 0),
        "databases": [row[1] for row in rows] if isinstance(rows, list) else [],
        "undo_until": record.undo_until.isoformat() if record.undo_until else None,
        "warnings": warnings or [],
        "site": site.ask_after(),
        "seconds": round(seconds, 3),
    }
    return Outcome(result)

"""A restore: staged beside the site, swapped in one step, kept for an undo (SECURITY rules 6 and 15).

The journal in the state says where a restore stands. Whoever comes after a crash rolls back what was being prepared and
carries through what was being swapped, so that the site is the old one or the new one, and the journal says which.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from smartbackup_panel.adapters.db import domains, points, restores
from smartbackup_panel.adapters.db.restores import RestorePhase, RestoreRecord
from smartbackup_panel.adapters.locks import try_lock
from smartbackup_panel.core.databases import DatabaseLogin, DumpReport, RestoreState, SwapMode
from smartbackup_panel.core.errors import DatabaseRefused, NothingToUndo, RestoreFailed, SmartBackupError
from smartbackup_panel.core.model import Domain, DumpFile, Point, Progress
from smartbackup_panel.core.tree import AgentPurpose, StageSummary, Staging
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.dumps import read_dump
from smartbackup_panel.services import store
from smartbackup_panel.services.analysis import on_step
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import JobContext, Outcome
from smartbackup_panel.services.restore_plan import Choice, match_logins, point_to_restore
from smartbackup_panel.services.tenants import database_server, start_agent

DUMPS_FOLDER = ".smartbackup-databases"


@dataclass
class Work:
    """A restore under way: `logins` are of the databases that are restored, by the name they had in the point."""

    context: JobContext
    domain: Domain
    point: Point
    choice: Choice
    folder_fd: int
    agent: Agent
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
        return self.choice.databases and bool(self.point.databases)

    def journal(self) -> dict[str, object]:
        """Return what recovery and undo need; no password is in it."""
        return {
            "staging": asdict(self.staging) if self.staging else None,
            "databases": [[dump.kind, self.logins[dump.database].name] for dump in self._dumps()],
            "exact": self.choice.exact,
            "removed_files": self.removed_files,
            "restored_files": self.staged.restored_files if self.staged else 0,
        }

    def _dumps(self) -> list[DumpFile]:
        return [dump for dump in self.point.databases if dump.database in self.logins]


def restore(context: JobContext, domain: Domain) -> Outcome:
    """Put a point back as the job's parameters say, and return what was done."""
    started = time.monotonic()
    installation = context.installation
    finished = _after_a_crash(installation, context.job.id)
    if finished is not None:
        return _outcome(installation, finished, time.monotonic() - started)
    point = point_to_restore(installation, domain, context.job.params)
    choice = Choice.from_params(context.job.params)
    with (
        store.open_store(installation, domain) as folder_fd,
        start_agent(installation, domain, AgentPurpose.RESTORE) as agent,
    ):
        work = Work(context, domain, point, choice, folder_fd, agent)
        if choice.to is not None:
            return _restore_into(work, choice.to, started)
        _restore_site(work)
    with installation.state.read() as tx:
        record = restores.find_restore(tx, context.job.id)
    assert record is not None, "written by the restore"
    return _outcome(installation, record, time.monotonic() - started, work.warnings)


def undo(context: JobContext, domain: Domain) -> Outcome:
    """Put back what a restore replaced, files and databases together."""
    started = time.monotonic()
    installation = context.installation
    with installation.state.read() as tx:
        record = restores.find_restore(tx, str(context.job.params["restore"]))
    if record is None or record.domain_id != domain.id or record.phase is RestorePhase.PREPARING:
        raise NothingToUndo("this restore can no longer be undone")
    if record.phase is not RestorePhase.ENDED:
        logins = _logins_of_journal(installation, domain, record)
        context.point_of_no_return()
        _set_phase(installation, record.id, RestorePhase.UNDOING)
        with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
            _carry_undo_through(installation, domain, agent, record, logins)
    elif context.job.attempts < 2:
        raise NothingToUndo("this restore can no longer be undone")
    return Outcome({"domain": domain.name, "undone": record.id, "seconds": round(time.monotonic() - started, 3)})


def recover(installation: Installation) -> list[str]:
    """Roll back or carry through every restore that was cut off and that nobody works on now; return their ids."""
    with installation.state.read() as tx:
        open_phases = (RestorePhase.PREPARING, RestorePhase.SWAPPING, RestorePhase.UNDOING)
        cut_off = restores.list_restores(tx, *open_phases)
    mended: list[str] = []
    for record in cut_off:
        lock = try_lock(installation.domain_lock(record.domain_id))
        if lock is None:
            continue
        try:
            _recover_one(installation, record)
            mended.append(record.id)
        except SmartBackupError as error:
            _log_failure(installation, record, error)
        finally:
            os.close(lock)
    return mended


def expire_undos(installation: Installation) -> list[str]:
    """Remove what was kept for an undo and whose time is over; return the ids of those restores."""
    now = installation.clock.now()
    with installation.state.read() as tx:
        kept = restores.list_restores(tx, RestorePhase.SWAPPED)
    over = [record for record in kept if record.undo_until is not None and record.undo_until <= now]
    for record in over:
        lock = try_lock(installation.domain_lock(record.domain_id))
        if lock is not None:
            try:
                _forget_undo(installation, _domain(installation, record), record)
            finally:
                os.close(lock)
    return [record.id for record in over]


# The site itself


def _restore_site(work: Work) -> None:
    """Prepare everything beside the site, then swap. Whatever fails before the swap leaves the site untouched."""
    installation = work.context.installation
    with installation.state.write() as tx:
        restores.delete_restore(tx, work.id)
        restores.insert_restore(
            tx, work.id, work.domain.id, work.point.id, {}, work.context.job.actor.login, installation.clock.now()
        )
    try:
        if work.restores_files:
            _stage_files(work)
        if work.restores_databases:
            _load_databases(work)
        work.context.point_of_no_return()
    except BaseException:
        _roll_back(work)
        raise
    with installation.state.write() as tx:
        restores.set_phase(tx, work.id, RestorePhase.SWAPPING, journal=work.journal())
    try:
        _swap(work)
    except SmartBackupError:
        _swap_back(work)
        _roll_back(work)
        raise
    _keep_undo(installation, work.domain, work.id)


def _stage_files(work: Work) -> None:
    assert work.point.archive is not None, "checked by restores_files"
    installation, options = work.context.installation, work.choice.options(work.domain)
    with store.open_point(installation, work.folder_fd, work.point.archive) as archive:
        work.agent.verify(archive, whole_chain=True, on_progress=on_step(work.context, "verifying"))
        plan = work.agent.plan(archive, options, on_step(work.context, "comparing"))
        work.removed_files = plan.removed.count
        work.staging = work.agent.prepare_staging(work.id)
        _set_phase(installation, work.id, RestorePhase.PREPARING, work.journal())
        work.context.say(f"staging {plan.restored_bytes} bytes beside the site")
        work.staged = work.agent.stage(archive, work.staging, options, on_step(work.context, "staging"))
    work.warnings += work.staged.warnings


def _load_databases(work: Work) -> None:
    """Load every dump into scratch tables and check them there; the live tables are not touched."""
    installation = work.context.installation
    work.logins = _find_logins(work)
    _set_phase(installation, work.id, RestorePhase.PREPARING, work.journal())
    for dump in work.point.databases:
        work.context.say(f"loading the database {dump.database} into scratch tables")
        server = database_server(installation, work.domain, dump.kind)
        login = work.logins[dump.database]

        def loaded(done: int, total: int = dump.original_bytes) -> None:
            work.context.progress(Progress("loading", done, total))

        expected = DumpReport.from_fields(dump.report)
        report = server.load(login, _dump_bytes(work, dump), work.id, expected, loaded)
        work.warnings += report.warnings


def _find_logins(work: Work) -> dict[str, DatabaseLogin]:
    """Return the logins of the site as it is; where it has none any more, those of the staged files."""
    matched = match_logins(work.agent.inspect(), work.point)
    missing = [dump.database for dump in work.point.databases if dump.database not in matched]
    if missing and work.staging is not None:
        staged_root = os.path.join(work.staging.parent, work.staging.staging_name)
        with start_agent(work.context.installation, work.domain, root=staged_root) as agent:
            matched = match_logins(agent.inspect(), work.point) | matched
        missing = [dump.database for dump in work.point.databases if dump.database not in matched]
    if missing:
        raise DatabaseRefused(
            f"the site's configuration names no login for the database {missing[0]}",
            hint="Restore the files together with the database, or put the login back into the site's configuration.",
        )
    return matched


def _dump_bytes(work: Work, dump: DumpFile) -> Iterator[bytes]:
    fd = os.open(dump.archive, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work.folder_fd)
    return read_dump(fd, dump.archive, work.context.installation.signing_key)


def _swap(work: Work) -> None:
    """Put the staged files and the loaded tables into place; each step does nothing when it was done before."""
    mode = SwapMode.EXACT if work.choice.exact else SwapMode.MERGE
    if work.staging is not None:
        work.agent.swap(work.staging)
    for dump in work.point.databases:
        if dump.database in work.logins:
            server = database_server(work.context.installation, work.domain, dump.kind)
            report = server.swap(work.logins[dump.database], work.id, mode)
            work.warnings += report.warnings


def _swap_back(work: Work) -> None:
    """Undo a swap that failed halfway: the old site again, files and tables."""
    for dump in work.point.databases:
        login = work.logins.get(dump.database)
        server = database_server(work.context.installation, work.domain, dump.kind)
        if login is not None and server.state_of(login, work.id) in (RestoreState.SWAPPED, RestoreState.SWAPPING):
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
    _discard(installation, work.domain, record, work.logins)
    _set_phase(installation, work.id, RestorePhase.ENDED)


def _keep_undo(installation: Installation, domain: Domain, restore_id: str) -> None:
    """Record the swap; the undo of an earlier restore gives way to this one's."""
    now = installation.clock.now()
    until = now + timedelta(days=installation.settings.undo_days)
    with installation.state.write() as tx:
        restores.set_phase(tx, restore_id, RestorePhase.SWAPPED, swapped_at=now, undo_until=until)
        earlier = restores.list_restores(tx, RestorePhase.SWAPPED, domain_id=domain.id)
    for record in earlier:
        if record.id != restore_id:
            _forget_undo(installation, domain, record)


def _forget_undo(installation: Installation, domain: Domain, record: RestoreRecord) -> None:
    with suppress(DatabaseRefused):  # a login that is gone took its undo tables out of our reach
        _discard(installation, domain, record, _logins_of_journal(installation, domain, record))
    _set_phase(installation, record.id, RestorePhase.ENDED)


# After a crash


def _after_a_crash(installation: Installation, restore_id: str) -> RestoreRecord | None:
    """Return this restore's record when an earlier attempt had reached its swap; an unfinished one is cleaned up."""
    with installation.state.read() as tx:
        record = restores.find_restore(tx, restore_id)
    if record is None or record.phase is RestorePhase.ENDED:
        return None
    if record.phase is not RestorePhase.SWAPPED:
        _recover_one(installation, record)
    with installation.state.read() as tx:
        record = restores.find_restore(tx, restore_id)
    return record if record is not None and record.phase is RestorePhase.SWAPPED else None


def _recover_one(installation: Installation, record: RestoreRecord) -> None:
    domain = _domain(installation, record)
    logins = _logins_of_journal(installation, domain, record)
    if record.phase is RestorePhase.PREPARING:
        _discard(installation, domain, record, logins)
        _set_phase(installation, record.id, RestorePhase.ENDED)
        return
    with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
        if record.phase is RestorePhase.UNDOING:
            _carry_undo_through(installation, domain, agent, record, logins)
            return
        if (staging := _staging(record)) is not None:
            agent.swap(staging)
    mode = SwapMode.EXACT if record.journal.get("exact") else SwapMode.MERGE
    for kind, login in logins:
        database_server(installation, domain, kind).swap(login, record.id, mode)
    _keep_undo(installation, domain, record.id)


def _carry_undo_through(
    installation: Installation,
    domain: Domain,
    agent: Agent,
    record: RestoreRecord,
    logins: list[tuple[str, DatabaseLogin]],
) -> None:
    staging = _staging(record)
    if staging is not None:
        agent.swap_back(staging)
    for kind, login in logins:
        server = database_server(installation, domain, kind)
        if server.state_of(login, record.id) is not RestoreState.NONE:
            server.undo(login, record.id)
        server.discard(login, record.id)
    if staging is not None:
        agent.discard(staging)
    _set_phase(installation, record.id, RestorePhase.ENDED)


def _discard(
    installation: Installation,
    domain: Domain,
    record: RestoreRecord,
    logins: Mapping[str, DatabaseLogin] | list[tuple[str, DatabaseLogin]],
) -> None:
    """Remove the staged tree (or the undo) and the scratch tables of a restore; what is not there is fine."""
    pairs = [(login.kind, login) for login in logins.values()] if isinstance(logins, Mapping) else logins
    for kind, login in pairs:
        database_server(installation, domain, kind).discard(login, record.id)
    staging = _staging(record)
    if staging is not None:
        with start_agent(installation, domain, AgentPurpose.RESTORE) as agent:
            agent.discard(staging)


def _logins_of_journal(
    installation: Installation, domain: Domain, record: RestoreRecord
) -> list[tuple[str, DatabaseLogin]]:
    """Return (kind, login) of the restore's databases, read again from the site's two trees: no password is kept.

    Raises DatabaseRefused when one of them is named by neither.
    """
    rows = record.journal.get("databases") or []
    wanted = [(str(kind), str(name)) for kind, name in rows] if isinstance(rows, list) else []
    if not wanted:
        return []
    with installation.state.read() as tx:
        point = points.find_point(tx, domain.id, record.point_id or "")
    roots: list[str | None] = [None]
    if (staging := _staging(record)) is not None:
        roots.append(os.path.join(staging.parent, staging.staging_name))
    known: dict[tuple[str, str], DatabaseLogin] = {}
    for root in roots:
        if point is None or (root is not None and not os.path.isdir(root)) or all(key in known for key in wanted):
            continue
        with start_agent(installation, domain, root=root) as agent:
            for login in match_logins(agent.inspect(), point).values():
                known.setdefault((login.kind, login.name), login)
    missing = [name for kind, name in wanted if (kind, name) not in known]
    if missing:
        raise DatabaseRefused(f"the site's configuration names no login for the database {missing[0]} any more")
    return [(kind, known[kind, name]) for kind, name in wanted]


def _staging(record: RestoreRecord) -> Staging | None:
    fields = record.journal.get("staging")
    return Staging(**fields) if isinstance(fields, dict) else None


def _domain(installation: Installation, record: RestoreRecord) -> Domain:
    with installation.state.read() as tx:
        return domains.get_domain(tx, record.domain_id)


def _set_phase(
    installation: Installation, restore_id: str, phase: RestorePhase, journal: dict[str, object] | None = None
) -> None:
    with installation.state.write() as tx:
        restores.set_phase(tx, restore_id, phase, journal=journal)


def _log_failure(installation: Installation, record: RestoreRecord, error: SmartBackupError) -> None:
    """Keep the journal as it is, so that the next start tries again, and say so in the restore's own log."""
    from smartbackup_panel.adapters.db import jobs
    from smartbackup_panel.core.model import LogLine

    with installation.state.write() as tx:
        text = f"the restore could not be mended yet and is tried again: {error.message}"
        jobs.add_log(tx, record.id, [LogLine(installation.clock.now(), "error", text)])


# Elsewhere


def _restore_into(work: Work, folder: str, started: float) -> Outcome:
    """Restore into another folder: no database is touched, the dumps are put beside the files."""
    if not os.path.isabs(folder):
        raise RestoreFailed(
            f"{folder} is not an absolute path", hint="Name the folder from the root on, for example /tmp/site."
        )
    installation = work.context.installation
    restored = 0
    dumps: list[str] = []
    if work.restores_files and work.point.archive is not None:
        with store.open_point(installation, work.folder_fd, work.point.archive) as archive:
            work.agent.verify(archive, whole_chain=True, on_progress=on_step(work.context, "verifying"))
            options = work.choice.options(work.domain)
            staged = work.agent.write_into(archive, folder, options, on_step(work.context, "staging"))
            restored, work.warnings = staged.restored_files, [*work.warnings, *staged.warnings]
    if work.restores_databases:
        dumps = _copy_dumps(work, folder)
    result: dict[str, object] = {
        "domain": work.domain.name,
        "point": work.point.id,
        "to": folder,
        "restored_files": restored,
        "removed_files": 0,
        "databases": dumps,
        "undo_until": None,
        "warnings": work.warnings,
        "seconds": round(time.monotonic() - started, 3),
    }
    return Outcome(result)


def _copy_dumps(work: Work, folder: str) -> list[str]:
    """Copy the dumps, as they lie in the store, into a folder of their own below `folder`; return their paths."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.mkdir(DUMPS_FOLDER, 0o700, dir_fd=folder_fd)
        dumps_fd = os.open(DUMPS_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    try:
        for dump in work.point.databases:
            _copy(work.folder_fd, dumps_fd, dump.archive)
    finally:
        os.close(dumps_fd)
    return [os.path.join(folder, DUMPS_FOLDER, dump.archive) for dump in work.point.databases]


def _copy(from_fd: int, to_fd: int, name: str) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=from_fd)
    try:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=to_fd)
        try:
            while os.sendfile(target, source, None, 1 << 24):
                pass
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _outcome(
    installation: Installation, record: RestoreRecord, seconds: float, warnings: list[str] | None = None
) -> Outcome:
    with installation.state.read() as tx:
        domain = domains.get_domain(tx, record.domain_id)
    rows = record.journal.get("databases") or []
    result: dict[str, object] = {
        "domain": domain.name,
        "point": record.point_id,
        "restored_files": record.journal.get("restored_files", 0),
        "removed_files": record.journal.get("removed_files", 0),
        "databases": [name for _, name in rows] if isinstance(rows, list) else [],
        "undo_until": record.undo_until.isoformat() if record.undo_until else None,
        "warnings": warnings or [],
        "seconds": round(seconds, 3),
    }
    return Outcome(result)

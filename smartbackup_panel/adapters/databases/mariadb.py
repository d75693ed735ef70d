"""MariaDB and MySQL for the services: every step on a tenant's database, through the tenant's own login."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

import pymysql

from smartbackup_panel.adapters.databases.connection import (
    Session,
    connection_error,
    error_facts,
    open_admin_session,
    open_session,
    quoted,
)
from smartbackup_panel.adapters.databases.dump import MariaDBDump
from smartbackup_panel.adapters.databases.job_account import (
    DUMP_RIGHTS,
    LOAD_RIGHTS,
    drop_scratch_database,
    job_account,
    no_account,
    scratch_database,
)
from smartbackup_panel.adapters.databases.journal import Journal
from smartbackup_panel.adapters.databases.load import load, refuse_server_wide
from smartbackup_panel.adapters.databases.newer_rows import find_newer
from smartbackup_panel.adapters.databases.probe import take_inventory
from smartbackup_panel.adapters.databases.row_counts import plan_rows
from smartbackup_panel.adapters.databases.swap import Swap
from smartbackup_panel.adapters.process import Account, peer_account
from smartbackup_panel.core.database_hosts import (
    AdminLogin,
    AllowedHost,
    DatabaseLogin,
    admin_login_for,
    choose_address,
)
from smartbackup_panel.core.databases import (
    WHOLE_DUMP,
    DatabaseListing,
    DumpReport,
    LoadPart,
    LoadReport,
    Progress,
    RestoreState,
    SwapMode,
    SwapReport,
    TablePlan,
    is_reserved,
)
from smartbackup_panel.core.errors import DatabaseRefused, LoadFailed, RestoreFailed, SmartBackupError
from smartbackup_panel.core.newer_rows import Newer, Question
from smartbackup_panel.core.row_rules import KEEP_ALL_ROWS, DumpPolicy

log = logging.getLogger(__name__)

_UPDATED = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND UPDATE_TIME > %s + INTERVAL 1 SECOND"


class MariaDBServer:
    """A `DatabaseServer`. `account` is the tenant's system account, used where this process is root; None: nobody's.

    Where `admin_logins()` has one for a tenant's server, jobs get accounts of their own there, and restores a scratch database.
    """

    def __init__(
        self,
        allowed: Sequence[AllowedHost],
        account: Account | None = None,
        admin_logins: Callable[[], tuple[AdminLogin, ...]] = tuple,
    ) -> None:
        self._allowed = tuple(allowed)
        self._account = account
        self._admin_logins = admin_logins

    def probe(self, login: DatabaseLogin) -> DatabaseListing:
        """Return what the database holds now, without this product's own tables."""
        with self._session(login) as session, _as_failure(login):
            return take_inventory(session).listing

    def dump(self, login: DatabaseLogin, policy: DumpPolicy = KEEP_ALL_ROWS) -> MariaDBDump:
        """Return one attempt at a dump; nothing happens before its `pieces` are iterated."""
        address = choose_address(login, self._allowed)
        return MariaDBDump(
            login,
            address,
            peer_account(self._account),
            policy,
            lambda: self._session(login),
            lambda warnings: self._client_login(login, warnings),
        )

    def dump_again(self, login: DatabaseLogin, policy: DumpPolicy, earlier: DumpReport) -> MariaDBDump | None:
        """Return a dump to compare with an earlier one, or None where a table is known to have changed since."""
        with self._session(login) as session, _as_failure(login):
            updated = session.rows(_UPDATED, f"{earlier.started_at:%Y-%m-%d %H:%M:%S}")
        return None if any(not is_reserved(name) for (name,) in updated) else self.dump(login, policy)

    def plan(self, login: DatabaseLogin, report: DumpReport, part: LoadPart = WHOLE_DUMP) -> tuple[TablePlan, ...]:
        """Return each table's rows in the dump and now, by name; tables of more than two million rows are estimated."""
        with self._session(login) as session, _as_failure(login):
            return plan_rows(report, take_inventory(session).listing, part, functools.partial(_count, session))

    def newer(self, login: DatabaseLogin, questions: tuple[Question, ...], since: datetime) -> tuple[Newer, ...]:
        """Return what was written since a moment, where there is any."""
        with self._session(login) as session, _as_failure(login):
            return find_newer(session, questions, since)

    def load(
        self,
        login: DatabaseLogin,
        chunks: Iterable[bytes],
        restore_id: str,
        expected: DumpReport | None = None,
        on_progress: Progress | None = None,
        part: LoadPart = WHOLE_DUMP,
    ) -> LoadReport:
        """Load a dump into scratch tables, checked against `expected`; the live tables are untouched."""
        warnings: list[str] = []
        with self._load_session(login, restore_id, warnings) as (session, scratch), _as_failure(login, LoadFailed):
            journal = Journal(session, restore_id)
            report = load(session, login, journal, chunks, expected, on_progress, part, scratch)
        return replace(report, warnings=(*warnings, *report.warnings))

    def swap(self, login: DatabaseLogin, restore_id: str, mode: SwapMode = SwapMode.EXACT) -> SwapReport:
        """Put what was loaded in place. RestoreFailed: as before. Interrupted: call it again, or `undo`."""
        with self._steps(login, restore_id) as steps:
            return steps.swap(mode)

    def undo(self, login: DatabaseLogin, restore_id: str) -> SwapReport:
        """Take a swap back, a half-done one too. Interrupted: call it again."""
        with self._steps(login, restore_id) as steps:
            return steps.undo()

    def discard(self, login: DatabaseLogin, restore_id: str) -> None:
        """Remove the scratch tables, or after a swap the replaced tables (then it cannot be undone any more)."""
        with self._steps(login, restore_id) as steps:
            steps.discard()
        warnings: list[str] = []
        with _without_account(warnings), self._admin(login, warnings) as admin:
            if admin is not None:
                drop_scratch_database(admin, restore_id, login)
        for warning in warnings:
            log.warning("%s", warning)

    def state_of(self, login: DatabaseLogin, restore_id: str) -> RestoreState:
        """Return where the restore stands in this database."""
        with self._session(login) as session, _as_failure(login, RestoreFailed):
            return Journal(session, restore_id).read().phase

    @contextlib.contextmanager
    def _steps(self, login: DatabaseLogin, restore_id: str) -> Iterator[Swap]:
        with self._session(login) as session, _as_failure(login, RestoreFailed):
            yield Swap(session, Journal(session, restore_id))

    @contextlib.contextmanager
    def _load_session(
        self, login: DatabaseLogin, restore_id: str, warnings: list[str]
    ) -> Iterator[tuple[Session, str | None]]:
        """Give a session of the job's own account and its scratch database, or the tenant's own session and None."""
        with self._session(login) as tenant, _as_failure(login, LoadFailed), contextlib.ExitStack() as stack:
            refuse_server_wide(tenant, login)
            session, scratch = tenant, None
            with _without_account(warnings):
                admin = stack.enter_context(self._admin(login, warnings))
                if admin is not None and (
                    own := stack.enter_context(job_account(admin, tenant, login, restore_id, LOAD_RIGHTS))
                ):
                    made = stack.enter_context(scratch_database(admin, own, restore_id, login))
                    session, scratch = stack.enter_context(self._session(own)), made
            yield session, scratch

    @contextlib.contextmanager
    def _client_login(self, login: DatabaseLogin, warnings: list[str]) -> Iterator[DatabaseLogin]:
        """Give what the dump client uses: an account of the job's own, or the tenant's login where there can be none."""
        with contextlib.ExitStack() as stack:
            own = None
            with _without_account(warnings):
                admin = stack.enter_context(self._admin(login, warnings))
                if admin is not None:
                    tenant = stack.enter_context(self._session(login))
                    job_id = secrets.token_hex(8)
                    own = stack.enter_context(job_account(admin, tenant, login, job_id, DUMP_RIGHTS))
            yield own or login

    @contextlib.contextmanager
    def _admin(self, login: DatabaseLogin, warnings: list[str]) -> Iterator[Session | None]:
        """Give a session of the admin's login of the tenant's server, or None where there is none or it is refused."""
        address = choose_address(login, self._allowed)
        chosen = admin_login_for(address, self._admin_logins())
        with contextlib.ExitStack() as stack:
            admin = None
            if chosen is not None:
                with _without_account(warnings):
                    admin = stack.enter_context(open_admin_session(chosen, address))
            yield admin

    def _session(self, login: DatabaseLogin) -> AbstractContextManager[Session]:
        return open_session(login, choose_address(login, self._allowed), self._account)


@contextlib.contextmanager
def _without_account(warnings: list[str]) -> Iterator[None]:
    """Go on with the tenant's own login where the admin's cannot make an account, and say so."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        warnings.append(no_account(error_facts(error)[1]))
    except DatabaseRefused as error:
        warnings.append(no_account(error.message))


@contextlib.contextmanager
def _as_failure(login: DatabaseLogin, failure: type[SmartBackupError] | None = None) -> Iterator[None]:
    """Turn what the server says in the middle of a step into our own error."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        if failure is None:
            raise connection_error(login, error) from None
        raise failure(f"The database server stopped the work on {login.name}: {error_facts(error)[1]}.") from None


def _count(session: Session, table: str) -> int:
    return int(session.value(f"SELECT COUNT(*) FROM {quoted(table)}"))  # noqa: S608  # quoted

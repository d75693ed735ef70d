"""PostgreSQL for the services: every step on a tenant's database, through the tenant's own role."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.job_account import no_account
from smartbackup_panel.adapters.databases.postgres_account import postgres_job_account
from smartbackup_panel.adapters.databases.postgres_dump import PostgresDump
from smartbackup_panel.adapters.databases.postgres_journal import PostgresJournal
from smartbackup_panel.adapters.databases.postgres_load import discard_restore, load_dump, swap_schemas, undo_swap
from smartbackup_panel.adapters.databases.postgres_probe import list_database
from smartbackup_panel.adapters.databases.postgres_session import (
    Connection,
    as_failure,
    identifier,
    open_postgres,
    reason_of,
)
from smartbackup_panel.adapters.databases.row_counts import plan_rows
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
)
from smartbackup_panel.core.errors import DatabaseRefused, DumpFailed, LoadFailed, RestoreFailed
from smartbackup_panel.core.row_rules import KEEP_ALL_ROWS, DumpPolicy


class PostgresServer:
    """A `DatabaseServer`. `account` is the tenant's system account, which pg_dump becomes where this process is root.

    Where `admin_logins()` has one for a tenant's server, dumps and loads get accounts of their own there.
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
        """Return what the database holds now, without this product's own schemas."""
        with self._session(login) as connection, as_failure(login, DumpFailed):
            return list_database(connection)

    def dump(self, login: DatabaseLogin, policy: DumpPolicy = KEEP_ALL_ROWS, restrict_key: str = "") -> PostgresDump:
        """Return one attempt at a dump; nothing happens before its `pieces` are iterated."""
        address, account = choose_address(login, self._allowed), peer_account(self._account)
        return PostgresDump(
            login,
            address,
            account,
            policy,
            lambda: self._session(login),
            lambda warnings: self._job_login(login, secrets.token_hex(8), warnings),
            restrict_key,
        )

    def dump_again(self, login: DatabaseLogin, policy: DumpPolicy, earlier: DumpReport) -> PostgresDump:
        """Return a dump to compare with an earlier one; PostgreSQL keeps no time of a table's last change."""
        return self.dump(login, policy, earlier.restrict_key)

    def plan(self, login: DatabaseLogin, report: DumpReport, part: LoadPart = WHOLE_DUMP) -> tuple[TablePlan, ...]:
        """Return each table's rows in the dump and now, by name; tables of more than two million rows are estimated."""
        with self._session(login) as connection, as_failure(login, DumpFailed):
            return plan_rows(report, list_database(connection), part, functools.partial(_count, connection))

    def load(
        self,
        login: DatabaseLogin,
        chunks: Iterable[bytes],
        restore_id: str,
        expected: DumpReport | None = None,
        on_progress: Progress | None = None,
        part: LoadPart = WHOLE_DUMP,
    ) -> LoadReport:
        """Load a dump into scratch schemas, checked against `expected`; the live schemas are untouched."""
        warnings: list[str] = []
        with (
            self._job_login(login, restore_id, warnings) as own,
            self._session(own) as connection,
            as_failure(login, LoadFailed),
        ):
            journal = PostgresJournal(connection, restore_id)
            report = load_dump(connection, journal, chunks, expected, on_progress, part)
        return replace(report, warnings=(*warnings, *report.warnings))

    def swap(self, login: DatabaseLogin, restore_id: str, mode: SwapMode = SwapMode.EXACT) -> SwapReport:
        """Put what was loaded in place in one transaction."""
        with self._journal(login, restore_id) as (connection, journal):
            return swap_schemas(connection, journal, mode)

    def undo(self, login: DatabaseLogin, restore_id: str) -> SwapReport:
        """Take a swap back in one transaction."""
        with self._journal(login, restore_id) as (connection, journal):
            return undo_swap(connection, journal)

    def discard(self, login: DatabaseLogin, restore_id: str) -> None:
        """Remove the scratch schemas, or after a swap the replaced ones (then it cannot be undone any more)."""
        with self._journal(login, restore_id) as (connection, journal):
            discard_restore(connection, journal)

    def state_of(self, login: DatabaseLogin, restore_id: str) -> RestoreState:
        """Return where the restore stands in this database."""
        with self._journal(login, restore_id) as (_, journal):
            return journal.read().phase

    @contextlib.contextmanager
    def _journal(self, login: DatabaseLogin, restore_id: str) -> Iterator[tuple[Connection, PostgresJournal]]:
        with self._session(login) as connection, as_failure(login, RestoreFailed):
            yield connection, PostgresJournal(connection, restore_id)

    @contextlib.contextmanager
    def _job_login(self, login: DatabaseLogin, job_id: str, warnings: list[str]) -> Iterator[DatabaseLogin]:
        """Give an account of the job's own, or the tenant's login where there can be none."""
        address = choose_address(login, self._allowed)
        chosen = admin_login_for(address, self._admin_logins())
        with contextlib.ExitStack() as stack:
            own = login
            if chosen is not None:
                with self._session(login):  # who cannot log in by itself gets no account of its role
                    pass
                try:
                    account = stack.enter_context(postgres_job_account(chosen, address, login, job_id))
                    with self._session(account):  # the server's pg_hba.conf may let in nobody but the tenant
                        own = account
                except psycopg.Error as error:
                    warnings.append(no_account(reason_of(error)))
                except (DatabaseRefused, DumpFailed) as error:
                    warnings.append(no_account(error.message))
            yield own

    def _session(self, login: DatabaseLogin) -> AbstractContextManager[Connection]:
        return open_postgres(login, choose_address(login, self._allowed))


def _count(connection: Connection, shown: str) -> int:
    schema, _, table = shown.rpartition(".")
    query = sql.SQL("SELECT count(*) FROM {}").format(identifier(schema or "public", table))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0

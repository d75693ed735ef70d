"""MariaDB and MySQL for the services: every step on a tenant's database, through the tenant's own login."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

import pymysql

from smartbackup_panel.adapters.databases.connection import Session, connection_error, error_facts, open_session, quoted
from smartbackup_panel.adapters.databases.dump import MariaDBDump
from smartbackup_panel.adapters.databases.journal import Journal
from smartbackup_panel.adapters.databases.load import load
from smartbackup_panel.adapters.databases.probe import take_inventory
from smartbackup_panel.adapters.databases.swap import Swap
from smartbackup_panel.adapters.process import Account, peer_account
from smartbackup_panel.core.database_hosts import AllowedHost, DatabaseLogin, choose_address
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
from smartbackup_panel.core.errors import LoadFailed, RestoreFailed, SmartBackupError
from smartbackup_panel.core.row_rules import KEEP_ALL_ROWS, DumpPolicy

EXACT_COUNT_BELOW_ROWS = 2_000_000


class MariaDBServer:
    """A `DatabaseServer`. `account` is the tenant's system account, used where this process is root; None: nobody's."""

    def __init__(self, allowed: Sequence[AllowedHost], account: Account | None = None) -> None:
        self._allowed = tuple(allowed)
        self._account = account

    def probe(self, login: DatabaseLogin) -> DatabaseListing:
        """Return what the database holds now, without this product's own tables."""
        with self._session(login) as session, _as_failure(login):
            return take_inventory(session).listing

    def dump(self, login: DatabaseLogin, policy: DumpPolicy = KEEP_ALL_ROWS) -> MariaDBDump:
        """Return one attempt at a dump; nothing happens before its `pieces` are iterated."""
        address = choose_address(login, self._allowed)
        return MariaDBDump(login, address, peer_account(self._account), policy, lambda: self._session(login))

    def plan(self, login: DatabaseLogin, report: DumpReport) -> tuple[TablePlan, ...]:
        """Return each table's rows in the dump and now, by name; tables of more than two million rows are estimated."""
        then = {table.name: table.rows for table in report.tables}
        with self._session(login) as session, _as_failure(login):
            listing = take_inventory(session).listing
            now = {table.name: table.row_estimate for table in listing.tables}
            plans = []
            for name in sorted(then.keys() | now.keys()):
                is_estimate = now.get(name, 0) >= EXACT_COUNT_BELOW_ROWS
                rows_now = now.get(name) if is_estimate or name not in now else _count(session, name)
                plans.append(TablePlan(name, then.get(name), rows_now, is_estimate))
            return tuple(plans)

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
        with self._session(login) as session, _as_failure(login, LoadFailed):
            return load(session, login, Journal(session, restore_id), chunks, expected, on_progress, part)

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

    def state_of(self, login: DatabaseLogin, restore_id: str) -> RestoreState:
        """Return where the restore stands in this database."""
        with self._session(login) as session, _as_failure(login, RestoreFailed):
            return Journal(session, restore_id).read().phase

    @contextlib.contextmanager
    def _steps(self, login: DatabaseLogin, restore_id: str) -> Iterator[Swap]:
        with self._session(login) as session, _as_failure(login, RestoreFailed):
            yield Swap(session, Journal(session, restore_id))

    def _session(self, login: DatabaseLogin) -> AbstractContextManager[Session]:
        return open_session(login, choose_address(login, self._allowed), self._account)


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

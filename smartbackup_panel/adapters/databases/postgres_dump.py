"""One attempt at a dump of a PostgreSQL database: pg_dump's plain text, one section a table's rows.

Plain and not pg_dump's custom format, so that the same frames hold it, any psql reads it, and one table's rows come back by
one seek. pg_dump reads in one repeatable-read transaction, so all rows are of one moment.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from smartbackup_panel.adapters.databases.client import known_options
from smartbackup_panel.adapters.databases.postgres_extensions import fixed_types
from smartbackup_panel.adapters.databases.postgres_probe import list_database, list_programs
from smartbackup_panel.adapters.databases.postgres_session import (
    Connection,
    as_failure,
    conninfo_value,
    password_file,
    where,
)
from smartbackup_panel.adapters.databases.postgres_text import PostgresReader, Rows, copied_table, is_known, shown_name
from smartbackup_panel.adapters.process import Account, find_program, start
from smartbackup_panel.core.database_hosts import Address, DatabaseLogin
from smartbackup_panel.core.databases import DatabaseListing, DumpPiece, DumpReport, TableDump
from smartbackup_panel.core.errors import DumpFailed
from smartbackup_panel.core.row_rules import DumpPolicy

END_MARKER = b"-- PostgreSQL database dump complete"
DUMP_LIMIT_SECONDS = 6 * 3600
_OPTIONS = (
    "--format=plain",
    "--encoding=UTF8",
    "--no-owner",
    "--no-blobs",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--quote-all-identifiers",
    "--lock-wait-timeout=20000",
    "--no-password",
    "--exclude-schema=_sb*",
)


class PostgresDump:
    """Iterate `pieces` once, to the end; then `report` is there. An error means that nothing of the dump counts."""

    def __init__(
        self,
        login: DatabaseLogin,
        address: Address,
        account: Account | None,
        policy: DumpPolicy,
        session: Callable[[], AbstractContextManager[Connection]],
        client_login: Callable[[list[str]], AbstractContextManager[DatabaseLogin]],
        restrict_key: str = "",
    ) -> None:
        """`restrict_key` makes a dump of the same rows the same text as an earlier one; empty: a new random one."""
        self._login = login
        self._address = address
        self._account = account
        self._policy = policy
        self._session = session
        self._client_login = client_login
        self._warnings: list[str] = []
        self._unknown: list[str] = []
        self._restrict_key = restrict_key or secrets.token_hex(24)
        self._rows: dict[str, int] = {}
        self._sizes: dict[str, int] = defaultdict(int)
        self._report: DumpReport | None = None

    @property
    def report(self) -> DumpReport:
        """What the finished dump holds; DumpFailed before `pieces` came to its end."""
        if self._report is None:
            raise DumpFailed(f"The dump of {self._login.name} was not read to its end.")
        return self._report

    def pieces(self) -> Generator[DumpPiece, None, None]:
        """Yield the dump, section by section. DumpFailed: try again; DatabaseRefused: do not."""
        started_at = datetime.now(UTC)
        with self._session() as connection, as_failure(self._login, DumpFailed):
            listing = list_database(connection)
            programs = list_programs(connection)
            fixed = fixed_types(connection)
            large_objects = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
        left_out = [name for name in listing.table_names() if not self._policy.keeps_rows(name)]
        yield from self._client_pieces(left_out)
        absent = sorted(set(listing.table_names()) - self._rows.keys() - set(left_out))
        if absent:
            raise DumpFailed(f"The dump of {self._login.name} lacks {', '.join(absent[:20])}.")
        missing = ("large objects",) if large_objects != (0,) else ()
        self._report = self._finished(listing, programs, set(left_out), started_at, missing, fixed)

    def _client_pieces(self, left_out: list[str]) -> Iterator[DumpPiece]:
        program = find_program("pg_dump")
        patterns = [f"--exclude-table-data={_pattern(name)}" for name in left_out]
        with (
            self._client_login(self._warnings) as login,
            password_file(login, self._account) as secret,
        ):
            target = {**where(self._address), "dbname": login.name, "user": login.user}
            parts = [
                f"{key}={conninfo_value(str(value))}" for key, value in (target | {"passfile": secret.path}).items()
            ]
            restrict = [f"--restrict-key={self._restrict_key}"] if "restrict-key" in known_options(program) else []
            options = [*_OPTIONS, *restrict, *patterns, f"--dbname={' '.join(parts)}"]
            with start(
                program, options, time_limit_seconds=DUMP_LIMIT_SECONDS, account=self._account, secret=secret
            ) as child:
                reader = PostgresReader(child.chunks(), DumpFailed)
                try:
                    yield from self._sections(reader)
                except DumpFailed as cut_short:
                    ended = child.finish()
                    raise (
                        self._client_failed(ended.returncode, ended.stderr_tail) if ended.returncode else cut_short
                    ) from None
                ended = child.finish()
                if ended.returncode != 0:
                    raise self._client_failed(ended.returncode, ended.stderr_tail)
                if END_MARKER not in reader.tail:
                    raise DumpFailed(f"The dump of {self._login.name} has no end marker.")
                yield DumpPiece(None, reader.tail)

    def _sections(self, reader: PostgresReader) -> Iterator[DumpPiece]:
        """Rows are lines: a line break inside a value is written as an escape. The last line is the end mark."""
        name: str | None = None
        for part in reader:
            if isinstance(part, Rows):
                assert name is not None, "rows follow a COPY"
                self._rows[name] += 0 if part.is_end else part.raw.count(b"\n")
                self._sizes[name] += len(part.raw)
                yield DumpPiece(f"table:{name}", part.raw)
                continue
            if not is_known(part.text):
                self._unknown.append(repr(" ".join(part.text[:80].decode("utf-8", "replace").split())))
            table = copied_table(part.text)
            name = None if table is None else shown_name(*table)
            if name is not None:
                self._rows[name] = -1  # the line break after COPY comes with the rows
            yield DumpPiece(None if name is None else f"table:{name}", part.raw)

    def _client_failed(self, returncode: int, stderr_tail: str) -> DumpFailed:
        return DumpFailed(f"pg_dump exited {returncode} for {self._login.name}: {stderr_tail}")

    def _finished(
        self,
        listing: DatabaseListing,
        programs: dict[str, tuple[str, ...]],
        left_out: set[str],
        started_at: datetime,
        missing: tuple[str, ...],
        fixed: list[str],
    ) -> DumpReport:
        names = sorted({*self._rows, *left_out})
        return DumpReport(
            name=self._login.name,
            tables=tuple(TableDump(n, self._rows.get(n, 0), self._sizes[n], n in left_out) for n in names),
            views=listing.views,
            triggers=programs["triggers"],
            routines=programs["routines"],
            events=(),
            server_version=listing.server_version,
            started_at=started_at,
            consistent=True,
            sequences=listing.sequences,
            restrict_key=self._restrict_key,
            missing=missing,
            held_back=tuple(name for name in sorted(self._rows) if self._policy.is_held_back(name)),
            warnings=(
                *self._warnings,
                *(f"The {name} of this database are not in the dump." for name in missing),
                *(f"The range type {name} lies beside an extension: only chosen tables go back." for name in fixed),
                *(f"A restore as a whole would be refused: it does not run {text}." for text in self._unknown[:5]),
            ),
        )


def _pattern(shown: str) -> str:
    schema, _, table = shown.rpartition(".")
    return ".".join('"' + name.replace('"', '""') + '"' for name in (schema or "public", table))

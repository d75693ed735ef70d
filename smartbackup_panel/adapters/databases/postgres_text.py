"""The text of a plain PostgreSQL dump, cut as the server would read it: statements, and the rows of COPY between them.

A dump is untrusted on its way back. What decides in the end is the server: each statement goes to it alone, by the protocol
that takes one statement a message, so a text that this module misjudged is an error there and never a second command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smartbackup_panel.core.databases import RESERVED_PREFIXES
from smartbackup_panel.core.errors import LoadFailed, SmartBackupError

NAME = rb'"(?:[^"]|"")++"'
STATEMENT_LIMIT_BYTES = 8 * 1024 * 1024
_LEADING = re.compile(rb"(?:[ \t\r\n]++|--[^\n]*+\n|\\(?:un)?restrict [A-Za-z0-9]++\n)*+")
_STATEMENT = re.compile(
    rb"(?:(?<![\w$])[eE]'(?:[^'\\]++|\\.|'')*+'|(?![eE]')[A-Za-z_\x80-\xff][\w$\x80-\xff]*+|[^'\"$;\-A-Za-z_\x80-\xff]++"
    rb"|'(?:[^']++|'')*+'|\"(?:[^\"]++|\"\")*+\"|(?P<tag>\$(?:[A-Za-z_]\w*+)?\$).*?(?P=tag)"
    rb"|\$(?!(?:[A-Za-z_]\w*+)?\$)|--[^\n]*+\n|-(?!-))*+;",
    re.DOTALL,
)
"""What a chunk's end cuts (a comment, a quoted text) matches nothing until its end was read: half of it may hold a `;`."""
_COPY = re.compile(rb"COPY (" + NAME + rb")\.(" + NAME + rb") \((?:" + NAME + rb"(?:, )?)*+\) FROM stdin;")
_END_OF_ROWS = re.compile(rb"\n\\\.\n")
_IGNORED = re.compile(
    rb"SET [a-z_]+ = [^;]+;|SELECT pg_catalog\.set_config\('search_path', '', false\);"
    rb"|COMMENT ON EXTENSION .*",
    re.DOTALL,
)
_RUN = re.compile(
    rb"CREATE (?:OR REPLACE )?(?:UNLOGGED |MATERIALIZED |RECURSIVE |UNIQUE |CONSTRAINT |DEFAULT )?"
    rb"(?:SCHEMA|TABLE|SEQUENCE|VIEW|FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|INDEX|TRIGGER|RULE|OPERATOR|CAST|COLLATION"
    rb"|CONVERSION|TEXT SEARCH|STATISTICS|POLICY) .+"
    rb"|ALTER (?:TABLE|SEQUENCE|INDEX|TYPE|DOMAIN|VIEW|MATERIALIZED VIEW|FUNCTION|PROCEDURE|TRIGGER|OPERATOR|TEXT SEARCH"
    rb"|STATISTICS) .+"
    rb"|COMMENT ON .+|REFRESH MATERIALIZED VIEW [^;]+;"
    rb"|SELECT pg_catalog\.setval\('(?:[^'\\]|'')++', [0-9]+, (?:true|false)\);",
    re.DOTALL,
)
_RIGHTS = re.compile(rb"(?:GRANT|REVOKE) .+ ON .+ (?:TO|FROM) .+|ALTER DEFAULT PRIVILEGES .+", re.DOTALL)
_EXTENSION = re.compile(rb"CREATE EXTENSION IF NOT EXISTS (" + NAME + rb") WITH SCHEMA (" + NAME + rb");")
_SCHEMA = re.compile(rb"CREATE SCHEMA (" + NAME + rb");")
_RESERVED = re.compile(b"|".join(re.escape(prefix.encode()) for prefix in RESERVED_PREFIXES), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `raw` is it with the blanks and comments before it."""

    text: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """A part of the rows of the COPY statement before it, in the server's text format, each row after its line break.

    `is_end`: it is the end mark.
    """

    raw: bytes
    is_end: bool = False


class PostgresReader:
    """Iterate the statements and rows of a dump; `tail` holds what follows the last one."""

    def __init__(self, chunks: Iterable[bytes], error: type[SmartBackupError]) -> None:
        self._chunks = iter(chunks)
        self._error = error
        self._buffer = bytearray()
        self.tail = b""

    def __iter__(self) -> Iterator[Statement | Rows]:
        while (statement := self._statement()) is not None:
            yield statement
            if copied_table(statement.text) is not None:
                yield from self._rows()

    def _statement(self) -> Statement | None:
        while True:
            leading = _LEADING.match(self._buffer)
            begin = leading.end() if leading else 0
            match = _STATEMENT.match(self._buffer, begin)
            if match is not None:
                found = Statement(bytes(self._buffer[begin : match.end()]), bytes(self._buffer[: match.end()]))
                del self._buffer[: match.end()]
                return found
            if len(self._buffer) > STATEMENT_LIMIT_BYTES:
                raise self._error(f"The dump holds a statement of more than {STATEMENT_LIMIT_BYTES} bytes.")
            if not self._read_more():
                self._finish(begin)
                return None

    def _rows(self) -> Iterator[Rows]:
        """The lines up to `\\.`; the buffer begins with the end of the COPY line, which the end mark needs before it."""
        while True:
            end = _END_OF_ROWS.search(self._buffer)  # half the time of bytearray.find
            if end is not None:
                yield Rows(self._take(end.start() + 1))
                yield Rows(self._take(end.end() - end.start() - 1), is_end=True)
                return
            last = self._buffer.rfind(b"\n", 0, len(self._buffer) - 3)
            if last > 0:
                yield Rows(self._take(last))
            if not self._read_more():
                raise self._error("The dump is cut short in the rows of a table.")

    def _take(self, length: int) -> bytes:
        """Take bytes from the front of the buffer, copied once."""
        with memoryview(self._buffer) as view:
            taken = bytes(view[:length])
        del self._buffer[:length]
        return taken

    def _read_more(self) -> bool:
        """Append some; return whether there was any more."""
        before = len(self._buffer)
        wanted = min(2 * before + 1, before + STATEMENT_LIMIT_BYTES)
        while len(self._buffer) < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer += chunk
        return len(self._buffer) > before

    def _finish(self, begin: int) -> None:
        if begin < len(self._buffer):
            raise self._error(f"The dump is cut short at: {bytes(self._buffer[begin : begin + 80])!r}.")
        self.tail = bytes(self._buffer)


def copied_table(text: bytes) -> tuple[str, str] | None:
    """Return schema and name of the table whose rows follow the statement, or None."""
    match = _COPY.fullmatch(text)
    return None if match is None else (plain_name(match[1]), plain_name(match[2]))


def made_schema(text: bytes) -> str | None:
    """Return the name of the schema that the statement makes, or None."""
    match = _SCHEMA.fullmatch(text)
    return None if match is None else plain_name(match[1])


def created_extension(text: bytes) -> tuple[str, str] | None:
    """Return name and schema of the extension that the statement makes, or None."""
    match = _EXTENSION.fullmatch(text)
    return None if match is None else (plain_name(match[1]), plain_name(match[2]))


def is_of_no_use(text: bytes) -> bool:
    """Return whether a load passes the statement over: settings, which it makes itself."""
    return _IGNORED.fullmatch(text) is not None


def gives_rights(text: bytes) -> bool:
    """Return whether the statement only says what other roles may do."""
    return _RIGHTS.fullmatch(text) is not None


def is_known(text: bytes) -> bool:
    """Return whether a load runs the statement or passes it over on purpose."""
    return any(form.fullmatch(text) for form in (_RUN, _COPY, _IGNORED, _RIGHTS, _EXTENSION))


def check_statement(text: bytes) -> None:
    """LoadFailed for a statement that no dump of ours holds, by its first words, or that names what restores use."""
    if not is_known(text) or _RESERVED.search(text):
        shown = " ".join(text[:160].decode("utf-8", "replace").split())
        raise LoadFailed(
            f"The dump holds a statement that a restore does not run: {shown!r}.",
            hint="Do not use this dump; it was not written by this product or has been altered. Nothing was changed.",
        )


def plain_name(quoted_name: bytes) -> str:
    """Return a name without its quotes."""
    return quoted_name[1:-1].replace(b'""', b'"').decode("utf-8", "replace")


def shown_name(schema: str, table: str) -> str:
    """Return how reports name a table: bare in `public`, else with its schema."""
    return table if schema == "public" else f"{schema}.{table}"

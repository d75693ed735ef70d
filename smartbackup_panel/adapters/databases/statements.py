"""Cut the text of a dump into statements, exactly as a server would read them, with bounded memory.

Both directions use it: a dump on its way out is cut into sections by it, and an untrusted dump on its way back is read by
it. Nothing is decided here about what a statement may do; see `grammar`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from smartbackup_panel.core.databases import IDENTIFIER_LIMIT, is_reserved
from smartbackup_panel.core.errors import LoadFailed, SmartBackupError

STATEMENT_LIMIT_BYTES = 8 * 1024 * 1024
NAME = rb"`(?:[^`]++|``)++`"
STRING = rb"'(?:[^'\\]++|\\.|'')*+'"
SANDBOX_LINES = (b"/*M!999999\\- enable the sandbox mode */", b"/*!999999\\- enable the sandbox mode */")

_LEADING = re.compile(
    rb"(?:[ \t\r\n]++|--(?:[ \t][^\n]*+)?\n|"
    + b"|".join(re.escape(line) for line in SANDBOX_LINES)
    + rb"|/\*(?!M?!)(?:[^*]++|\*(?!/))*+\*/)*+",
    re.DOTALL,
)
_STATEMENT = re.compile(
    rb"(?:[^'\"`;/\-#]++|"
    + STRING
    + rb"|\"(?:[^\"\\]++|\\.|\"\")*+\"|"
    + NAME
    + rb"|/\*(?!M?!)(?:[^*]++|\*(?!/))*+\*/|--(?:[ \t][^\n]*+)?\n|#[^\n]*+\n|/(?!\*(?!M?!))|-(?!-[ \t\n]))*+;",
    re.DOTALL,
)
INSERT_HEAD = re.compile(rb"INSERT INTO " + NAME + rb" (?:\((?:" + NAME + rb"(?:, ?)?)++\) )?VALUES")
_END_OF_INSERT = re.compile(rb";\n")
"""Found two to five times as fast by the expression as by `find`."""
_DELIMITER = re.compile(rb"DELIMITER ([^\s\\'\"`]{1,8})\n")


class Statement(NamedTuple):
    """`text` without its delimiter; `leading` are the blanks and comments before it; `raw` is all of it as it was."""

    leading: bytes
    text: bytes
    raw: bytes


class StatementReader:
    """Iterate the statements of a dump; `tail` holds what follows the last one (the end marker) afterwards."""

    def __init__(self, chunks: Iterable[bytes], error: type[SmartBackupError], limit_bytes: int) -> None:
        """`limit_bytes` bounds one INSERT (the server's max_allowed_packet); `error` is raised for what cannot be read."""
        self._chunks = iter(chunks)
        self._error = error
        self._insert_limit = max(limit_bytes, STATEMENT_LIMIT_BYTES)
        self._buffer = bytearray()
        self._start = 0
        self._ended = False
        self._delimiter = b";"
        self._scanned = 0
        self.tail = b""

    def __iter__(self) -> Iterator[Statement]:
        while True:
            statement = self._next()
            if statement is None:
                return
            yield statement

    def _next(self) -> Statement | None:
        """The next statement; None at the end of a text that ends with a whole one."""
        self._scanned = 0
        while True:
            leading = self._match(_LEADING, self._start)
            begin = self._start if leading is None else leading.end()
            found = self._end_of_statement(begin)
            if found is not None:
                return self._take(begin, *found)
            if self._ended:
                self._finish(begin)
                return None
            self._read_more(begin)

    def _end_of_statement(self, begin: int) -> tuple[int, int] | None:
        """Where the statement's text ends and where the next one begins; None: more bytes are needed."""
        if self._buffer.startswith(b"DELIMITER ", begin):
            match = self._match(_DELIMITER, begin)
            return None if match is None else (match.end(), match.end())
        if self._delimiter != b";":
            mark = b"\n" + self._delimiter + b"\n"
            at = self._buffer.find(mark, max(begin, self._scanned - len(mark)))
            self._scanned = len(self._buffer)
            return None if at < 0 else (at, at + len(mark))
        if self._buffer.startswith(b"INSERT INTO ", begin):
            return self._end_of_insert(begin)
        match = self._match(_STATEMENT, begin)
        return None if match is None else (match.end() - 1, match.end())

    def _end_of_insert(self, begin: int) -> tuple[int, int] | None:
        """A dump writes no newline inside a row's strings, so the first `;` at the end of a line ends the INSERT."""
        head = self._match(INSERT_HEAD, begin)
        if head is None:
            other = self._match(_STATEMENT, begin)
            return None if other is None else (other.end() - 1, other.end())
        end = _END_OF_INSERT.search(self._buffer, max(head.end(), self._scanned - 2))
        self._scanned = len(self._buffer)
        return None if end is None else (end.start(), end.start() + 1)

    def _take(self, begin: int, end: int, following: int) -> Statement:
        leading = bytes(self._buffer[self._start : begin])
        text = bytes(self._buffer[begin:end])
        raw = bytes(self._buffer[self._start : following])
        self._start = following
        if text.startswith(b"DELIMITER ") and (match := _DELIMITER.fullmatch(text)):
            self._delimiter = match[1]
        return Statement(leading, text, raw)

    def _read_more(self, begin: int) -> None:
        """Append at least as much as is waiting, so that a long statement is searched a few times only."""
        del self._buffer[: self._start]
        begin -= self._start
        self._scanned = max(0, self._scanned - self._start)
        self._start = 0
        limit = self._insert_limit if self._buffer.startswith(b"INSERT INTO ", begin) else STATEMENT_LIMIT_BYTES
        if len(self._buffer) - begin > limit:
            raise self._error(
                f"The dump holds a statement of more than {limit} bytes: {_start_of(self._buffer, begin)}"
            )
        wanted = 2 * len(self._buffer) + 1
        while len(self._buffer) < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
                return
            self._buffer += chunk

    def _finish(self, begin: int) -> None:
        rest = bytes(self._buffer[self._start :])
        if begin < len(self._buffer) and not self._buffer.startswith(b"--", begin):
            raise self._error(f"The dump is cut short or malformed at: {_start_of(self._buffer, begin)}")
        self.tail = rest

    def _match(self, pattern: re.Pattern[bytes], position: int) -> re.Match[bytes] | None:
        return pattern.match(self._buffer, position)


def own_name(quoted_name: bytes) -> str:
    """Return the plain name of a quoted one of a dump; LoadFailed for a reserved, too long or unreadable one."""
    return check_name(quoted_name[1:-1].decode("utf-8", "replace").replace("``", "`"))


def check_name(name: str) -> str:
    """Return the name when a dump may use it, else raise LoadFailed."""
    if is_reserved(name) or len(name) > IDENTIFIER_LIMIT or "\0" in name or "\ufffd" in name:
        raise LoadFailed(f"The dump uses a name that no dump of this product uses: {name[:80]!r}.")
    return name


def _start_of(buffer: bytearray, begin: int) -> str:
    return repr(bytes(buffer[begin : begin + 80]).decode("utf-8", "replace"))

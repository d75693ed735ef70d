"""A `CREATE TABLE` as SHOW CREATE TABLE writes it: taken apart, checked, written again for another name.

Foreign keys are taken out: their names are unique in a whole database, and their parents have to become scratch tables too,
so a load adds them when all tables are there. A default that names a sequence is taken out as well: the sequence has its name
only when it is in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from smartbackup_panel.adapters.databases.statements import NAME, STRING, check_name, own_name
from smartbackup_panel.core.errors import LoadFailed

ENGINES = frozenset({"innodb", "myisam", "aria", "memory", "archive", "csv", "rocksdb", "tokudb", "blackhole"})
_HEAD = re.compile(rb"CREATE TABLE (" + NAME + rb") \(")
_TOKEN = re.compile(
    rb"(?P<name>" + NAME + rb")|(?P<string>" + STRING + rb")|(?P<comment>--[ \t\n]|#|/\*|\*/)"
    rb"|(?P<word>[A-Za-z_@$][\w@$]*+)|(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<equals>=)|(?P<dot>\.)"
    rb"|(?P<other>[0-9][0-9.eE]*+|\s++|[^'\"`;])",
    re.DOTALL,
)
_EXECUTABLE = re.compile(rb"/\*M?!(\d{5,6}) ((?:[^'\"`/*\\;#-]++|'[^'/*\\;]*+'|`[^`/*;]++`)*+)\*/")
_OPTION_WORDS = frozenset(
    b"ENGINE DEFAULT CHARSET CHARACTER SET COLLATE AUTO_INCREMENT COMMENT ROW_FORMAT KEY_BLOCK_SIZE PACK_KEYS CHECKSUM "
    b"PAGE_CHECKSUM DELAY_KEY_WRITE STATS_PERSISTENT STATS_AUTO_RECALC STATS_SAMPLE_PAGES TRANSACTIONAL MIN_ROWS MAX_ROWS "
    b"AVG_ROW_LENGTH WITH SYSTEM VERSIONING ENCRYPTED ENCRYPTION ENCRYPTION_KEY_ID PAGE_COMPRESSED PAGE_COMPRESSION_LEVEL "
    b"COMPRESSION IETF_QUOTES PARTITION BY RANGE LIST HASH KEY LINEAR COLUMNS PARTITIONS SUBPARTITION SUBPARTITIONS "
    b"SYSTEM_TIME INTERVAL LIMIT SECOND MINUTE HOUR DAY WEEK MONTH YEAR AUTO STARTS TIMESTAMP".split()
)
_KEY_WORDS = frozenset({b"REFERENCES", b"FOREIGN"})
_NEVER_WORDS = frozenset(b"SELECT DIRECTORY LOAD_FILE TABLESPACE CONNECTION SLEEP BENCHMARK GET_LOCK INTO".split())
_FOREIGN_KEY = re.compile(
    rb"\s*CONSTRAINT (" + NAME + rb") FOREIGN KEY (\((?:" + NAME + rb"(?:, ?)?)++\)) REFERENCES (" + NAME + rb") "
    rb"(\((?:" + NAME + rb"(?:, ?)?)++\)(?: MATCH [A-Z]+)?"
    rb"(?: ON (?:DELETE|UPDATE) (?:CASCADE|RESTRICT|SET NULL|SET DEFAULT|NO ACTION))*+)\s*"
)


_SEQUENCE_DEFAULT = re.compile(
    rb"(\s*(" + NAME + rb")[^'\"`]*?) DEFAULT nextval\((?:" + NAME + rb"\.)?(" + NAME + rb")\)", re.DOTALL
)


class SequenceDefault(NamedTuple):
    """A column whose default is the next value of a sequence of the same database."""

    table: str
    column: str
    sequence: str


class ForeignKey(NamedTuple):
    """A constraint without its table: `rules` are the parent's columns and what happens on delete and update."""

    name: str
    columns: str
    parent: str
    rules: str


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A table's definition without its name, its foreign keys and the defaults that name a sequence."""

    table: str
    definitions: tuple[bytes, ...]
    options: bytes
    foreign_keys: tuple[ForeignKey, ...]
    sequence_defaults: tuple[SequenceDefault, ...] = ()

    def sql(self, quoted_name: str) -> bytes:
        """Return the statement that makes the table, empty and without foreign keys, under another name."""
        return b"CREATE TABLE " + quoted_name.encode() + b" (" + b",".join(self.definitions) + b"\n)" + self.options


class _Token(NamedTuple):
    kind: str
    text: bytes
    start: int
    end: int


def read_create_table(text: bytes, database: str) -> CreateTable:
    """Return the parts of a definition; LoadFailed for one that SHOW CREATE TABLE would not write.

    `database` is the only one that a qualified name (a sequence in a DEFAULT) may name.
    """
    head = _HEAD.match(text)
    if head is None:
        raise _refused(text, "its head")
    tokens = list(_tokens(_plain(text), head.end()))
    close = _closing(tokens, text)
    body, options = tokens[:close], tokens[close + 1 :]
    _check_words(body, text, database)
    _check_options(options, text, database)
    definitions = _split(_plain(text), body, head.end(), tokens[close].start)
    keys = [_foreign_key(definition) for definition in definitions]
    for definition, key in zip(definitions, keys, strict=True):
        if key is not None:
            check_name(key.parent)
        elif {token.text.upper() for token in _tokens(definition, 0) if token.kind == "word"} & _KEY_WORDS:
            raise _refused(definition, "a foreign key")
    table = own_name(head[1])
    plain = [definition for definition, key in zip(definitions, keys, strict=True) if key is None]
    return CreateTable(
        table,
        tuple(_SEQUENCE_DEFAULT.sub(rb"\1", definition, count=1) for definition in plain),
        _plain(text)[tokens[close].end :],
        tuple(key for key in keys if key is not None),
        tuple(
            SequenceDefault(table, own_name(match[2]), own_name(match[3]))
            for definition in plain
            if (match := _SEQUENCE_DEFAULT.match(definition))
        ),
    )


def foreign_keys_of(create_table: str) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of a definition that a server gave just now."""
    text = create_table.encode("utf-8", "surrogateescape")
    head = _HEAD.match(text)
    if head is None:
        return ()
    tokens = list(_tokens(text, head.end(), strict=False))
    close = _closing(tokens, text)
    keys = (_foreign_key(definition) for definition in _split(text, tokens[:close], head.end(), tokens[close].start))
    return tuple(key for key in keys if key is not None)


def _plain(text: bytes) -> bytes:
    """Executable comments (MySQL writes some options so) become plain text of the same length."""
    return _EXECUTABLE.sub(lambda match: b" " * (match.start(2) - match.start()) + match[2] + b"  ", text)


def _tokens(text: bytes, position: int, *, strict: bool = True) -> Iterator[_Token]:
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or (strict and match.lastgroup == "comment"):
            raise _refused(text, "what stands at " + repr(text[position : position + 40].decode("utf-8", "replace")))
        yield _Token(match.lastgroup or "other", match[0], match.start(), match.end())
        position = match.end()


def _closing(tokens: list[_Token], text: bytes) -> int:
    depth = 1
    for index, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0:
            return index
    raise _refused(text, "its brackets")


def _split(text: bytes, body: list[_Token], begin: int, end: int) -> list[bytes]:
    depth, cuts = 0, [begin - 1]
    for token in body:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and token.kind == "comma":
            cuts.append(token.start)
    cuts.append(end)
    parts = [text[left + 1 : right] for left, right in pairwise(cuts)]
    return [part.rstrip() if number == len(parts) - 1 else part for number, part in enumerate(parts)]


def _check_words(tokens: list[_Token], text: bytes, database: str) -> None:
    before = _Token("other", b"", 0, 0)
    for index, token in enumerate(tokens):
        if token.kind == "word" and token.text.upper() in _NEVER_WORDS:
            raise _refused(text, token.text.decode("ascii", "replace"))
        if token.kind == "dot" and before.kind == "name":
            following = tokens[index + 1].kind if index + 1 < len(tokens) else "end"
            if following != "name" or _plain_name(before.text) != database:
                raise _refused(text, "a name of another database")
        before = token


def _check_options(tokens: list[_Token], text: bytes, database: str) -> None:
    """Outside brackets only the words of table options; a word after `=` is a value."""
    _check_words(tokens, text, database)
    depth, before = 0, _Token("other", b"", 0, 0)
    for token in tokens:
        depth += (token.kind == "open") - (token.kind == "close")
        if token.kind == "word" and depth == 0 and before.kind != "equals" and token.text.upper() not in _OPTION_WORDS:
            raise _refused(text, token.text.decode("utf-8", "replace"))
        if before.kind == "equals" and token.kind == "word" and _follows_engine(text, before):
            _check_engine(token, text)
        if token.text.strip():
            before = token


def _follows_engine(text: bytes, equals: _Token) -> bool:
    return text[: equals.start].rstrip().upper().endswith(b"ENGINE")


def _check_engine(token: _Token, text: bytes) -> None:
    if token.text.decode("utf-8", "replace").lower() not in ENGINES:
        raise _refused(text, f"the engine {token.text.decode('utf-8', 'replace')}")


def _foreign_key(definition: bytes) -> ForeignKey | None:
    match = _FOREIGN_KEY.fullmatch(definition)
    if match is None:
        return None
    try:
        return ForeignKey(_plain_name(match[1]), match[2].decode(), _plain_name(match[3]), match[4].decode())
    except UnicodeDecodeError as odd:
        raise _refused(definition, "a foreign key whose names are no UTF-8") from odd


def _plain_name(quoted_name: bytes) -> str:
    return quoted_name[1:-1].decode("utf-8", "replace").replace("``", "`")


def _refused(text: bytes, what: str) -> LoadFailed:
    shown = " ".join(text[:100].decode("utf-8", "replace").split())
    return LoadFailed(
        f"The dump defines a table in a way that a restore does not run ({what}): {shown!r}.",
        hint="Do not use this dump unless you know who wrote it. Nothing of it was run.",
    )

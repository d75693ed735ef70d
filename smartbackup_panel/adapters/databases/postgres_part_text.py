"""Which statements of a PostgreSQL dump make some of its tables, and the same statements for a scratch schema.

Only the place where a statement names its own table changes: column types, functions and parents stay the live ones. What
could name the table a second time (a trigger, a policy, a foreign key) is kept until the table is in place, and runs as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from smartbackup_panel.adapters.databases.postgres_text import NAME, plain_name, shown_name
from smartbackup_panel.core.databases import LoadPart
from smartbackup_panel.core.errors import LoadFailed

Place = tuple[str, str]
"""Schema and name."""
_OWN = rb"(?P<schema>" + NAME + rb")\.(?P<name>" + NAME + rb")"
_AT_ONCE = re.compile(
    rb"(?:CREATE (?:UNLOGGED )?TABLE|ALTER TABLE(?: ONLY)?|CREATE (?:UNIQUE )?INDEX "
    + NAME
    + rb" ON(?: ONLY)?|COPY) "
    + _OWN
)
_LATER = re.compile(
    rb"(?:CREATE (?:CONSTRAINT )?TRIGGER " + NAME + rb" .+? ON|CREATE POLICY " + NAME + rb" ON"
    rb"|CREATE RULE " + NAME + rb" AS\s+ON \w+ TO|COMMENT ON (?:TABLE|COLUMN)"
    rb"|COMMENT ON (?:TRIGGER|CONSTRAINT|POLICY|RULE) " + NAME + rb" ON|(?:GRANT|REVOKE) .+? ON TABLE) " + _OWN,
    re.DOTALL,
)
_FOREIGN_KEY = re.compile(
    rb"ALTER TABLE(?: ONLY)? [^\n]+\s+ADD CONSTRAINT (" + NAME + rb") (FOREIGN KEY .+);", re.DOTALL
)
_SEQUENCE = re.compile(rb"CREATE SEQUENCE " + _OWN)
_OWNED = re.compile(rb"ALTER SEQUENCE " + _OWN + rb" OWNED BY (?P<of_schema>" + NAME + rb")\.(?P<of>" + NAME + rb")\.")
_IDENTITY = re.compile(rb"SEQUENCE NAME " + _OWN)
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('" + _OWN + rb"', ")
_OF_SEVERAL = re.compile(rb"\)\s*(?:INHERITS \(|PARTITION BY )|\sATTACH PARTITION ")
_STATISTICS = re.compile(rb"CREATE STATISTICS .+ FROM " + _OWN, re.DOTALL)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key without its table's name: `definition` begins with FOREIGN KEY."""

    schema: str
    table: str
    name: str
    definition: str


@dataclass(slots=True)
class PartOfDump:
    """Takes the statements of a dump one after the other; `later`, `keys` and `warnings` are complete at its end.

    `scratch` gives the scratch schema for a schema of the dump.
    """

    part: LoadPart
    scratch: Callable[[str], str]
    made: set[Place] = field(default_factory=set)
    later: list[bytes] = field(default_factory=list)
    keys: list[ForeignKey] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _waiting: dict[Place, bytes] = field(default_factory=dict)
    _sequences: set[Place] = field(default_factory=set)

    def take(self, text: bytes) -> list[bytes]:
        """Return what is to be run now for a statement, often nothing. LoadFailed for a table that cannot come alone."""
        if match := _SEQUENCE.match(text):
            self._waiting[_place(match)] = text
        elif match := _OWNED.match(text):
            return self._owned_sequence(text, match)
        elif match := _SETVAL.match(text):
            return [self._moved(text, match)] if _place(match) in self._sequences else []
        elif (match := _AT_ONCE.match(text)) and self._is_chosen(_place(match)):
            return self._at_once(text, match)
        elif (match := _LATER.match(text)) and self._is_chosen(_place(match)):
            self.later.append(text)
        elif (match := _STATISTICS.match(text)) and self._is_chosen(_place(match)):
            self.warnings.append(f"The extended statistics of {_shown(match)} were not made again.")
        return []

    def _is_chosen(self, place: Place) -> bool:
        return self.part.takes(shown_name(*place))

    def _at_once(self, text: bytes, match: re.Match[bytes]) -> list[bytes]:
        if _OF_SEVERAL.search(text):
            raise LoadFailed(
                f"The table {_shown(match)} is spread over several tables or inherits from one, so it cannot be put back alone.",
                hint="Restore the whole database.",
            )
        place = _place(match)
        if text.startswith(b"CREATE ") and b"TABLE " in text[: match.start("schema")]:
            self.made.add(place)
        if key := _FOREIGN_KEY.fullmatch(text):
            self.keys.append(ForeignKey(*place, plain_name(key[1]), key[2].decode("utf-8", "surrogateescape")))
            return []
        moved = self._moved(text, match)
        if b" AS IDENTITY (" in moved and (identity := _IDENTITY.search(moved)):
            self._sequences.add(_place(identity))
            moved = self._moved(moved, identity)
        return [self._with_own_default(moved)]

    def _owned_sequence(self, text: bytes, match: re.Match[bytes]) -> list[bytes]:
        place = _place(match)
        if not self._is_chosen((plain_name(match["of_schema"]), plain_name(match["of"]))) or place not in self._waiting:
            return []
        self._sequences.add(place)
        made = self._waiting.pop(place)
        head = _SEQUENCE.match(made)
        assert head is not None, "it waits because it matched"
        begin, end = match.span("of_schema")
        owned = text[:begin] + self._scratch(match["of_schema"]) + text[end:]
        return [self._moved(made, head), self._moved(owned, match)]

    def _with_own_default(self, text: bytes) -> bytes:
        """A serial column's default names its sequence in a text."""
        if b" SET DEFAULT " not in text:
            return text
        for schema, name in self._sequences:
            written = f'"{schema}"."{name}"'.replace("'", "''").encode()
            moved = f'"{self.scratch(schema)}"."{name}"'.replace("'", "''").encode()
            text = text.replace(b"'" + written + b"'::", b"'" + moved + b"'::")
        return text

    def _moved(self, text: bytes, match: re.Match[bytes]) -> bytes:
        begin, end = match.span("schema")
        return text[:begin] + self._scratch(match["schema"]) + text[end:]

    def _scratch(self, schema: bytes) -> bytes:
        return b'"' + self.scratch(plain_name(schema)).encode() + b'"'


def _place(match: re.Match[bytes]) -> Place:
    return plain_name(match["schema"]), plain_name(match["name"])


def _shown(match: re.Match[bytes]) -> str:
    return shown_name(*_place(match))

"""Extensions among a site's own tables, as `CREATE EXTENSION` puts them: they belong to the server and stay where they are.

A schema that holds one is not replaced by renaming it. While a dump is loaded it steps aside with the extension in it, and what
the dump says of the extension is pointed there; to put it in place the site's objects change schemas one by one. A view, a
column or an index knows its types and functions by their numbers, so it stays whole wherever it lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
from psycopg import sql

from smartbackup_panel.adapters.databases.postgres_probe import live_schemas
from smartbackup_panel.adapters.databases.postgres_session import Connection, identifier, reason_of
from smartbackup_panel.adapters.databases.postgres_text import NAME, created_extension, plain_name, shown_name
from smartbackup_panel.core.errors import LoadFailed, RestoreFailed

_CLASSES = (
    ("pg_class", "relname", "relnamespace"),
    ("pg_type", "typname", "typnamespace"),
    ("pg_proc", "proname", "pronamespace"),
    ("pg_operator", "oprname", "oprnamespace"),
    ("pg_opclass", "opcname", "opcnamespace"),
    ("pg_opfamily", "opfname", "opfnamespace"),
    ("pg_collation", "collname", "collnamespace"),
    ("pg_conversion", "conname", "connamespace"),
    ("pg_ts_config", "cfgname", "cfgnamespace"),
    ("pg_ts_dict", "dictname", "dictnamespace"),
    ("pg_statistic_ext", "stxname", "stxnamespace"),
)
_OBJECTS = " UNION ALL ".join(
    f"SELECT '{table}'::regclass AS class, oid, {name}::text AS name, {schema} AS schema FROM {table}"  # noqa: S608
    for table, name, schema in _CLASSES
)
_MEMBERS = (
    f"SELECT n.nspname, o.name FROM ({_OBJECTS}) o JOIN pg_namespace n ON n.oid = o.schema "  # noqa: S608  # constants
    "JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'"
)
_MOVABLE = (
    f"SELECT i.type, i.identity FROM ({_OBJECTS}) o CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i "  # noqa: S608
    "WHERE o.schema = %s::regnamespace AND i.type = ANY(%s) "
    "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND (d.deptype = 'e' "
    "OR d.deptype = 'i' AND d.refobjid <> o.oid "
    "OR d.deptype = 'a' AND i.type = 'sequence' AND d.refclassid = 'pg_class'::regclass)) "
    "AND NOT (o.class = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type e WHERE e.typarray = o.oid))"
)
_WORDS = {
    "table": "TABLE",
    "view": "VIEW",
    "materialized view": "MATERIALIZED VIEW",
    "foreign table": "FOREIGN TABLE",
    "sequence": "SEQUENCE",
    "type": "TYPE",
    "function": "FUNCTION",
    "procedure": "PROCEDURE",
    "aggregate": "AGGREGATE",
    "operator": "OPERATOR",
    "operator class": "OPERATOR CLASS",
    "operator family": "OPERATOR FAMILY",
    "collation": "COLLATION",
    "conversion": "CONVERSION",
    "text search configuration": "TEXT SEARCH CONFIGURATION",
    "text search dictionary": "TEXT SEARCH DICTIONARY",
    "statistics object": "STATISTICS",
}
"""What `pg_identify_object` calls an object, and what ALTER calls it."""

_RANGES = (
    "SELECT typname, nspname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'r' ORDER BY 1"
)
_EXTENSIONS = "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
_PLACES = re.compile(
    rb"(?<![\w$])[eE]'(?:[^'\\]++|\\.|'')*+'|'(?:[^']++|'')*+'|(?P<tag>\$(?:[A-Za-z_]\w*+)?\$).*?(?P=tag)|--[^\n]*+\n"
    rb"|(?P<schema>" + NAME + rb")\.(?P<name>" + NAME + rb"|[-+*/<>=~!@#%^&|`?]+)|" + NAME,
    re.DOTALL,
)
_MADE = re.compile(
    rb"CREATE (?:OR REPLACE )?(?:UNLOGGED |MATERIALIZED |RECURSIVE )?(?:TABLE|SEQUENCE|VIEW|FUNCTION|PROCEDURE|AGGREGATE|TYPE"
    rb"|DOMAIN|OPERATOR(?: CLASS| FAMILY)?|COLLATION|TEXT SEARCH \w+|STATISTICS) (?P<schema>" + NAME + rb")\."
    rb"(?P<name>" + NAME + rb"|[-+*/<>=~!@#%^&|`?]+)"
)  # fmt: skip


def shared_schemas(connection: Connection) -> set[str]:
    """Return the site's own schemas in which an extension lies too."""
    return {name for (name,) in connection.execute(_EXTENSIONS)} & set(live_schemas(connection))


def fixed_types(connection: Connection) -> list[str]:
    """Return the range types of schemas with an extension: their functions belong to the server, and nobody moves those."""
    shared = shared_schemas(connection)
    return [shown_name(schema, name) for name, schema in connection.execute(_RANGES) if schema in shared]


def refuse_fixed_types(connection: Connection) -> None:
    """Raise LoadFailed where a whole restore could not take the site's own types away."""
    for name in fixed_types(connection)[:1]:
        raise _fixed(name)


class WholeDump:
    """Takes the statements of a whole dump while the live schemas stand `aside` (their names there)."""

    def __init__(self, connection: Connection, aside: Mapping[str, str], warnings: list[str]) -> None:
        self._connection = connection
        self._aside = aside
        self._names = {there: name for name, there in aside.items()}
        self._warnings = warnings
        self._members = self._find_members()

    def take(self, text: bytes) -> list[bytes]:
        """Return what is to be run for a statement. LoadFailed where the site and an extension have something of one name."""
        extension = created_extension(text)
        if extension is not None:
            self._make(*extension)
            return []
        if not self._members:
            return [text]
        made = _MADE.match(text)
        if made is not None and b" AS RANGE (" in text and plain_name(made["schema"]) in dict(self._members):
            raise _fixed(made["name"].decode("utf-8", "replace"))
        if made is not None and self._is_member(made):
            schema, name = made["schema"], made["name"]
            raise LoadFailed(
                f"The dump makes {(schema + b'.' + name).decode('utf-8', 'replace')}, and an extension has something of that name.",
                hint="Restore chosen tables: they go back all the same.",
            )
        return [_PLACES.sub(self._redirected, text)]

    def _make(self, name: str, schema: str) -> None:
        """Make an extension that is no longer there, as the site's role may with trusted ones."""
        if self._connection.execute("SELECT FROM pg_extension WHERE extname = %s", [name]).fetchone() is not None:
            return
        statement = sql.SQL("CREATE EXTENSION {} SCHEMA {}").format(
            identifier(name), identifier(self._aside.get(schema, schema))
        )
        try:
            with self._connection.transaction():
                self._connection.execute(statement)
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            self._warnings.append(
                f"The extension {name} is not there and could not be made: {reason_of(error)}. "
                f"As the server's administrator: CREATE EXTENSION {name}."
            )
        self._members = self._find_members()

    def _find_members(self) -> set[tuple[str, str]]:
        """Return what extensions have in schemas that stand aside: (name of the live schema, name)."""
        rows = self._connection.execute(_MEMBERS).fetchall()
        return {(self._names[schema], name) for schema, name in rows if schema in self._names}

    def _is_member(self, match: re.Match[bytes]) -> bool:
        name = plain_name(match["name"]) if match["name"].startswith(b'"') else match["name"].decode()
        return (plain_name(match["schema"]), name) in self._members

    def _redirected(self, match: re.Match[bytes]) -> bytes:
        if match["schema"] is None or not self._is_member(match):
            return match[0]
        aside = self._aside[plain_name(match["schema"])].replace('"', '""')
        return b'"' + aside.encode() + b'".' + match["name"]


def _fixed(name: str) -> LoadFailed:
    return LoadFailed(
        f"The range type {name} lies in one schema with an extension, so that the database cannot be replaced as a whole.",
        hint="Restore chosen tables: they go back all the same. Or once, as the server's administrator: CREATE SCHEMA "
        "extensions; ALTER EXTENSION ... SET SCHEMA extensions; and put that schema into the role's search_path.",
    )


def move(connection: Connection, names: Mapping[str, str], shared: set[str] | frozenset[str] = frozenset()) -> None:
    """Give schemas their new names; of one that is shared with an extension what is the site's own changes schemas.

    RestoreFailed where the site's login may not.
    """
    for source, target in names.items():
        try:
            if source in shared or target in shared:
                _move_objects(connection, source, target, keeps_source=source in shared)
            else:
                statement = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
                connection.execute(statement.format(identifier(source), identifier(target)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise RestoreFailed(
                f"The site's login may not replace the schema {source}: {reason_of(error)}.",
                hint="Make the login the owner of its database and of the schemas and tables in it, and try again.",
            ) from None


def _move_objects(connection: Connection, source: str, target: str, *, keeps_source: bool) -> None:
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier(target)))
    there = sql.SQL(" SET SCHEMA {}").format(identifier(target))
    quoted_source = identifier(source).as_string(connection)
    for kind, name in connection.execute(_MOVABLE, [quoted_source, list(_WORDS)]).fetchall():
        # The server writes the name itself, as a statement needs it.
        connection.execute(sql.SQL("ALTER ") + sql.SQL(_WORDS[kind]) + sql.SQL(" ") + sql.SQL(name) + there)
    if not keeps_source:
        connection.execute(sql.SQL("DROP SCHEMA {}").format(identifier(source)))

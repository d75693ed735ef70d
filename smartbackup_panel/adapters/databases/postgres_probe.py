"""What a tenant's PostgreSQL database holds now, as its own role sees it."""

from __future__ import annotations

from smartbackup_panel.adapters.databases.postgres_session import Connection
from smartbackup_panel.adapters.databases.postgres_text import shown_name
from smartbackup_panel.core.databases import DatabaseListing, TableInfo, is_reserved

_NO_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')"
_SCHEMAS = (
    "SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND (nspname = 'public' "  # noqa: S608
    "OR NOT EXISTS (SELECT FROM pg_extension WHERE extnamespace = n.oid) "
    f"OR EXISTS (SELECT FROM pg_class o WHERE o.relnamespace = n.oid AND {_NO_EXTENSION})) ORDER BY nspname"
)
_RELATIONS = (
    "SELECT n.nspname, o.relname, o.relkind, greatest(o.reltuples, 0)::bigint, pg_total_relation_size(o.oid) "  # noqa: S608
    f"FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S') "
    f"AND o.relpersistence <> 't' AND {_NO_EXTENSION} ORDER BY 1, 2"
)
_TRIGGERS = (
    "SELECT n.nspname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n "
    "ON n.oid = c.relnamespace WHERE NOT t.tgisinternal ORDER BY 1, 2"
)
_ROUTINES = (
    "SELECT n.nspname, o.proname FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace "  # noqa: S608  # constants
    f"WHERE {_NO_EXTENSION} ORDER BY 1, 2"
)


def live_schemas(connection: Connection) -> list[str]:
    """Return the site's own schemas: not the server's, not those of restores, not those that hold extensions alone."""
    return [name for (name,) in connection.execute(_SCHEMAS) if not is_reserved(name)]


def list_database(connection: Connection) -> DatabaseListing:
    """Return tables (with the planner's estimates), views and sequences; partitioned tables count by their parts."""
    schemas = set(live_schemas(connection))
    found: dict[str, list[str]] = {"v": [], "m": [], "S": []}
    tables = []
    for schema, name, kind, rows, size in connection.execute(_RELATIONS):
        if schema not in schemas:
            continue
        if kind == "r":
            tables.append(TableInfo(shown_name(schema, name), "heap", int(rows), int(size)))
        elif kind in found:
            found[kind].append(shown_name(schema, name))
    programs = list_programs(connection)
    return DatabaseListing(
        server_version=f"PostgreSQL {connection.info.parameter_status('server_version')}",
        tables=tuple(tables),
        views=tuple(found["v"] + found["m"]),
        sequences=tuple(found["S"]),
        triggers=programs["triggers"],
        routines=programs["routines"],
        events=(),
        unreadable={},
    )


def list_programs(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the names of triggers and routines."""
    schemas = set(live_schemas(connection))
    queries = {"triggers": _TRIGGERS, "routines": _ROUTINES}
    return {
        kind: tuple(shown_name(schema, name) for schema, name in connection.execute(query) if schema in schemas)
        for kind, query in queries.items()
    }

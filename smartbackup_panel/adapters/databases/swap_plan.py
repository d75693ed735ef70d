"""What a swap will change, decided from what is live now and what was loaded; written to the journal before anything is."""

from __future__ import annotations

from smartbackup_panel.adapters.databases.connection import Session
from smartbackup_panel.adapters.databases.foreign_keys import is_generated, read_foreign_keys
from smartbackup_panel.adapters.databases.journal import Journal, Record, SwapPlan
from smartbackup_panel.adapters.databases.probe import take_inventory
from smartbackup_panel.adapters.databases.programs import (
    Kind,
    Program,
    Unreadable,
    definer_user,
    read_program,
    without_definer,
)
from smartbackup_panel.core.databases import NEW_PREFIX, SwapMode, is_reserved
from smartbackup_panel.core.errors import RestoreFailed

ProgramKey = tuple[Kind, str]
_LIVE = (
    "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME"
)


def live_tables(session: Session) -> dict[str, str]:
    """Return the site's own tables, views and sequences now, each with the server's type."""
    return {name: kind for name, kind in session.rows(_LIVE) if not is_reserved(name)}


def plan_swap(session: Session, journal: Journal, record: Record, mode: SwapMode) -> SwapPlan:
    """Return what goes, what comes and what has to be made again. Nothing is changed.

    RestoreFailed where a live program would have to go and its definition cannot be read, so that an undo could not make it.
    """
    live = live_tables(session)
    lost = set(record.new.values()) - journal.tables(NEW_PREFIX).keys()
    if lost:
        raise RestoreFailed(f"Scratch tables of the restore {journal.restore_id} are gone; load it again.")
    tables = _live_program_names(session)
    programs = {(kind, name): read_program(session, kind, name, table) for (kind, name), table in tables.items()}
    unchanged = {_key(new) for new in record.programs if _same(new, programs.get(_key(new)))}
    wanted = {_key(program) for program in record.programs}
    staying = unchanged | _of_others(record, programs, wanted)
    old_names = [name for name, kind in live.items() if _goes(name, kind, record, mode, wanted, staying)]
    going = [name for name in old_names if live[name] not in ("VIEW", "SEQUENCE")]
    staying |= _of_others_on_tables(session, programs, wanted)
    leaving = [key for key in programs if _is_dropped(key, tables[key], going, mode, wanted - unchanged, staying)]
    return SwapPlan(
        mode=mode,
        old={name: journal.old_name(number) for number, name in enumerate(old_names, 1)},
        drops=[_readable(programs[key]) for key in leaving],
        creates=[program for program in record.programs if _key(program) not in unchanged],
        constraints=_constraints(session, journal, going),
    )


def _live_program_names(session: Session) -> dict[ProgramKey, str]:
    """Every view, trigger, routine and event, with the table of a trigger."""
    inventory = take_inventory(session)
    named: dict[ProgramKey, str] = {(Kind.VIEW, name): "" for name in inventory.listing.views}
    return named | {(program.kind, program.name): program.table for program in inventory.programs}


def _key(program: Program) -> ProgramKey:
    return program.kind, program.name


def _of_others(
    record: Record, programs: dict[ProgramKey, Program | Unreadable], wanted: set[ProgramKey]
) -> set[ProgramKey]:
    """What somebody else made in this database stays: refused programs, and routines that the login may not even read."""
    hidden = {key for key, program in programs.items() if isinstance(program, Unreadable) and key not in wanted}
    routines = {key for key in hidden if key[0] not in (Kind.TRIGGER, Kind.VIEW)}
    return routines | {key for key in record.refused if key[0] is not Kind.TRIGGER}


def _of_others_on_tables(
    session: Session, programs: dict[ProgramKey, Program | Unreadable], wanted: set[ProgramKey]
) -> set[ProgramKey]:
    """A trigger of somebody else goes and comes back with its table: made again, it would run under the site's own login."""
    user = str(session.value("SELECT USER()")).rpartition("@")[0]
    live = {key: program for key, program in programs.items() if key[0] is Kind.TRIGGER and key not in wanted}
    return {
        key
        for key, program in live.items()
        if isinstance(program, Program) and definer_user(program.create_sql) not in (None, user)
    }


def _same(new: Program, live: Program | Unreadable | None) -> bool:
    """A view, routine or event that is there already stays. A trigger hangs on a table that goes, so it is made again."""
    if not isinstance(live, Program) or new.kind is Kind.TRIGGER:
        return False
    settings = (new.sql_mode, new.collation, new.time_zone) == (live.sql_mode, live.collation, live.time_zone)
    return settings and without_definer(new.create_sql) == without_definer(live.create_sql)


def _goes(
    name: str,
    kind: str,
    record: Record,
    mode: SwapMode,
    wanted: set[ProgramKey],
    unchanged: set[ProgramKey],
) -> bool:
    if kind == "VIEW" and (Kind.VIEW, name) in unchanged:
        return False
    return mode is SwapMode.EXACT or name in record.new or (Kind.VIEW, name) in wanted


def _is_dropped(
    key: ProgramKey, table: str, going: list[str], mode: SwapMode, made: set[ProgramKey], unchanged: set[ProgramKey]
) -> bool:
    """Views change places with the tables, and a trigger goes with its table. `made` are those that will be made again."""
    kind = key[0]
    if kind is Kind.VIEW or key in unchanged:
        return False
    return key in made or (table in going if kind is Kind.TRIGGER else mode is SwapMode.EXACT)


def _readable(program: Program | Unreadable) -> Program:
    if isinstance(program, Unreadable):
        raise RestoreFailed(
            f"The {program.kind.value} {program.name} would be replaced, but its definition cannot be read: {program.reason}.",
            hint="Ask the administrator of the database to drop it or to give it to the site's login, then try again.",
        )
    return program


def _constraints(session: Session, journal: Journal, going: list[str]) -> list[tuple[str, str, str]]:
    """The foreign keys of tables that go, each with a temporary name; generated names follow their table by themselves."""
    held = [(table, key.name) for table in going for key in read_foreign_keys(session, table)]
    named = [(table, name) for table, name in held if not is_generated(table, name)]
    return [(table, name, f"{journal.old_name(number)}_f") for number, (table, name) in enumerate(named, 1)]

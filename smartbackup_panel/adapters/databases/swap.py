"""Put loaded tables in place, and take them back: one RENAME TABLE each way, everything around it repeatable.

The order of a swap: foreign keys are made ready, programs whose names are needed are dropped, all tables change places in
one statement (all or nothing, also for a killed server from MariaDB 10.6 on), programs are made again. Rows that came since
and stay are copied before that statement, and those of the last moment after it. Triggers and views
are missing for the moment between the last two, since their names exist once in a database. Killed anywhere, the same call
goes on where it stopped, because it looks at what is there.
"""

from __future__ import annotations

from collections.abc import Iterable

import pymysql

from smartbackup_panel.adapters.databases.connection import Session, error_facts, is_lost, quoted
from smartbackup_panel.adapters.databases.foreign_keys import (
    add_foreign_key,
    drop_foreign_keys,
    generated_name,
    is_generated,
    read_foreign_keys,
    rename_foreign_key,
    repoint,
)
from smartbackup_panel.adapters.databases.journal import Journal, Record, SwapPlan
from smartbackup_panel.adapters.databases.load import CHECKS_OFF
from smartbackup_panel.adapters.databases.newer_rows import carry
from smartbackup_panel.adapters.databases.programs import (
    Program,
    create_program,
    drop_program,
    in_creation_order,
    read_program,
)
from smartbackup_panel.adapters.databases.swap_plan import live_tables, plan_swap
from smartbackup_panel.core.databases import NEW_PREFIX, OLD_PREFIX, RestoreState, SwapMode, SwapReport
from smartbackup_panel.core.errors import NothingToUndo, RestoreFailed

_WITHOUT_KEYS = frozenset({"VIEW", "SEQUENCE"})


class Swap:
    """The steps of one restore in one database."""

    def __init__(self, session: Session, journal: Journal) -> None:
        self._session = session
        self._journal = journal
        self._warnings: list[str] = []
        session.run(CHECKS_OFF)

    def swap(self, mode: SwapMode) -> SwapReport:
        """Put the loaded tables in place; already done is fine. RestoreFailed: the live tables are as they were."""
        record = self._journal.read()
        if record.phase is RestoreState.SWAPPED and record.plan is not None:
            return self._report(record.plan, record)
        if record.phase is RestoreState.LOADED:
            record.plan = plan_swap(self._session, self._journal, record, SwapMode.MERGE if record.is_part else mode)
            record.phase = RestoreState.SWAPPING
            self._journal.write(record)
        if record.phase is not RestoreState.SWAPPING or record.plan is None:
            raise RestoreFailed(f"The restore {self._journal.restore_id} has nothing loaded to put in place.")
        if not self._is_renamed(record):
            self._rename_forward(record, record.plan)
        carry(self._session, record, record.plan.old, {name: name for name in live_tables(self._session)})
        self._set_sequence_defaults(record)
        self._after_renaming(record.plan.creates, {old: live for live, old in record.plan.old.items()})
        record.phase = RestoreState.SWAPPED
        self._journal.write(record)
        return self._report(record.plan, record)

    def undo(self) -> SwapReport:
        """Take a swap back; the loaded tables are scratch tables again afterwards. NothingToUndo where none was made."""
        record = self._journal.read()
        plan = record.plan
        if plan is None or record.phase not in (RestoreState.SWAPPED, RestoreState.SWAPPING, RestoreState.UNDOING):
            raise NothingToUndo(f"The restore {self._journal.restore_id} has not been put in place.")
        self._check_old_tables(record, plan)
        record.phase = RestoreState.UNDOING
        self._journal.write(record)
        self._back(record, plan)
        report = self._report(plan, record)
        record.plan = None
        record.phase = RestoreState.LOADED
        self._journal.write(record)
        return report

    def discard(self) -> None:
        """Remove scratch tables, or the replaced tables that an undo would need, and the record. Nothing there is fine."""
        record = self._journal.read()
        if record.phase in (RestoreState.SWAPPING, RestoreState.UNDOING):
            raise RestoreFailed(
                f"The restore {self._journal.restore_id} stopped half-way.",
                hint="Finish it or undo it before it is removed.",
            )
        self._journal.drop_tables(NEW_PREFIX)
        self._journal.drop_tables(OLD_PREFIX)
        self._journal.remove()

    def _rename_forward(self, record: Record, plan: SwapPlan) -> None:
        live = live_tables(self._session)
        pairs = [(name, old) for name, old in plan.old.items() if name in live]
        pairs += [(scratch, name) for name, scratch in record.new.items()]
        try:
            for table, name, temporary in plan.constraints:
                rename_foreign_key(self._session, table, name, temporary)
            self._add_keys(record)
            for program in plan.drops:
                drop_program(self._session, program.kind, program.name)
            here = {name: name for name in live}
            carry(self._session, record, here, here | record.new)
            self._rename(pairs)
        except pymysql.err.MySQLError as error:
            if is_lost(error):
                raise
            self._back(record, plan)
            record.plan, record.phase = None, RestoreState.LOADED
            self._journal.write(record)
            reasons = [f"The tables could not be put in place: {error_facts(error)[1]}.", *self._warnings]
            raise RestoreFailed(" ".join(reasons)) from None

    def _back(self, record: Record, plan: SwapPlan) -> None:
        """Everything as it was before the swap, from wherever it stands."""
        if self._is_renamed(record):
            for program in reversed(in_creation_order(plan.creates)):
                drop_program(self._session, program.kind, program.name)
            self._free_constraint_names(record, plan)
            self._rename(self._reverse_pairs(record, plan))
        for scratch, kind in self._journal.tables(NEW_PREFIX).items():
            if kind not in _WITHOUT_KEYS:
                drop_foreign_keys(self._session, scratch)
        self._after_renaming(plan.drops, {scratch: live for live, scratch in record.new.items()})
        live = live_tables(self._session)
        for table, name, temporary in plan.constraints:
            if table in live:
                rename_foreign_key(self._session, table, temporary, name)

    def _reverse_pairs(self, record: Record, plan: SwapPlan) -> list[tuple[str, str]]:
        """Live tables step aside (also one that the site made since under a name that comes back), old ones return."""
        live = live_tables(self._session)
        present = self._journal.tables(OLD_PREFIX)
        returning = {name: old for name, old in plan.old.items() if old in present}
        aside = [name for name in live if name in record.new or name in returning]
        newcomers = {name: number for number, name in enumerate(aside, len(record.new) + 1) if name not in record.new}
        pairs = [(name, record.new.get(name) or self._journal.scratch_name(newcomers[name])) for name in aside]
        return pairs + [(old, name) for name, old in returning.items()]

    def _check_old_tables(self, record: Record, plan: SwapPlan) -> None:
        if not self._is_renamed(record):
            return
        gone = sorted(name for name, old in plan.old.items() if old not in self._journal.tables(OLD_PREFIX))
        if gone:
            raise RestoreFailed(f"An undo is not possible: the replaced tables of {', '.join(gone[:10])} are gone.")

    def _is_renamed(self, record: Record) -> bool:
        """Look at the tables themselves: no scratch table of the load is left, or the first old one is there."""
        if record.new:
            return not set(record.new.values()) & self._journal.tables(NEW_PREFIX).keys()
        return bool(record.plan and set(record.plan.old.values()) & self._journal.tables(OLD_PREFIX).keys())

    def _add_keys(self, record: Record) -> None:
        for table, key in record.keys:
            scratch = record.new[table]
            name = generated_name(scratch, table, key.name) if is_generated(table, key.name) else key.name
            wanted = key._replace(name=name, parent=record.new.get(key.parent, key.parent))
            if all(there.name != name for there in read_foreign_keys(self._session, scratch)):
                add_foreign_key(self._session, scratch, wanted)

    def _free_constraint_names(self, record: Record, plan: SwapPlan) -> None:
        live = live_tables(self._session)
        needed = {name for _, name, _ in plan.constraints}
        for number, (table, key) in enumerate(record.keys, 1):
            if key.name in needed and table in live:
                temporary = f"{self._journal.scratch_name(number)}_f"
                rename_foreign_key(self._session, table, key.name, temporary)

    def _set_sequence_defaults(self, record: Record) -> None:
        """Where the sequence is not there (a table alone came back), the column has no default and a warning says so."""
        for table, column, sequence in record.defaults:
            default = f"ALTER COLUMN {quoted(column)} SET DEFAULT nextval({quoted(sequence)})"
            try:
                self._session.run(f"ALTER TABLE {quoted(table)} {default}")
            except pymysql.err.MySQLError as error:
                if is_lost(error):
                    raise
                reason = error_facts(error)[1]
                self._warnings.append(f"The column {column} of {table} has no default any more: {reason}.")

    def _rename(self, pairs: Iterable[tuple[str, str]]) -> None:
        steps = ", ".join(f"{quoted(source)} TO {quoted(target)}" for source, target in pairs)
        if steps:
            self._session.run(f"RENAME TABLE {steps}")

    def _after_renaming(self, programs: list[Program], moved: dict[str, str]) -> None:
        """Point what stayed at what came, and make programs; one that cannot be made is a warning with its name."""
        stayed = [name for name, kind in live_tables(self._session).items() if kind not in _WITHOUT_KEYS]
        repoint(self._session, stayed, moved)
        for program in in_creation_order(programs):
            if read_program(self._session, program.kind, program.name, program.table) == program:
                continue
            try:
                drop_program(self._session, program.kind, program.name)
                create_program(self._session, program)
            except pymysql.err.MySQLError as error:
                if is_lost(error):
                    raise
                self._warnings.append(f"The {program.label()} could not be made again: {error_facts(error)[1]}.")

    def _report(self, plan: SwapPlan, record: Record) -> SwapReport:
        replaced = tuple(sorted(name for name in record.new if name in plan.old))
        removed = tuple(sorted(name for name in plan.old if name not in record.new))
        return SwapReport(self._journal.restore_id, replaced, removed, (*record.warnings, *self._warnings))

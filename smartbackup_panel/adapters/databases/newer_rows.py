"""Rows that came since a restore point: named before a restore, and kept by one where that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pymysql
from pymysql.constants import ER

from smartbackup_panel.adapters.databases.connection import Session, error_facts, quoted
from smartbackup_panel.adapters.databases.journal import Journal, Record
from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.newer_rows import MOMENT, KeptTable, Newer, Question, never_used_again

SHOWN = 3
_NOT_THERE = frozenset({ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR})
_COLUMNS = (
    "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s "
    "AND GENERATION_EXPRESSION IS NULL OR TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND GENERATION_EXPRESSION = ''"
)
_NEXT = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s"


def find_newer(session: Session, questions: Iterable[Question], since: datetime) -> tuple[Newer, ...]:
    """Return what there is of each question's rows; a table or column that is not there now has none."""
    found = []
    for question in questions:
        date = f"FROM_UNIXTIME({quoted(question.date)})" if question.is_unix_time else quoted(question.date)
        place = f"FROM {quoted(question.table)} WHERE {date} > {MOMENT} AND {question.condition}"
        count_of_moments = place.count(MOMENT)
        place = place.replace(MOMENT, "%s")
        newest = f"SELECT LEFT({question.title}, 80), {date} {place} ORDER BY 2 DESC LIMIT {SHOWN}"
        try:
            moments = [_moment(_in_zone(session, since, question.zone))] * count_of_moments
            count = int(session.value(f"SELECT COUNT(*) {place}", *moments))  # quoted, our own words
            rows = session.rows(newest, *moments) if count else []
        except pymysql.err.MySQLError as error:
            if error_facts(error)[0] not in _NOT_THERE:
                raise
            continue
        if count:
            found.append(Newer(question, count, tuple((str(title), str(at)) for title, at in rows)))
    return tuple(found)


def prepare_kept(session: Session, journal: Journal, keep: Iterable[KeptTable], expected: DumpReport) -> None:
    """Note in the journal what stays at the swap. RestoreFailed where a number of what came since is one of the point's.

    The loaded tables go on counting where the live ones are, so that no number is given twice.
    """
    record = journal.read()
    present = [
        rule
        for rule in keep
        if rule.table in record.new and (rule.needs or not rule.parent or rule.parent in record.new)
    ]
    rules = [replace(rule, after=_highest(session, record.new[rule.table], rule.key)) for rule in present]
    for rule in rules:
        _refuse_same_numbers(session, rule, _same_numbers(record, rules, rule), expected.started_at)
    for table in {*(rule.table for rule in rules), *never_used_again(record.new)}:
        _go_on_counting(session, table, record.new[table])
    record.kept = rules
    journal.write(record)


def carry(session: Session, record: Record, sources: Mapping[str, str], targets: Mapping[str, str]) -> None:
    """Copy what stays from `sources` (by the table's own name) to `targets`; what is there already is left alone."""
    for rule in record.kept:
        if rule.table in sources and (not rule.parent or rule.parent in targets):
            _copy(session, rule, record.kept, sources[rule.table], targets)
            if rule.count_column:
                _count_again(session, rule, targets)


def _copy(session: Session, rule: KeptTable, rules: list[KeptTable], source: str, targets: Mapping[str, str]) -> None:
    target, key = targets[rule.table], quoted(rule.key)
    there = set(_columns(session, target))
    columns = ", ".join(quoted(name) for name in _columns(session, source) if name in there)
    chosen = [f"s.{key} > {rule.after}", f"NOT EXISTS (SELECT 1 FROM {quoted(target)} t WHERE t.{key} = s.{key})"]  # noqa: S608
    if rule.condition:
        chosen.append(rule.condition)
    if rule.parent:
        parent, parent_key = quoted(targets[rule.parent]), quoted(rule.parent_key)
        came = "" if rule.needs else f" WHERE p.{parent_key} > {_after(rules, rule.parent)}"
        chosen.append(f"s.{quoted(rule.link)} IN (SELECT p.{parent_key} FROM {parent} p{came})")  # noqa: S608
    where = " AND ".join(chosen)
    session.run(f"INSERT INTO {quoted(target)} ({columns}) SELECT {columns} FROM {quoted(source)} s WHERE {where}")  # noqa: S608


def _count_again(session: Session, rule: KeptTable, targets: Mapping[str, str]) -> None:
    table, parent, link, key = quoted(targets[rule.table]), quoted(targets[rule.parent]), rule.link, rule.parent_key
    counted = f"SELECT COUNT(*) FROM {table} c WHERE c.{quoted(link)} = p.{quoted(key)} AND {rule.counted} AND {rule.condition}"  # noqa: S608
    came = f"SELECT {quoted(link)} FROM {table} WHERE {quoted(rule.key)} > {rule.after} AND {rule.condition}"  # noqa: S608
    session.run(f"UPDATE {parent} p SET {quoted(rule.count_column)} = ({counted}) WHERE p.{quoted(key)} IN ({came})")  # noqa: S608


def _after(rules: Iterable[KeptTable], table: str) -> int:
    return next(rule.after for rule in rules if rule.table == table)


def _same_numbers(record: Record, rules: list[KeptTable], rule: KeptTable) -> str:
    """What finds live rows (`l`) that came since though their number is not above the point's; `%s` is the point's moment."""
    key = quoted(rule.key)
    if rule.date:
        date = quoted(rule.date)
        same = f"SELECT 1 FROM {quoted(record.new[rule.table])} t WHERE t.{key} = l.{key} AND t.{date} = l.{date}"  # noqa: S608
        return f"l.{key} <= {rule.after} AND l.{date} > %s AND {rule.condition} AND NOT EXISTS ({same})"
    came = f"l.{quoted(rule.link)} > {_after(rules, rule.parent)} AND l.{quoted(rule.link)} IN"
    parents = (
        f"SELECT p.{quoted(rule.parent_key)} FROM {quoted(rule.parent)} p WHERE {_own_condition(rules, rule.parent)}"  # noqa: S608
    )
    return f"l.{key} <= {rule.after} AND %s <> '' AND {came} ({parents})"


def _own_condition(rules: list[KeptTable], table: str) -> str:
    return next((rule.condition for rule in rules if rule.table == table and rule.date), "TRUE")


def _refuse_same_numbers(session: Session, rule: KeptTable, where: str, since: datetime) -> None:
    """What came since keeps its number, so one that the point uses for another row cannot stay."""
    try:
        count = int(session.value(f"SELECT COUNT(*) FROM {quoted(rule.table)} l WHERE {where}", _moment(since)))  # noqa: S608
    except pymysql.err.MySQLError as error:
        if error_facts(error)[0] not in _NOT_THERE:
            raise
        return
    if count:
        raise RestoreFailed(
            f"What came since cannot be kept: {count} rows of {rule.table} have numbers that the restore point uses for others.",
            hint="Restore without keeping what came since; the present version stays in the undo.",
        )


def _highest(session: Session, table: str, key: str) -> int:
    return int(session.value(f"SELECT COALESCE(MAX({quoted(key)}), 0) FROM {quoted(table)}"))  # noqa: S608  # quoted


def _go_on_counting(session: Session, live: str, scratch: str) -> None:
    rows = session.rows(_NEXT, live)
    if rows and rows[0][0] is not None:
        session.run(f"ALTER TABLE {quoted(scratch)} AUTO_INCREMENT = {int(rows[0][0])}")


def _columns(session: Session, table: str) -> list[str]:
    return [name for (name,) in session.rows(_COLUMNS, table, table)]


def _in_zone(session: Session, since: datetime, query: str) -> datetime:
    """Return the moment by the clock that an application writes; UTC's where it says none that is known."""
    rows = session.rows(query) if query else []
    try:
        return since.astimezone(ZoneInfo(str(rows[0][0]))) if rows else since
    except (ZoneInfoNotFoundError, ValueError):
        return since


def _moment(since: datetime) -> str:
    return f"{since:%Y-%m-%d %H:%M:%S}"

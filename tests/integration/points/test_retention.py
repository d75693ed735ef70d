"""Old points go, crash-safe and never too many (case T27)."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import timedelta

import pytest
from sqlalchemy import update

from smartbackup_panel.adapters.db import jobs, people, points, tables
from smartbackup_panel.core.errors import NotAllowed, WrongUsage
from smartbackup_panel.core.model import COMMAND_LINE, Actor, DumpFile, Job, JobKind, JobState, Point, PointState, Role
from smartbackup_panel.services import alarms, store
from tests.integration.points.living import Living, damage

RULES = {"last": 3, "days": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0, "floor": 1}
LONG = "SMARTBACKUP_LONG" in os.environ
ALICE = Actor("alice", Role.CUSTOMER, "alice")


def set_rules(living: Living, **numbers: int) -> None:
    living.host.services.policies.set_retention(COMMAND_LINE, living.domain.id, RULES | numbers)


def going(living: Living) -> set[str]:
    verdicts = living.host.services.policies.keeping(COMMAND_LINE, living.domain.id).verdicts
    return {row.point.id for row in verdicts if not row.stays}


def removed_by(job: Job) -> set[str]:
    assert job.result is not None
    rows = job.result["removed"]
    assert isinstance(rows, list)
    return {row["point"] for row in rows}


def files_of_the_store(living: Living) -> set[str]:
    return set(os.listdir(living.store))


def test_a_month_of_points_shrinks_to_what_the_rules_keep_and_the_rest_restores(living: Living) -> None:
    made = living.live(16)
    last_day = {point.id: f"day {number}".encode() for number, point in enumerate(made, 1)}
    before = {point.id: living.restored(point) for point in made[-3:]}
    set_rules(living)
    planned = going(living)
    assert planned == {point.id for point in made[:7]}
    job = living.run(JobKind.RETENTION, {})
    assert job.state is JobState.DONE, job
    assert removed_by(job) == planned
    left = living.points()
    assert [point.id for point in left] == [point.id for point in made[:6:-1]]
    expected = {name for point in left for name in (point.archive, f"{point.archive}.meta")}
    assert files_of_the_store(living) == expected
    lists = set(os.listdir(living.host.folder / "store" / ".incremental" / "shop.example"))
    assert lists == {"base_backup_ref.json"} | {
        f"changed_files_{point.created_at:%Y%m%d_%H%M%S}.txt" for point in left if point.parent_id
    }
    for point in made[-3:]:
        assert living.restored(point) == before[point.id]
        assert before[point.id]["today.txt"] == last_day[point.id]
    assert removed_by(living.run(JobKind.RETENTION, {})) == set()


def test_t27_keep_three_of_thirty(living: Living) -> None:
    """Failed newest points, a restore that waits for an old one, a pin, a chain across the cut, a clock ten years ahead."""
    made = living.live(30, full_every=5)
    policies = living.host.services.policies
    policies.pin(COMMAND_LINE, living.domain.id, made[2].id, pinned=True)
    with living.host.installation.state.write() as tx:
        for point in made[28:]:
            points.mark_damaged(tx, point.id, "test", living.host.clock.now())
        params: dict[str, object] = {"point": made[11].id}
        waiting, _ = jobs.submit(
            tx, JobKind.RESTORE, living.domain.id, COMMAND_LINE, params, "r", living.host.clock.now()
        )
    set_rules(living, floor=3)
    wanted_to_stay = {0, 1, 2, 10, 11, 25, 26, 27, 28, 29}
    planned = going(living)
    assert planned == {point.id for number, point in enumerate(made) if number not in wanted_to_stay}
    living.host.clock.move(days=3650)
    alarms.note_clock_jump(living.host.installation, timedelta(days=3650))
    assert removed_by(living.run(JobKind.RETENTION, {})) == set()
    living.host.clock.move(days=-3650)
    with living.host.installation.state.write() as tx:
        people.delete_note(tx, alarms.CLOCK)
    done = living.run(JobKind.RETENTION, {})
    assert removed_by(done) == planned
    assert {point.id for point in living.points()} == {made[number].id for number in wanted_to_stay}
    assert living.restored(made[11])["today.txt"] == b"day 12"
    assert living.restored(made[27])["today.txt"] == b"day 28"
    assert living.host.services.queries.job(COMMAND_LINE, waiting.id).state is JobState.QUEUED


def test_an_archive_that_a_kept_one_names_stays_even_where_the_records_have_lost_the_parent(living: Living) -> None:
    made = living.live(4)
    with living.host.installation.state.write() as tx:
        tx.exec_driver_sql(f"UPDATE points SET parent_id = NULL WHERE id = '{made[3].id}'")
    set_rules(living, last=1)
    assert going(living) == {point.id for point in made[:3]}
    job = living.run(JobKind.RETENTION, {})
    assert job.state is JobState.DONE
    assert living.restored(living.point(made[3].id))["data/big.bin"] == (living.root / "data/big.bin").read_bytes()
    assert len(living.points()) == 4


class Died(BaseException):
    """The process was killed here."""


@pytest.mark.parametrize("deaths", range(1, 9) if LONG else (1, 3, 5, 8))
def test_a_crash_at_any_instant_leaves_every_recorded_point_whole(
    living: Living, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    made = living.live(6, full_every=2)
    set_rules(living, last=1)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == deaths:
            raise Died

    unlink, delete, carry = os.unlink, points.delete_points, store.carry_removal_through

    def dying_unlink(path: str, *, dir_fd: int | None = None) -> None:
        step()
        unlink(path, dir_fd=dir_fd)

    def dying_delete(*arguments: object) -> None:
        delete(*arguments)  # type: ignore[arg-type]  # handed on as it came
        step()

    def dying_carry(*arguments: object) -> list[str]:
        step()
        return carry(*arguments)  # type: ignore[arg-type]  # handed on as it came

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", dying_unlink)
        patched.setattr(points, "delete_points", dying_delete)
        patched.setattr(store, "carry_removal_through", dying_carry)
        with pytest.raises(Died):
            living.run(JobKind.RETENTION, {})
    present = files_of_the_store(living)
    for point in living.points():
        assert {point.archive, f"{point.archive}.meta"} <= present
    with living.host.installation.state.write() as tx:
        for job in jobs.list_unfinished(tx):
            jobs.finish(tx, job.id, JobState.FAILED, living.host.clock.now(), None, None)
    living.run(JobKind.RETENTION, {})
    assert [point.id for point in living.points()] == [made[5].id, made[4].id]
    expected = {name for point in living.points() for name in (point.archive, f"{point.archive}.meta")}
    assert files_of_the_store(living) == expected


def refer_to_one_dump(living: Living, made: list[Point]) -> str:
    """Let points share a dump of the first one's, as an unchanged database does, and return its name."""
    name = "database_20260304_120000.sql.gz"
    (living.store / name).write_bytes(b"no dump")
    with living.host.installation.state.write() as tx:
        for point in made:
            dump = DumpFile("shop", "mysql", name, 7, 70, "", {}, is_earlier=point is not made[0])
            tx.execute(update(tables.points).where(tables.points.c.id == point.id).values(databases=[asdict(dump)]))
    return name


def test_a_dump_that_a_kept_point_refers_to_stays_and_is_counted_there(living: Living) -> None:
    made = living.live(3, full_every=1)
    name = refer_to_one_dump(living, made)
    set_rules(living, last=2)
    assert removed_by(living.run(JobKind.RETENTION, {})) == {made[0].id}
    assert name in files_of_the_store(living)
    assert [[dump.is_earlier for dump in point.databases] for point in living.points()] == [[True], [False]]
    set_rules(living, last=1)
    assert removed_by(living.run(JobKind.RETENTION, {})) == {made[1].id}
    assert name in files_of_the_store(living)


def test_a_damaged_dump_damages_every_point_that_refers_to_it(living: Living) -> None:
    made = living.live(3, full_every=1)
    refer_to_one_dump(living, made[1:])
    job = living.run(JobKind.SCRUB, {"points": [made[2].id]})
    assert job.state is JobState.FAILED
    assert [point.state for point in living.points()] == [PointState.DAMAGED, PointState.DAMAGED, PointState.GOOD]


def test_files_noted_for_removal_never_take_a_new_point_of_the_same_name_with_them(living: Living) -> None:
    [old] = living.live(1)
    living.host.clock.move(days=-1)
    with living.host.installation.state.write() as tx:
        store.note_removal(tx, living.domain, [old], living.host.clock.now())
    assert store.carry_removal_through(living.host.installation, living.domain) == []
    assert living.restored(old)["today.txt"] == b"day 1"


def test_only_an_administrator_sets_rules_and_a_customers_pins_are_few(living: Living) -> None:
    policies = living.host.services.policies
    with pytest.raises(NotAllowed):
        policies.set_retention(ALICE, living.domain.id, {"last": 1})
    with pytest.raises(NotAllowed):
        living.host.services.requests.retention(ALICE, living.domain.id)
    for _ in range(6):
        living.host.add_point(living.domain)
        living.host.clock.move(hours=1)
    every = [point.id for point in living.points()]
    for point_id in every[:5]:
        policies.pin(ALICE, living.domain.id, point_id, pinned=True)
    with pytest.raises(WrongUsage):
        policies.pin(ALICE, living.domain.id, every[5], pinned=True)
    policies.pin(ALICE, living.domain.id, every[0], pinned=False)
    policies.pin(ALICE, living.domain.id, every[5], pinned=True)
    assert [point.pinned for point in living.points()] == [False, True, True, True, True, True]


def test_a_damaged_point_does_not_count_and_goes_after_a_month(living: Living) -> None:
    made = living.live(3, full_every=1)
    damage(living.store / str(made[2].archive))
    living.run(JobKind.VERIFY, {"point": None})
    set_rules(living, last=1)
    assert going(living) == {made[0].id}
    living.host.clock.move(days=31)
    assert going(living) == {made[0].id, made[2].id}

"""Levels of verification, the nightly reading, and what damage leads to (case T26)."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from smartbackup_panel.adapters.db import jobs, people
from smartbackup_panel.core.errors import ArchiveDamaged
from smartbackup_panel.core.model import COMMAND_LINE, JobKind, JobState, PointKind, PointState, Verified
from smartbackup_panel.services import alarms, nightly
from tests.integration.points.living import Living, damage


def states(living: Living) -> list[PointState]:
    """Return the states of all points, oldest first."""
    return [point.state for point in living.points()[::-1]]


@pytest.mark.parametrize("harm", ["deleted", "swapped", "cut"])
def test_t26_a_broken_increment_in_the_middle_of_a_chain(living: Living, harm: str) -> None:
    made = living.live(7)
    middle = living.store / str(made[3].archive)
    if harm == "deleted":
        middle.unlink()
    elif harm == "swapped":
        middle.write_bytes((living.store / str(made[2].archive)).read_bytes())
    else:
        os.truncate(middle, middle.stat().st_size // 2)
    following = living.back_up()
    assert (following.kind, following.parent_id) == (PointKind.FULL, None)
    assert states(living) == [PointState.GOOD] * 3 + [PointState.DAMAGED] * 4 + [PointState.GOOD]
    for number, point in enumerate(made[:3], 1):
        assert living.restored(point)["today.txt"] == f"day {number}".encode()
    for point in made[3:]:
        with pytest.raises(ArchiveDamaged):
            living.restored(point)
    assert living.restored(following)["today.txt"] == b"day 8"
    assert [living.point(point.id).damage.split(",")[0] for point in made[4:]] == ["it builds on a damaged point"] * 3


def test_a_point_whose_archive_comes_back_is_offered_again(living: Living) -> None:
    made = living.live(4)
    path = living.store / str(made[1].archive)
    os.rename(path, f"{path}.away")
    assert living.run(JobKind.VERIFY, {"point": None}).state is JobState.FAILED
    assert states(living) == [PointState.GOOD] + [PointState.DAMAGED] * 3
    os.rename(f"{path}.away", path)
    assert living.run(JobKind.VERIFY, {"point": made[1].id}).state is JobState.DONE
    assert states(living) == [PointState.GOOD] * 4
    assert living.point(made[3].id).damage == ""


def test_the_levels_of_verification_are_recorded_as_what_was_read(living: Living) -> None:
    made = living.live(3)
    assert [point.verified for point in made] == [Verified.READ_BACK] * 3
    first_read = made[1].verified_at
    living.run(JobKind.VERIFY, {"point": made[1].id, "level": "sampled"})
    sampled = living.point(made[1].id)
    assert (sampled.verified, sampled.verified_at) == (Verified.READ_BACK, first_read)
    living.run(JobKind.VERIFY, {"point": made[1].id, "level": "read back"})
    assert living.point(made[1].id).verified_at == living.host.clock.now()
    living.run(JobKind.VERIFY, {"point": made[2].id})
    assert [living.point(point.id).verified for point in made] == [
        Verified.READ_BACK,
        Verified.CHAIN,
        Verified.CHAIN,
    ]


def test_a_sample_finds_damaged_content_wherever_it_lies(living: Living) -> None:
    made = living.live(2)
    damage(living.store / str(made[0].archive), 150_000)
    job = living.run(JobKind.VERIFY, {"point": made[1].id, "level": "sampled"})
    assert job.state is JobState.FAILED
    assert living.point(made[1].id).state is PointState.DAMAGED


def scrub_jobs(living: Living) -> list[list[str]]:
    with living.host.installation.state.read() as tx:
        return [job.params["points"] for job in jobs.list_queued(tx) if job.kind is JobKind.SCRUB]  # type: ignore[misc]  # ids


def night(living: Living) -> None:
    """Go on to the next 02:00 and let the nightly jobs be asked for."""
    clock = living.host.clock
    clock.move(hours=(26 - clock.now().hour) % 24 or 24)
    nightly.enqueue(living.host.installation)


def test_thirty_nights_read_every_archive_and_find_a_bit_that_flipped(living: Living) -> None:
    made = living.live(3, full_every=1)
    nightly.enqueue(living.host.installation)
    damage(living.store / str(made[1].archive))
    made_at = {point.id: point.verified_at for point in living.points()}
    for _ in range(30):
        night(living)
        for waiting in scrub_jobs(living):
            assert waiting
            with living.host.installation.state.read() as tx:
                [job] = [row for row in jobs.list_queued(tx) if row.kind is JobKind.SCRUB]
            living.host.services.runner().run(job.id)
    assert states(living) == [PointState.GOOD, PointState.DAMAGED, PointState.GOOD]
    good = [living.point(made[0].id), living.point(made[2].id)]
    assert all(point.verified_at and point.verified_at > made_at[point.id] for point in good)  # type: ignore[operator]  # read
    told = [alarm.sentence for alarm in alarms.find_alarms(living.host.installation) if alarm.kind == "damaged points"]
    assert told == ["1 restore point of shop.example is damaged."]
    assert living.back_up().kind is PointKind.INCREMENTAL, "the newest point is sound"
    assert not [alarm for alarm in alarms.find_alarms(living.host.installation) if alarm.kind == "damaged points"]


def test_the_same_night_asks_once_and_never_while_the_clock_is_suspect(living: Living) -> None:
    living.live(1)
    installation = living.host.installation
    assert nightly.enqueue(installation) == 0, "the first look only takes note"
    living.host.clock.move(days=20)
    night(living)
    assert len(scrub_jobs(living)) == 1
    living.host.clock.move(hours=1)
    assert nightly.enqueue(installation) == 0
    with installation.state.write() as tx:
        people.set_note(tx, "worker", "1", living.host.clock.now() + timedelta(days=400))
    living.host.clock.move(days=2)
    assert nightly.enqueue(installation) == 0


def test_the_nightly_reading_gives_way_to_whoever_waits(living: Living) -> None:
    made = living.live(2, full_every=1)
    with living.host.installation.state.write() as tx:
        now = living.host.clock.now()
        jobs.submit(tx, JobKind.RESTORE, living.domain.id, COMMAND_LINE, {"point": made[0].id}, "r", now)
    job = living.run(JobKind.SCRUB, {"points": [point.id for point in made]})
    assert (job.state, job.result["read"], job.result["left"]) == (JobState.DONE, 0, 2)  # type: ignore[index]  # it has one


def test_old_points_go_in_the_night(living: Living) -> None:
    living.live(3, full_every=1)
    rules = {"last": 1, "days": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0, "floor": 1}
    living.host.services.policies.set_retention(COMMAND_LINE, living.domain.id, rules)
    nightly.enqueue(living.host.installation)
    night(living)
    with living.host.installation.state.read() as tx:
        [job] = [row for row in jobs.list_queued(tx) if row.kind is JobKind.RETENTION]
    assert living.host.services.runner().run(job.id).state is JobState.DONE
    assert len(living.points()) == 1

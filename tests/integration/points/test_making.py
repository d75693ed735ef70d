"""How a point is made: nothing when nothing changed, a synthetic full one when one is due, everything read when that is due."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbackup_panel.core.model import JobKind, JobState, Point, PointKind, PointState
from tests.integration.points.living import Living, damage
from tests.support.clock import a_host

SETTLED_SECONDS = 2.2


@pytest.fixture
def in_memory() -> Iterator[Living]:
    """Give a living domain in memory, where writing through a mapping leaves no trace in a file's times."""
    folder = Path(tempfile.mkdtemp(prefix="sb-test-", dir="/dev/shm"))
    os.chmod(folder, 0o711)
    try:
        with a_host(folder) as host:
            yield Living.on(host)
    finally:
        shutil.rmtree(folder)


def back_up(living: Living, kind: str = "auto") -> Point:
    """Make a point of the site as it is."""
    job = living.run(JobKind.BACKUP, {"type": kind})
    assert job.state in (JobState.DONE, JobState.PARTIAL), job
    return living.point(job.id)


def test_a_point_at_which_nothing_had_changed_is_recorded_as_such(living: Living) -> None:
    time.sleep(SETTLED_SECONDS)
    first = back_up(living)
    second = back_up(living, "incremental")
    living.write("index.php", b"<?php echo 2;")
    third = back_up(living, "incremental")
    assert [point.unchanged for point in (first, second, third)] == [False, True, False]
    assert second.archive_bytes < 1_500
    assert living.restored(second) == {
        "index.php": b"<?php echo 1;",
        "data/big.bin": (living.root / "data/big.bin").read_bytes(),
    }
    assert living.restored(third)["index.php"] == b"<?php echo 2;"


def test_a_full_point_that_is_due_takes_over_what_is_unchanged(living: Living) -> None:
    time.sleep(SETTLED_SECONDS)
    first = back_up(living)
    living.write("index.php", b"<?php echo 2;")
    second = back_up(living)
    assert (first.synthetic, first.read_whole) == (False, True)
    assert (second.kind, second.synthetic, second.read_whole) == (PointKind.FULL, True, False)
    (living.store / str(first.archive)).unlink()
    assert living.run(JobKind.VERIFY, {"point": second.id}).state is JobState.DONE
    assert living.restored(second)["index.php"] == b"<?php echo 2;"


def test_after_thirty_days_all_content_is_read_again(living: Living) -> None:
    back_up(living)
    made = []
    for _ in range(3):
        living.host.clock.move(days=15)
        made.append(back_up(living, "incremental"))
    assert [point.read_whole for point in made] == [False, True, False]


def test_content_that_changed_without_a_trace_is_said_and_both_are_kept(in_memory: Living) -> None:
    before = b"as it was written" * 100
    in_memory.write("data/record.bin", before)
    with (in_memory.root / "data/record.bin").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[0:1] = b"a"
        time.sleep(SETTLED_SECONDS)
        first = back_up(in_memory)
        facts = os.stat(in_memory.root / "data/record.bin")
        mapping[0:2] = b"XX"
        assert os.stat(in_memory.root / "data/record.bin").st_ctime_ns == facts.st_ctime_ns
        in_memory.host.clock.move(days=1)
        assert back_up(in_memory, "incremental").unchanged
        in_memory.host.clock.move(days=30)
        found = back_up(in_memory, "incremental")
    assert found.read_whole
    assert not found.unchanged
    (warning,) = found.warnings
    assert "data/record.bin" in warning
    assert in_memory.restored(first)["data/record.bin"] == before
    assert in_memory.restored(found)["data/record.bin"] == b"XX" + before[2:]


def test_reading_everything_again_finds_rot_in_the_store(living: Living) -> None:
    first = back_up(living)
    second = back_up(living, "incremental")
    damage(living.store / str(first.archive), 200)
    living.host.clock.move(days=31)
    third = back_up(living, "incremental")
    assert (third.kind, third.parent_id) == (PointKind.FULL, None)
    assert [living.point(point.id).state for point in (first, second, third)] == [
        PointState.DAMAGED,
        PointState.DAMAGED,
        PointState.GOOD,
    ]


def test_rot_that_a_synthetic_full_point_meets_does_not_spread(living: Living) -> None:
    time.sleep(SETTLED_SECONDS)
    first = back_up(living)
    damage(living.store / str(first.archive))
    second = back_up(living)
    assert (second.kind, second.synthetic) == (PointKind.FULL, False)
    assert living.point(first.id).state is PointState.DAMAGED
    assert living.restored(second)["index.php"] == b"<?php echo 1;"

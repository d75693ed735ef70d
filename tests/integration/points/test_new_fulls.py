"""A pinned increment whose chain is over becomes a full point of its own: same id, same time, same content, crash-safe."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from smartbackup_panel.adapters.db import jobs, points
from smartbackup_panel.core.model import COMMAND_LINE, Job, JobKind, JobState, Point, PointKind, PointState, Verified
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.services import new_fulls, publishing, rebuild, store
from tests.integration.points.living import Living, damage
from tests.integration.points.test_retention import Died, files_of_the_store, going, removed_by, set_rules


def live(living: Living, kinds: str = "fiiF") -> tuple[list[Point], dict[str, bytes]]:
    """Make a chain of a full point and large increments, the second of them pinned, and a full point after it.

    Return the points and what the pinned one holds.
    """
    made: list[Point] = []
    held: dict[str, bytes] = {}
    living.write("data/link-me.txt", b"one file, two names")
    os.link(living.root / "data/link-me.txt", living.root / "a-link.txt")
    (living.root / "link").symlink_to("data/big.bin")
    for number, kind in enumerate(kinds):
        living.write("data/changing.bin", os.urandom(200_000))
        made.append(living.back_up("incremental" if kind == "i" else "full"))
        if number == 2:
            held = {
                str(path.relative_to(living.root)): path.read_bytes()
                for path in living.root.rglob("*")
                if path.is_file()
            }
        living.host.clock.move(days=1)
    living.host.services.policies.pin(COMMAND_LINE, living.domain.id, made[2].id, pinned=True)
    set_rules(living, last=1)
    return made, held


def names_of(*kept: Point) -> set[str]:
    return {name for point in kept for name in (str(point.archive), f"{point.archive}.meta")}


def new_fulls_of(job: Job) -> object:
    assert job.result is not None, job
    return job.result["new_fulls"]


def test_a_pinned_increment_frees_the_chain_that_it_builds_on(living: Living) -> None:
    made, held = live(living, "fiiiF")
    planned = going(living)
    assert planned == {made[number].id for number in (0, 1, 3)}
    before = sum(path.stat().st_size for path in living.store.iterdir())
    job = living.run(JobKind.RETENTION, {})
    assert (job.state, new_fulls_of(job), removed_by(job)) == (JobState.DONE, [made[2].id], planned)
    newest, full = living.points()
    assert (newest.id, full.id, full.created_at) == (made[4].id, made[2].id, made[2].created_at)
    assert (full.kind, full.parent_id, full.verified, full.pinned) == (PointKind.FULL, None, Verified.READ_BACK, True)
    assert full.archive == str(made[2].archive).replace("_incremental", "")
    assert files_of_the_store(living) == names_of(newest, full)
    assert job.result is not None
    assert job.result["freed_bytes"] == pytest.approx(
        before - sum(p.stat().st_size for p in living.store.iterdir()), abs=20_000
    )
    assert living.restored(full) == held
    assert living.run(JobKind.VERIFY, {"point": None}).state is JobState.DONE
    out = living.host.folder / "by-tar"
    out.mkdir()
    subprocess.run(["/usr/bin/tar", "-xzf", living.store / full.archive, "-C", out], check=True)
    assert (out / "data/changing.bin").read_bytes() == held["data/changing.bin"]
    assert os.stat(out / "a-link.txt").st_ino == os.stat(out / "data/link-me.txt").st_ino
    again = living.run(JobKind.RETENTION, {})
    assert (new_fulls_of(again), removed_by(again)) == ([], set())
    installation = living.host.installation
    with installation.state.write() as tx:
        points.delete_points(tx, living.domain.id, [point.id for point in living.points()])
    rebuild.rebuild(installation)
    assert [point.id for point in living.points()] == [newest.id, full.id]


def test_damage_of_the_chain_leaves_the_increment_and_the_chain(living: Living) -> None:
    made, _ = live(living)
    damage(living.store / str(made[0].archive))
    job = living.run(JobKind.RETENTION, {})
    assert (new_fulls_of(job), removed_by(job)) == ([], set())
    assert files_of_the_store(living) == names_of(*made)


def test_what_cannot_be_done_leaves_the_increment_and_the_chain(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk; a copy that is not the same; a restore that asks for the point while it is written."""
    made, held = live(living)
    put_in_place = publishing.put_in_place

    def put_late(*arguments: object) -> None:
        put_in_place(*arguments)  # type: ignore[arg-type]  # handed on as it came
        with living.host.installation.state.write() as tx:
            params: dict[str, object] = {"point": made[2].id}
            jobs.submit(tx, JobKind.RESTORE, living.domain.id, COMMAND_LINE, params, "r", living.host.clock.now())

    obstacles: list[tuple[object, str, object]] = [
        (store, "check_room", lambda *_: 100_000),
        (new_fulls, "find_difference", lambda *_: b"index.php"),
        (publishing, "put_in_place", put_late),
    ]
    for of, name, obstacle in obstacles:
        with monkeypatch.context() as patched:
            patched.setattr(of, name, obstacle)
            job = living.run(JobKind.RETENTION, {})
        assert (job.state, new_fulls_of(job), removed_by(job)) == (JobState.DONE, [], set()), name
        assert files_of_the_store(living) == names_of(*made), name
    assert living.point(made[2].id) == replace(made[2], pinned=True)
    assert living.restored(made[2]) == held


LONG = "SMARTBACKUP_LONG" in os.environ
STEPS = ["copied", "noted", "meta", "published", "recorded", "first file gone"]


@pytest.mark.parametrize("step", STEPS if LONG else STEPS[3:5])
def test_a_crash_at_any_step_leaves_the_increment_with_its_chain_or_the_full_point(
    living: Living, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made, held = live(living)
    with monkeypatch.context() as patched:
        die_after(patched, step, str(made[2].archive))
        with pytest.raises(Died):
            living.run(JobKind.RETENTION, {})
    present = files_of_the_store(living)
    for point in living.points():
        assert names_of(point) <= present | ({f"{made[2].archive}.meta"} if step == "first file gone" else set())
    is_full = step in ("recorded", "first file gone")
    assert living.point(made[2].id).kind is (PointKind.FULL if is_full else PointKind.INCREMENTAL)
    installation = living.host.installation
    with installation.state.write() as tx:
        for job in jobs.list_unfinished(tx):
            jobs.finish(tx, job.id, JobState.FAILED, living.host.clock.now(), None, None)
    assert living.restored(living.point(made[2].id)) == held
    job = living.run(JobKind.RETENTION, {})
    assert job.state is JobState.DONE
    newest, full = living.points()
    assert (full.id, full.kind, full.state) == (made[2].id, PointKind.FULL, PointState.GOOD)
    assert files_of_the_store(living) == names_of(newest, full)
    assert living.restored(full) == held


def die_after(patched: pytest.MonkeyPatch, step: str, old: str) -> None:
    """Let the process be killed right after a step; nothing that it would still do at its end is done."""
    dead: list[bool] = []

    def dying(name: str, of: object, attribute: str) -> None:
        call = getattr(of, attribute)

        def called(*arguments: object, **named: object) -> object:
            result = call(*arguments, **named)
            if name == step:
                dead.append(True)
                raise Died
            return result

        patched.setattr(of, attribute, called)

    dying("copied", new_fulls, "_write")
    dying("noted", store, "note_names")
    dying("meta", store, "write_meta")
    dying("published", publishing, "put_in_place")
    dying("recorded", new_fulls, "_record")
    discard, leftovers, unlink = ArchiveSink.discard, store.remove_leftovers, os.unlink
    patched.setattr(ArchiveSink, "discard", lambda sink: None if dead else discard(sink))

    def remove_leftovers(*arguments: object) -> list[str]:
        return [] if dead else leftovers(*arguments)  # type: ignore[arg-type]  # handed on as it came

    def dying_unlink(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        if step == "first file gone" and path == f"{old}.meta":
            dead.append(True)
            raise Died

    patched.setattr(store, "remove_leftovers", remove_leftovers)
    patched.setattr(os, "unlink", dying_unlink)

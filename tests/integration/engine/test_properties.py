"""Random trees, random changes, random chains: every point restores to its own moment exactly."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbackup_panel.core.tree import AgentPurpose, Codec, PointKind, RestoreOptions
from tests.integration.engine.store import Store
from tests.integration.engine.trees import OLD_NS, look
from tests.support.figures import Figure

IS_LONG = os.environ.get("SMARTBACKUP_LONG") == "1"
EXAMPLES, MOST_POINTS, MOST_CHANGES = (500, 12, 20) if IS_LONG else (5, 4, 12)
NAMES = st.sampled_from([b"a", b"b", b"a.b", b"a-", b"\xff\x01", b"caf\xc3\xa9"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
CONTENTS = st.sampled_from([b"", b"x", b"one two three\n" * 40, b"\0" * 5_000, bytes(range(256)) * 300, b"y" * 600_000])
KINDS = st.sampled_from([PointKind.FULL, PointKind.INCREMENTAL, PointKind.INCREMENTAL, PointKind.DIFFERENTIAL])


class Change(NamedTuple):
    """One thing that a customer does to a path; `other` is a second path where one is needed."""

    what: str
    path: bytes
    other: bytes
    content: bytes


CHANGES = st.builds(
    Change,
    st.sampled_from(
        [
            "write",
            "write",
            "edit in place",
            "remove",
            "mkdir",
            "symlink",
            "hardlink",
            "rename",
            "chmod",
            "hole",
            "touch",
        ]
    ),
    PATHS,
    PATHS,
    CONTENTS,
)


class Step(NamedTuple):
    """The changes before a point, and its kind."""

    kind: PointKind
    changes: list[Change]


STEPS = st.lists(st.builds(Step, KINDS, st.lists(CHANGES, max_size=MOST_CHANGES)), min_size=2, max_size=MOST_POINTS)


def clear(path: bytes) -> None:
    """Take away whatever is at the path, and make the folders that it needs."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    parent = os.path.dirname(path)
    if not os.path.isdir(parent) or os.path.islink(parent):
        clear(parent)
        os.mkdir(parent)


def apply(change: Change, root: bytes) -> None:
    """Do one change; what cannot be done (the other path is missing, or inside itself) is left."""
    path, other = root + b"/" + change.path, root + b"/" + change.other
    match change.what:
        case "write" | "hole":
            clear(path)
            with open(path, "wb") as file:
                file.write(change.content)
                if change.what == "hole":
                    file.truncate(len(change.content) + 500_000)
            os.utime(path, ns=(OLD_NS, OLD_NS))
        case "edit in place" if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
            before = os.stat(path)
            with open(path, "r+b") as file:
                file.write(b"!")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "remove":
            clear(path)
        case "mkdir":
            clear(path)
            os.mkdir(path)
        case "symlink":
            clear(path)
            os.symlink(change.other, path)
        case "hardlink" if os.path.isfile(other) and not os.path.islink(other):
            if not other.startswith(path) and not path.startswith(other + b"/"):
                clear(path)
                if os.path.isfile(other):
                    os.link(other, path)
        case "rename" if os.path.lexists(other) and not path.startswith(other) and not other.startswith(path):
            clear(path)
            if os.path.lexists(other):
                os.rename(other, path)
        case "chmod" if os.path.lexists(path) and not os.path.islink(path):
            os.chmod(path, 0o750 if os.path.isdir(path) else 0o604)
        case "touch" if os.path.lexists(path):
            os.utime(path, ns=(OLD_NS, OLD_NS + len(change.content)), follow_symlinks=False)


def find_base(kind: PointKind, number: int, last_full: int) -> int | None:
    """Return the number of the point that this kind builds on."""
    if number == 0:
        return None
    return number - 1 if kind is PointKind.INCREMENTAL else last_full


def test_every_point_restores_to_its_moment(figure: Figure) -> None:
    restored: list[int] = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=not IS_LONG)
    @given(STEPS, st.sampled_from(Codec))
    def walk(steps: list[Step], codec: Codec) -> None:
        place = Path(tempfile.mkdtemp(prefix="sb-property-"))
        try:
            walk_through(place, steps, codec)
        finally:
            shutil.rmtree(place)
        restored.append(len(steps))

    walk()
    figure("random histories: chains restored to each of their moments", len(restored), "chains")
    figure("random histories: points restored", sum(restored), "points")
    figure("random histories: longest chain", max(restored), "points")


def walk_through(place: Path, steps: list[Step], codec: Codec) -> None:
    """Make all points of the steps, then restore each and compare."""
    site = place / "site"
    site.mkdir()
    store = Store(place / "store", site)
    moments, last_full = [], 0
    for number, step in enumerate(steps):
        for change in step.changes:
            apply(change, os.fsencode(site))
        kind = PointKind.FULL if number == 0 else step.kind
        moments.append(look(site))
        store.back_up(kind, earlier=find_base(kind, number, last_full), codec=codec)
        last_full = number if kind is PointKind.FULL else last_full
    with store.agent(AgentPurpose.RESTORE) as agent:
        for number, moment in enumerate(moments):
            with store.open(number) as point:
                agent.write_into(point, str(place / f"out{number}"), RestoreOptions())
                assert look(place / f"out{number}") == moment, f"point {number}"
                agent.verify(point, whole_chain=True)
    store.close()

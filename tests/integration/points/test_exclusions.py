"""What is left out: listed, weighed, kept where it is by a restore, and chosen by who may (case T11)."""

from __future__ import annotations

import json
import time

import pytest

from smartbackup_panel.adapters.db import policies
from smartbackup_panel.core.errors import BadSetting, NotAllowed, UnknownDomain, WrongUsage
from smartbackup_panel.core.model import COMMAND_LINE, Actor, JobKind, JobState, Role
from smartbackup_panel.core.tree import EntryType, SkipReason
from smartbackup_panel.engine.exclusions import compile_exclusions
from smartbackup_panel.services import store
from smartbackup_panel.services.statistics import domain_figures
from tests.integration.points.living import Living
from tests.unit.core.test_exclusion_profiles import FIFTEEN

ALICE = Actor("alice", Role.CUSTOMER, "alice")
BOB = Actor("bob", Role.CUSTOMER, "bob")

HOSTILE = [
    "../../",
    "a/../../etc",
    "*.log\n--to-command=id",
    "\x1b[31m",
    "*" * 10_000,
    "**/a/**/a/**/a/**/a/**/b",
    "*a*a*a*a*a*a",
    "[z-a]",
]
HARMLESS = ["--to-command=id", "-I sh", "/etc", "a{1..9999}", "$(touch x)", "'; touch x #"]


def a_wordpress(living: Living) -> None:
    living.write("wp-config.php", b"<?php define('DB_NAME', ''); require 'wp-settings.php';")
    living.write("wp-load.php", b"<?php")
    living.write("wp-includes/version.php", b"<?php $wp_version = '6.8';")
    living.write("wp-content/cache/page.html", b"x" * 1000)
    living.write("wp-content/cache/deep/other.html", b"y" * 500)
    living.write("wp-content/uploads/photo.jpg", b"photo")


def listed(living: Living, archive: str) -> dict[str, str]:
    """Return what an archive lists as left out by rule, with why."""
    with (
        store.open_store(living.host.installation, living.domain) as folder_fd,
        store.open_point(living.host.installation, folder_fd, archive) as opened,
    ):
        rows = [entry for entry in opened.entries() if entry.type is EntryType.SKIPPED]
        assert all(entry.reason is SkipReason.EXCLUDED for entry in rows)
        return {entry.path.decode(): entry.detail for entry in rows}


def test_a_cache_is_left_out_listed_weighed_and_its_folder_kept(living: Living) -> None:
    a_wordpress(living)
    point = living.back_up("full")
    assert listed(living, str(point.archive)) == {"wp-content/cache/deep": "", "wp-content/cache/page.html": ""}
    assert point.left_out is not None
    assert (point.left_out["paths"], point.left_out["files"], point.left_out["bytes"]) == (2, 2, 1500)
    assert point.left_out["first"] == [
        {"path": "wp-content/cache/deep", "files": 1, "bytes": 500},
        {"path": "wp-content/cache/page.html", "files": 1, "bytes": 1000},
    ]
    meta = json.loads((living.store / f"{point.archive}.meta").read_text())
    figures = domain_figures(living.host.installation, COMMAND_LINE, living.domain.id)
    assert figures.saved_by_exclusions == round(1500 / (1500 + point.original_bytes), 3) > 0
    assert meta["excluded_patterns"] == 4
    assert meta["point"]["left_out"]["bytes"] == 1500
    restored = living.restored(point)
    assert "wp-content/uploads/photo.jpg" in restored
    assert "wp-content/cache/page.html" not in restored
    assert [folder.name for folder in living.host.folder.glob("out-*/wp-content/cache")] == ["cache"]


def test_an_exact_restore_keeps_what_the_rules_leave_out(living: Living) -> None:
    a_wordpress(living)
    point = living.back_up("full")
    living.write("wp-content/cache/page.html", b"newer")
    living.write("added.txt", b"goes")
    params = living.host.services.requests.restore_params(
        COMMAND_LINE, living.domain.id, point.id, files=True, databases=False, exact=True, paths=(), to=None
    )
    job = living.run(JobKind.RESTORE, params)
    assert job.state is JobState.DONE, job
    assert (living.root / "wp-content/cache/page.html").read_bytes() == b"newer"
    assert not (living.root / "added.txt").exists()


def test_the_full_list_leaves_all_fifteen_out_of_a_point(living: Living) -> None:
    for _, left_out, kept in FIFTEEN:
        living.write(f"site/{left_out}", b"x")
        living.write(f"site/{kept}", b"kept")
    living.host.services.policies.set_exclusions(COMMAND_LINE, living.domain.id, {"profile": "full-list"})
    files = living.restored(living.back_up("full"))
    assert not [left_out for _, left_out, _ in FIFTEEN if f"site/{left_out}" in files]
    assert [kept for _, _, kept in FIFTEEN if f"site/{kept}" not in files] == []


def test_what_a_lock_file_makes_again_is_left_out_where_the_admin_asked_for_it(living: Living) -> None:
    for name in ("vendor/a.php", "composer.lock", "theme/node_modules/b.js", "theme/yarn.lock", "other/vendor/c.php"):
        living.write(name, b"x")
    assert "vendor/a.php" in living.restored(living.back_up("full"))
    living.host.services.policies.set_exclusions(COMMAND_LINE, living.domain.id, {"rebuildable": True})
    point = living.back_up("full")
    assert listed(living, str(point.archive)) == {
        "theme/node_modules": "made again from yarn.lock",
        "vendor": "made again from composer.lock",
    }
    assert "other/vendor/c.php" in living.restored(point)


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_t11_bad_patterns_are_refused_by_the_request_and_by_the_worker(living: Living, line: str) -> None:
    choices = living.host.services.policies
    with pytest.raises(BadSetting):
        choices.set_exclusions(ALICE, living.domain.id, {"patterns": [line]})
    assert choices.exclusions(ALICE, living.domain.id).own == {}
    with living.host.installation.state.write() as tx:
        policies.save_policy(tx, living.domain.id, policies.Policy(exclusions={"patterns": [line]}))
    job = living.run(JobKind.BACKUP, {"type": "full"})
    assert (job.state, job.error_code) == (JobState.FAILED, "setting.bad")


def test_t11_texts_that_would_harm_a_shell_are_only_names(living: Living) -> None:
    living.host.services.policies.set_exclusions(ALICE, living.domain.id, {"patterns": HARMLESS})
    living.write("etc/passwd", b"the site's own")
    files = living.restored(living.back_up("full"))
    assert "etc/passwd" not in files
    assert "index.php" in files
    assert sorted(path.name for path in living.root.iterdir()) == ["data", "etc", "index.php", "today.txt"]


def test_t11_a_tenants_worst_patterns_match_a_hundred_thousand_paths_in_a_second() -> None:
    worst = (*(f"*a*b*c{n}" for n in range(25)), *(f"**/in/**/x{n}" for n in range(25)))
    is_excluded = compile_exclusions(worst)
    assert is_excluded is not None
    paths = [f"wp-content/plugins/shop{n % 97}/includes/a{n % 13}/class-{n}.php".encode() for n in range(10_000)]
    took = []
    for _ in range(3):
        began = time.process_time()
        for path in paths:
            is_excluded(path, False)
        took.append(time.process_time() - began)
    assert min(took) < 0.1 * 4, "a tenth of the paths; four times the time for a slow machine"


def test_leaving_out_what_the_site_needs_is_warned_of(living: Living) -> None:
    a_wordpress(living)
    living.back_up("full")
    living.host.services.policies.set_exclusions(ALICE, living.domain.id, {"patterns": ["/wp-content/"]})
    told = living.host.services.policies.exclusions(ALICE, living.domain.id).critical
    assert told == ("wp-content/uploads/", "wp-content/themes/", "wp-content/plugins/")
    assert living.back_up("full").warnings == (
        "The rules leave out what this site needs: wp-content/uploads/, wp-content/themes/, wp-content/plugins/.",
    )


def test_a_customer_chooses_patterns_of_the_own_domain_and_nothing_else(living: Living) -> None:
    choices = living.host.services.policies
    choices.set_exclusions(ALICE, living.domain.id, {"patterns": ["*.bak"]})
    for wanted in ({"profile": "nothing"}, {"rebuildable": True}, None):
        with pytest.raises(NotAllowed):
            choices.set_exclusions(ALICE, living.domain.id, wanted)
    with pytest.raises(UnknownDomain):
        choices.set_exclusions(BOB, living.domain.id, {"patterns": ["*"]})
    with pytest.raises(WrongUsage):
        choices.set_exclusions(ALICE, living.domain.id, {"patterns": ["x"] * 51})
    assert choices.exclusions(COMMAND_LINE, living.domain.id).lines[-1] == "*.bak"

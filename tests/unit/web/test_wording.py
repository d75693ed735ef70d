"""States in words, and the plan as its page and button say it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from smartbackup_panel.core.model import (
    Actor,
    DomainState,
    Job,
    JobKind,
    JobState,
    PointKind,
    PointState,
    Progress,
    Role,
    Verified,
)
from smartbackup_panel.web import wording
from smartbackup_panel.web.plan import plan_from
from tests.support.fake_services import PLAN_RESULT, SHOP, a_domain, a_point

NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
POINT = a_point(SHOP, 1, NOW, PointKind.FULL)


def a_job(kind: JobKind, state: JobState = JobState.RUNNING, phase: str = "waiting", **more: object) -> Job:
    job = Job("a" * 32, kind, SHOP, Actor("alice", Role.CUSTOMER, "alice"), {}, state, 1, NOW, progress=Progress(phase))
    return replace(job, **more)  # type: ignore[arg-type]  # the tests' own literals


def test_every_kind_and_state_of_a_job_has_words() -> None:
    for kind in JobKind:
        for state in JobState:
            assert wording.job_headline(a_job(kind, state))
            assert wording.job_status(a_job(kind, state)).words


def test_every_domain_that_is_not_active_says_why() -> None:
    from smartbackup_panel.services.pages import DomainRow, NextRun

    for state in DomainState:
        row = DomainRow(a_domain(SHOP, "a.example", "alice", state), True, POINT, NextRun(None, ""), None, None, 0, "")
        expected = {"active": "Protected", "missing": "Its folder is missing", "suspended": "Suspended by the panel"}
        assert wording.domain_status(row).words == expected.get(state, "Deleted; its restore points are kept")


def test_a_damaged_or_unproved_point_says_why_it_is_not_offered() -> None:
    assert wording.refusal_of(POINT) is None
    assert "damaged" in str(wording.refusal_of(replace(POINT, state=PointState.DAMAGED)))
    assert "never verified" in str(wording.refusal_of(replace(POINT, verified=Verified.NOT)))


def test_a_restore_counts_its_steps_and_marks_the_present_one() -> None:
    steps = wording.steps_of(a_job(JobKind.RESTORE, phase="staging"))
    assert [step.state for step in steps] == ["done", "done", "done", "now", "later", "later", "later"]
    assert steps[3].words == "Preparing the files beside the site"
    assert wording.steps_of(a_job(JobKind.RESTORE, phase="starting"))[0].state == "now"
    assert wording.steps_of(a_job(JobKind.RESTORE, phase="something new")) == ()
    assert wording.phase_of(a_job(JobKind.RESTORE, phase="something new")) == "Something new"


def test_a_restore_can_be_cancelled_until_it_switches_over() -> None:
    assert wording.can_be_cancelled(a_job(JobKind.RESTORE, phase="loading"))
    assert not wording.can_be_cancelled(a_job(JobKind.RESTORE, phase="swapping"))
    assert not wording.can_be_cancelled(a_job(JobKind.RESTORE, JobState.DONE))
    assert not wording.can_be_cancelled(a_job(JobKind.BACKUP, cancel_requested=True))


@pytest.mark.parametrize(
    ("changes", "effect"),
    [
        ({}, "Put back 311 files and 12 tables"),
        ({"tables": []}, "Put back 311 files"),
        ({"added": 0, "replaced": 0}, "Put back 12 tables"),
        (
            {"added": 1, "replaced": 0, "tables": [{"database": "d", "table": "t", "then": 1}]},
            "Put back 1 file and 1 table",
        ),
        ({"removed": 4}, "Put back 311 files and 12 tables, remove 4 files"),
        ({"added": 0, "replaced": 0, "tables": [], "removed": 1}, "Remove 1 file"),
    ],
)
def test_the_confirm_button_names_the_effect(changes: dict[str, object], effect: str) -> None:
    assert plan_from(PLAN_RESULT | changes).effect == effect


def test_a_plan_that_changes_nothing_says_so() -> None:
    assert plan_from({}).changes_nothing
    assert not plan_from(PLAN_RESULT).changes_nothing


def test_a_plan_reads_tables_that_are_not_there_now() -> None:
    plan = plan_from({"tables": [{"database": "d", "table": "t", "then": 5, "now": None}], "lost": "no list"})
    assert (plan.tables[0].then, plan.tables[0].now, plan.lost) == (5, None, ())

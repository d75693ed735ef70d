"""What states, kinds and phases are called on the pages. A status is always words and an icon, never a colour alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from smartbackup_panel.core.databases import DumpReport
from smartbackup_panel.core.model import Domain, DomainState, Job, JobKind, JobState, Point, PointState, Verified
from smartbackup_panel.core.retention import Verdict
from smartbackup_panel.services.pages import DomainRow
from smartbackup_panel.web.filters import begin, count, size

UNDER_WAY = {
    JobKind.ANALYSE: "Looking at the site",
    JobKind.BACKUP: "Backing up",
    JobKind.VERIFY: "Checking a restore point",
    JobKind.PLAN: "Working out what would change",
    JobKind.RESTORE: "Putting the site back",
    JobKind.UNDO: "Undoing a restore",
    JobKind.EXPORT: "Preparing a download",
    JobKind.IMPORT: "Importing older archives",
    JobKind.RECONCILE: "Looking for new domains",
    JobKind.RETENTION: "Removing old restore points",
    JobKind.SCRUB: "Reading restore points again",
}
JOB_NAMES = {
    JobKind.ANALYSE: "Analysis",
    JobKind.BACKUP: "Backup",
    JobKind.VERIFY: "Check of a restore point",
    JobKind.PLAN: "Plan of a restore",
    JobKind.RESTORE: "Restore",
    JobKind.UNDO: "Undo of a restore",
    JobKind.EXPORT: "Download",
    JobKind.IMPORT: "Import of older archives",
    JobKind.RECONCILE: "Look for new domains",
    JobKind.RETENTION: "Removal of old restore points",
    JobKind.SCRUB: "Nightly reading of restore points",
}
ENDED = {
    JobKind.ANALYSE: "The analysis is done",
    JobKind.BACKUP: "The backup is done",
    JobKind.VERIFY: "The restore point is in order",
    JobKind.PLAN: "The plan is ready",
    JobKind.RESTORE: "The site is back",
    JobKind.UNDO: "The restore was undone",
    JobKind.EXPORT: "The download is ready",
    JobKind.IMPORT: "The older archives are imported",
    JobKind.RECONCILE: "The list of domains is up to date",
    JobKind.RETENTION: "Old restore points are gone",
    JobKind.SCRUB: "What was read is in order",
}
# The steps that a job counts, in their order, and what each is called. A phase that is not here is shown as it is.
STEPS: dict[JobKind, tuple[tuple[str, str], ...]] = {
    JobKind.BACKUP: (
        ("waiting", "Waiting for its turn"),
        ("reading the site", "Reading the site"),
        ("dumping", "Copying the database"),
        ("writing", "Writing the copy"),
        ("verifying", "Reading every byte back"),
        ("publishing", "Keeping it"),
    ),
    JobKind.RESTORE: (
        ("waiting", "Waiting for its turn"),
        ("verifying", "Checking the restore point, every byte"),
        ("comparing", "Comparing it with the site of now"),
        ("staging", "Preparing the files beside the site"),
        ("loading", "Loading the database beside the live one"),
        ("swapping", "Switching over"),
        ("asking", "Asking the site whether it answers"),
    ),
}
SKIP_REASONS = {
    "fifo": "a pipe, not a file",
    "socket": "a socket, not a file",
    "device": "a device, not a file",
    "foreign_owner": "belongs to somebody else",
    "foreign_links": "has another name outside this site",
    "other_filesystem": "lies on another filesystem",
    "unreadable": "could not be read",
    "vanished": "went away while it was read",
    "excluded": "left out by a rule",
    "nested_root": "another site's folder",
    "own_folder": "a folder of the backup itself",
    "too_deep": "lies too deep",
    "too_large": "is too large",
}
# From here on a restore is finished rather than stopped: the site is never left between two versions.
PAST_RETURN = ("swapping", "asking", "publishing")


@dataclass(frozen=True, slots=True)
class Status:
    """How a state looks: `look` is good, warn, bad, info or none; `icon` a symbol of the sprite."""

    look: str
    icon: str
    words: str


def domain_status(row: DomainRow) -> Status:
    """Return the state of a domain for a list: first what is wrong, then what happens now, then that all is well."""
    if row.domain.state is not DomainState.ACTIVE:
        return _inactive_status(row.domain)
    if row.running is not None:
        return Status("info", "loader", f"{UNDER_WAY[row.running.kind]} now")
    if row.last_job is not None and row.last_job.state is JobState.FAILED:
        return Status("bad", "circle-x", f"{JOB_NAMES[row.last_job.kind]} failed")
    if row.last_point is None:
        return Status("warn", "circle-dashed", "No restore point yet")
    if not row.is_protected:
        return Status("warn", "alert-triangle", "Needs attention")
    return Status("good", "shield-check", "Protected")


def _inactive_status(domain: Domain) -> Status:
    return {
        DomainState.MISSING: Status("bad", "folder-off", "Its folder is missing"),
        DomainState.SUSPENDED: Status("warn", "player-pause", "Suspended by the panel"),
        DomainState.DELETED: Status("none", "trash", "Deleted; its restore points are kept"),
    }[domain.state]


def point_status(point: Point) -> Status:
    """Return whether a point can be used, in words that need no colour."""
    if point.state is PointState.DAMAGED:
        return Status("bad", "circle-x", "Damaged")
    if point.verified is Verified.NOT:
        return Status("warn", "circle-dashed", "Not verified")
    if point.state is PointState.PARTIAL:
        return Status("warn", "alert-triangle", "Good, with something missing")
    return Status("good", "circle-check", "Good")


def proof_of(point: Point) -> str:
    """Return how far a point was proved, in words."""
    if point.state is PointState.DAMAGED:
        return "its bytes are not what was written"
    return {
        Verified.NOT: "nothing was proved yet",
        Verified.WRITTEN: "written to disk, not read back yet",
        Verified.SAMPLED: "a sample of its files read back",
        Verified.READ_BACK: "every byte read back",
        Verified.CHAIN: "every byte of it and of what it builds on read back",
    }[point.verified]


def left_out_of(points: Sequence[Point]) -> list[str]:
    """Return what the newest dumps left out, a sentence a database: "31 % of shop (1.2 MB): cache, sessions"."""
    newest = next((point for point in points if point.databases), None)
    said = []
    for dump in newest.databases if newest is not None else ():
        report = DumpReport.from_fields(dump.report) if dump.report else None
        tables = [row for row in report.tables if row.data_left_out or row.rows_left_out] if report else []
        if report and tables:
            saved = size(sum(row.bytes_left_out for row in tables))
            names = ", ".join(row.name for row in tables[:5]) + (" and more" if len(tables) > 5 else "")
            said.append(f"{report.saved_ratio:.0%} of {dump.database} ({saved}): {names}")
    return said


def left_out_files(point: Point) -> str:
    """Return how much rules left out of a point's files: "12 files, 1.5 MB", "at least 200,000 files, 3.1 GB", "nothing"."""
    told = point.left_out or {}
    files, size_bytes = told.get("files", 0), told.get("bytes", 0)
    if not isinstance(files, int) or not isinstance(size_bytes, int) or not told.get("paths"):
        return "nothing"
    return f"{'' if told.get('is_complete', True) else 'at least '}{count(files, 'file')}, {size(size_bytes)}"


def reasons_of(verdicts: Sequence[Verdict]) -> str:
    """Return why some points go, each reason once: "no rule keeps them"."""
    reasons = dict.fromkeys(row.reason for row in verdicts)
    return ", or ".join(re.sub(r"\bit\b", "them", reason) if len(verdicts) > 1 else reason for reason in reasons)


def proof_in_short(point: Point) -> str:
    """Return the same for a narrow column."""
    if point.state is PointState.DAMAGED:
        return "damaged"
    proof = {
        Verified.NOT: "unproved",
        Verified.WRITTEN: "not read back yet",
        Verified.SAMPLED: "sampled",
        Verified.READ_BACK: "read back",
        Verified.CHAIN: "whole chain read back",
    }
    return proof[point.verified] + (", something missing" if point.state is PointState.PARTIAL else "")


def refusal_of(point: Point) -> str | None:
    """Return why a point has no restore button, or None where it has one."""
    if point.state is PointState.DAMAGED:
        return (
            "This restore point is damaged, so it is not offered. The next backup writes everything again. "
            "Files of it that are still sound can be downloaded."
        )
    if point.verified is Verified.NOT:
        return "This restore point was never verified, so it is not offered."
    return None


def job_status(job: Job) -> Status:
    """Return a job's state in words."""
    if job.cancel_requested and not job.state.has_ended:
        return Status("info", "loader", "Being cancelled")
    return {
        JobState.QUEUED: Status("none", "clock", "Waiting"),
        JobState.RUNNING: Status("info", "loader", "Running"),
        JobState.DONE: Status("good", "circle-check", "Done"),
        JobState.PARTIAL: Status("warn", "alert-triangle", "Done in part"),
        JobState.FAILED: Status("bad", "circle-x", "Failed"),
        JobState.CANCELLED: Status("none", "circle-minus", "Cancelled"),
    }[job.state]


def job_headline(job: Job) -> str:
    """Return the sentence that a job's page starts with."""
    name = JOB_NAMES[job.kind]
    return {
        JobState.QUEUED: f"{UNDER_WAY[job.kind]}: waiting for its turn",
        JobState.RUNNING: UNDER_WAY[job.kind],
        JobState.DONE: ENDED[job.kind],
        JobState.PARTIAL: f"{ENDED[job.kind]}, with something missing",
        JobState.FAILED: f"{name} failed",
        JobState.CANCELLED: f"{name} was cancelled",
    }[job.state]


@dataclass(frozen=True, slots=True)
class Step:
    """One counted step of a job. `state` is done, now or later."""

    number: int
    words: str
    state: str


def steps_of(job: Job) -> tuple[Step, ...]:
    """Return the steps of a running backup or restore with the present one marked; () for other jobs and unknown phases."""
    known = STEPS.get(job.kind, ())
    phases = [phase for phase, _ in known]
    phase = "waiting" if job.progress.phase == "starting" else job.progress.phase
    if job.state.has_ended or phase not in phases:
        return ()
    present = phases.index(phase)
    states = ["done"] * present + ["now"] + ["later"] * (len(known) - present - 1)
    return tuple(
        Step(number, words, state) for number, ((_, words), state) in enumerate(zip(known, states, strict=True), 1)
    )


def phase_of(job: Job) -> str:
    """Return the present phase as a sentence's start: "Reading the site"."""
    return begin(dict(STEPS.get(job.kind, ())).get(job.progress.phase, job.progress.phase))


def can_be_cancelled(job: Job) -> bool:
    """Return whether a cancel button makes sense: not after the end, not twice, and not once a restore switches over."""
    return not (job.state.has_ended or job.cancel_requested or job.progress.phase in PAST_RETURN)


def skip_reason(reason: str) -> str:
    """Return why a path is not in a point; an unknown reason is shown as it is."""
    return SKIP_REASONS.get(reason, reason.replace("_", " "))

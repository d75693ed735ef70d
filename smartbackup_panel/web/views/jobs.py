"""Jobs: the list, and one job with its progress, result and log."""

from __future__ import annotations

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smartbackup_panel.core.model import JobKind
from smartbackup_panel.web.mount import actor, services, show


def listing() -> Response:
    """Show the latest jobs: an admin sees all, a customer those of the own domains."""
    rows = services().queries.jobs(actor(), limit=100)
    is_busy = any(not job.state.has_ended for job, _ in rows)
    return show(
        "smartbackup/jobs.html", "smartbackup/parts/jobs_live.html", refresh_seconds=2 if is_busy else 10, rows=rows
    )


def job(job_id: str) -> Response:
    """Show a job; until it has ended, the live part asks again every second."""
    page = services().queries.job_page(actor(), job_id)
    return show(
        "smartbackup/job.html",
        "smartbackup/parts/job_live.html",
        refresh_seconds=0 if page.job.state.has_ended else 1,
        page=page,
        job=page.job,
        domain=page.domain,
    )


def cancel(job_id: str) -> ResponseReturnValue:
    """Ask for a job to be stopped, and show it (a plan: its domain's page)."""
    page = services().queries.job_page(actor(), job_id)
    services().requests.cancel(actor(), job_id)
    if page.job.kind is JobKind.PLAN and page.domain is not None:
        return redirect(url_for("smartbackup.domain", domain_id=page.domain.id), 303)
    return redirect(url_for("smartbackup.job", job_id=job_id), 303)

"""A domain's page: what there is to go back to, what happens next, and what runs now."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smartbackup_panel.web.context import words
from smartbackup_panel.web.mount import actor, is_fragment, mount, services, show

SHOWN_POINTS = 60


def domain(domain_id: str) -> Response:
    """Show a domain; while a job runs, the live part asks again every second."""
    page = services().queries.domain_page(actor(), domain_id)
    return show(
        "smartbackup/domain.html",
        "smartbackup/parts/domain_live.html",
        refresh_seconds=1 if page.running else 15,
        page=page,
        domain=page.domain,
        site=services().sites.last_answer(actor(), domain_id),
        settings=mount().settings,
        shown=len(page.points) if "all" in request.args else SHOWN_POINTS,
        days=() if is_fragment() else services().queries.daily(actor(), domain_id),
        best=next((point for point in page.points if point.is_restorable), None),
        sb=words(page.schedule.timezone if page.schedule else None),
    )


def answer(domain_id: str) -> ResponseReturnValue:
    """Ask the site for its home page and say how it answered; without script, on the domain's page."""
    site = services().sites.ask(actor(), domain_id)
    if not is_fragment():
        return redirect(url_for("smartbackup.domain", domain_id=domain_id), 303)
    page = services().queries.domain_page(actor(), domain_id)
    return show("smartbackup/parts/site_answer.html", page=page, domain=page.domain, site=site)


def back_up(domain_id: str) -> ResponseReturnValue:
    """Ask for a restore point now; the same click twice is one job."""
    services().requests.backup(actor(), domain_id)
    return redirect(url_for("smartbackup.domain", domain_id=domain_id), 303)


def verify(domain_id: str, point_id: str) -> ResponseReturnValue:
    """Ask for every byte of a restore point to be read again."""
    job = services().requests.verify(actor(), domain_id, point_id)
    return redirect(url_for("smartbackup.job", job_id=job.id), 303)


def pin(domain_id: str, point_id: str) -> ResponseReturnValue:
    """Keep a restore point for ever, or release it; the form says which. Back to the point in its list."""
    services().policies.pin(actor(), domain_id, point_id, pinned=request.form.get("pinned") == "yes")
    return redirect(url_for("smartbackup.domain", domain_id=domain_id, _anchor=f"point-{point_id}"), 303)


def undo(domain_id: str, job_id: str) -> ResponseReturnValue:
    """Ask for the version from before a restore."""
    job = services().requests.undo(actor(), domain_id, job_id, request.form.get("key", "")[:64])
    return redirect(url_for("smartbackup.job", job_id=job.id), 303)

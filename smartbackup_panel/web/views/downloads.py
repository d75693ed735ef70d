"""Downloads: asked for, prepared by the worker, taken once; and what changed inside a text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smartbackup_panel.core.errors import UnknownJob, UnknownPoint, WrongUsage
from smartbackup_panel.core.model import Job, JobKind, JobState, Point
from smartbackup_panel.core.tree import ExportFormat
from smartbackup_panel.web import paths
from smartbackup_panel.web.mount import actor, services, show
from smartbackup_panel.web.wording import refusal_of

PIECE_BYTES = 256 * 1024
MOST_PATHS = 1_000
DOWNLOAD_POLICY = "default-src 'none'; sandbox"


def chosen(domain_id: str, point_id: str) -> ResponseReturnValue:
    """Do with the chosen paths what the pressed button says: plan their restore, or prepare a download.

    Raises WrongUsage where nothing was chosen.
    """
    fields = request.form.getlist("path")
    if not fields:
        raise WrongUsage("Nothing was chosen.", hint="Go back, tick files or folders, then press the button again.")
    if len(fields) > MOST_PATHS:
        raise WrongUsage(f"More than {MOST_PATHS} paths were chosen.", hint="Choose their folder instead.")
    names = tuple(paths.shown(paths.decode(field)) for field in fields)
    if request.form.get("action") == "restore":
        return _plan(domain_id, point_id, names)
    kind = _format(request.form.get("action", ""))
    job = services().requests.export(actor(), domain_id, point_id, names, kind)
    return redirect(url_for("smartbackup.download", download_id=job.id), 303)


def _plan(domain_id: str, point_id: str, names: tuple[str, ...]) -> ResponseReturnValue:
    refusal = refusal_of(services().queries.point(actor(), domain_id, point_id))
    if refusal is not None:
        raise WrongUsage(refusal, hint="Choose another restore point; your site was not changed.")
    job = services().requests.plan(actor(), domain_id, point_id, files=True, databases=False, exact=False, paths=names)
    return redirect(url_for("smartbackup.plan", job_id=job.id), 303)


def _format(text: str) -> ExportFormat:
    try:
        return ExportFormat(text)
    except ValueError:
        raise WrongUsage("This is no kind of download.") from None


def text_diff(domain_id: str) -> ResponseReturnValue:
    """Ask for what changed inside a file between two points."""
    older, newer, field = (request.form.get(name, "") for name in ("older", "newer", "path"))
    job = services().requests.text_diff(actor(), domain_id, older, newer, paths.shown(paths.decode(field)))
    return redirect(url_for("smartbackup.download", download_id=job.id), 303)


def download(download_id: str) -> Response:
    """Show how far a download is, and its button once it is ready; or the differences of two texts."""
    page = services().queries.job_page(actor(), download_id)
    job = page.job
    if job.kind is not JobKind.EXPORT or page.domain is None:
        raise UnknownJob("no such download")
    is_there = job.state in (JobState.DONE, JobState.PARTIAL) and services().downloads.is_there(actor(), job.id)
    is_diff = job.params.get("format") == "diff"
    return show(
        "smartbackup/download.html",
        "smartbackup/parts/download_live.html",
        refresh_seconds=0 if job.state.has_ended else 1,
        page=page,
        job=job,
        domain=page.domain,
        is_there=is_there,
        is_diff=is_diff,
        diff=services().downloads.text_diff(actor(), job.id) if is_there and is_diff else None,
        until=_until(job),
        sides=_sides(job) if is_diff else (),
        path=os.fsencode(str(job.params.get("path", ""))),
        paths=paths,
    )


def _sides(job: Job) -> list[Point]:
    """Return the two points that a comparison is of, [] where one of them is gone."""
    ids = [str(job.params[side]) for side in ("older", "newer")]
    try:
        return [services().queries.point(actor(), job.domain_id or "", point_id) for point_id in ids]
    except UnknownPoint:
        return []


def _until(job: Job) -> datetime | None:
    text = (job.result or {}).get("until")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def take(download_id: str) -> Response:
    """Hand the file over, once: as an attachment that no browser opens, sniffs or runs (docs/security.md, rules 32 and 33)."""
    taken = services().downloads.take(actor(), download_id)
    name = paths.download_name(taken.name)
    fallback = "".join(letter if letter.isascii() else "_" for letter in name)
    response = Response(_pieces(taken.fd), mimetype="application/octet-stream", direct_passthrough=True)
    response.headers["Content-Length"] = str(taken.size_bytes)
    response.headers["Content-Disposition"] = (
        f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(name, safe='')}"
    )
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    return response


def _pieces(fd: int) -> Iterator[bytes]:
    with os.fdopen(fd, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece

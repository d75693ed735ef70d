"""The blueprint: every address of the pages in one table, behind one guard."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint
from flask.typing import ResponseReturnValue
from werkzeug.routing import BaseConverter

from smartbackup_panel.resources import folder
from smartbackup_panel.web import context, errors, guard, headers
from smartbackup_panel.web.views import contents, dashboard, domain, downloads, jobs, restore, settings

CONVERTER = "smartbackup_id"


class IdConverter(BaseConverter):
    """An id in an address: 32 hexadecimal digits; anything else is no address of ours."""

    regex = "[0-9a-f]{32}"


View = Callable[..., ResponseReturnValue]
ROUTES: tuple[tuple[str, str, View], ...] = (
    ("GET", "/", dashboard.overview),
    ("POST", "/backup", dashboard.back_up_selected),
    ("GET", "/metrics", dashboard.metrics),
    ("GET", "/domains/<smartbackup_id:domain_id>", domain.domain),
    ("GET", "/domains/<smartbackup_id:domain_id>/answer", domain.answer),
    ("POST", "/domains/<smartbackup_id:domain_id>/backup", domain.back_up),
    ("POST", "/domains/<smartbackup_id:domain_id>/undo/<smartbackup_id:job_id>", domain.undo),
    ("POST", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/verify", domain.verify),
    ("POST", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/pin", domain.pin),
    ("GET", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/restore", restore.choose),
    ("POST", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/plan", restore.make_plan),
    ("GET", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/files", contents.browse),
    ("POST", "/domains/<smartbackup_id:domain_id>/points/<smartbackup_id:point_id>/chosen", downloads.chosen),
    ("GET", "/domains/<smartbackup_id:domain_id>/history", contents.history),
    ("GET", "/domains/<smartbackup_id:domain_id>/compare", contents.compare),
    ("POST", "/domains/<smartbackup_id:domain_id>/text-diff", downloads.text_diff),
    ("GET", "/domains/<smartbackup_id:domain_id>/search", contents.search),
    ("GET", "/domains/<smartbackup_id:domain_id>/settings", settings.settings),
    ("POST", "/domains/<smartbackup_id:domain_id>/settings/keep", settings.keep),
    ("POST", "/domains/<smartbackup_id:domain_id>/settings/left-out", settings.leave_out),
    ("POST", "/domains/<smartbackup_id:domain_id>/settings/rows", settings.leave_rows_out),
    ("POST", "/domains/<smartbackup_id:domain_id>/settings/schedule", settings.set_schedule),
    ("GET", "/downloads/<smartbackup_id:download_id>", downloads.download),
    ("POST", "/downloads/<smartbackup_id:download_id>/file", downloads.take),
    ("GET", "/plans/<smartbackup_id:job_id>", restore.plan),
    ("POST", "/plans/<smartbackup_id:job_id>/restore", restore.confirm),
    ("GET", "/jobs", jobs.listing),
    ("GET", "/jobs/<smartbackup_id:job_id>", jobs.job),
    ("POST", "/jobs/<smartbackup_id:job_id>/cancel", jobs.cancel),
)


def create_blueprint() -> Blueprint:
    """Return the blueprint with its pages, guard, headers and error pages; register() mounts it."""
    blueprint = Blueprint("smartbackup", __name__, static_folder="static", template_folder=str(folder("templates")))
    blueprint.before_request(guard.guard)
    blueprint.after_request(headers.secure)
    blueprint.context_processor(context.template_context)
    errors.install(blueprint)
    for method, rule, view in ROUTES:
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method])
    return blueprint

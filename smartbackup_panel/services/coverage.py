"""New domains are covered without a click: the first point of a domain is asked for as soon as it is known."""

from __future__ import annotations

from smartbackup_panel.adapters.db import domains, jobs, schedules
from smartbackup_panel.core.model import PANEL, DomainState, Job, JobKind
from smartbackup_panel.services.installation import Installation
from smartbackup_panel.services.jobs import submit


def cover_new_domains(installation: Installation) -> list[Job]:
    """Return the new jobs: a backup for each present domain that has no schedule and never had a backup job.

    Its points may be older than the state, or imported. The backup analyses, decides the schedule and writes the point in one walk.
    """
    made: list[Job] = []
    with installation.state.write() as tx:
        present = [domain for domain in domains.list_domains(tx, PANEL) if domain.state is DomainState.ACTIVE]
        ids = [domain.id for domain in present]
        covered = set(schedules.list_schedules(tx, ids)) | set(jobs.latest_jobs(tx, ids))
        for domain_id in ids:
            if domain_id not in covered:
                params: dict[str, object] = {"type": "auto", "files": True, "databases": True}
                job, is_new = submit(installation, tx, JobKind.BACKUP, domain_id, PANEL, params, f"backup:{domain_id}")
                made += [job] if is_new else []
    return made

"""What every command shares: its settings and services, its answer as JSON or for people, and running a job."""

from __future__ import annotations

import functools
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from smartbackup_panel.core.errors import SmartBackupError
from smartbackup_panel.settings import Settings, load_settings

if TYPE_CHECKING:
    from smartbackup_panel.bootstrap import Services
    from smartbackup_panel.commands.progress import Watch
    from smartbackup_panel.core.model import Domain, Job

P = ParamSpec("P")
EXIT_PARTIAL = 3
POLL_SECONDS = 0.25


@dataclass
class Session:
    """One call of the program."""

    config: str | None = None
    as_json: bool = False
    _services: Services | None = field(default=None, repr=False)

    @functools.cached_property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def services(self) -> Services:
        if self._services is None:
            from smartbackup_panel.bootstrap import open_services

            self._services = open_services(self.settings)
            gc.freeze()
            gc.enable()
        return self._services

    def begin_agent(self) -> None:
        """Begin the agent of a job that this command is about to run: it starts while the services are imported."""
        from smartbackup_panel.services.early_agent import begin_early

        begin_early(self.settings)

    def domain(self, name: str) -> Domain:
        """Return a domain by name; one that is not known yet is looked for in the panel's inventory first."""
        from smartbackup_panel.core.errors import UnknownDomain
        from smartbackup_panel.core.model import COMMAND_LINE
        from smartbackup_panel.services.domains import reconcile

        try:
            return self.services.queries.domain_named(COMMAND_LINE, name)
        except UnknownDomain:
            reconcile(self.services.installation)
            return self.services.queries.domain_named(COMMAND_LINE, name)

    def run(self, job: Job) -> Job:
        """Return a job after it ended: run by the worker where one runs, else here, with a progress bar for people."""
        return self.run_all([job])[0]

    def run_all(self, jobs: Sequence[Job]) -> list[Job]:
        """Return jobs after they ended, in their order; as many run at once as the setting `concurrency` says."""
        from smartbackup_panel.commands.progress import watching

        with (
            watching(quiet=self.as_json) as watch,
            ThreadPoolExecutor(min(len(jobs), self.settings.concurrency) or 1) as pool,
        ):
            return list(pool.map(lambda job: self._run_to_its_end(job, watch), jobs))

    def _run_to_its_end(self, job: Job, watch: Watch) -> Job:
        from smartbackup_panel.core.model import COMMAND_LINE
        from smartbackup_panel.services import pacing
        from smartbackup_panel.services.upkeep import worker_runs

        while not job.state.has_ended:
            if not worker_runs(self.services.installation):
                with pacing.gently(self.services.installation, job.id) if pacing.is_planned(job) else nullcontext():
                    return self.services.runner().run(job.id, watch)
            time.sleep(POLL_SECONDS)
            job = self.services.queries.job(COMMAND_LINE, job.id)
            watch(job, job.progress)
        return job

    def keep_choices(self) -> None:
        """Write what was chosen for a domain beside its archives now; a running worker would do it within a minute."""
        from smartbackup_panel.services.choices import write_changed

        write_changed(self.services.installation)

    def answer(self, document: object, for_people: Callable[[], None] | None = None) -> None:
        """Print the answer: one JSON document, or what a person wants to see."""
        if self.as_json or for_people is None:
            click.echo(json.dumps(document, indent=None if self.as_json else 2, default=str))
        else:
            for_people()

    def finish_job(self, job: Job, for_people: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Print a finished job's result and leave with its exit code: 0 done, 1 failed, 3 done in part."""
        from smartbackup_panel.core.model import JobState

        if job.result is not None:
            result = job.result if job.error_code is None else {**job.result, "error": error_of(job)}
            self.answer(result, functools.partial(for_people, result) if for_people else None)
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            if job.result is None:
                self.fail(error_of(job))
            elif not self.as_json:
                tell_error(error_of(job))
            sys.exit(job_exit_code(job))
        if job.state is JobState.PARTIAL:
            sys.exit(EXIT_PARTIAL)

    def fail(self, error: dict[str, Any]) -> None:
        """Print an error: in the JSON document, or in red for people."""
        if self.as_json:
            click.echo(json.dumps({"error": error}))
        else:
            tell_error(error)


def error_of(job: Job) -> dict[str, Any]:
    """Return why a job failed, as the JSON of an error."""
    from smartbackup_panel.core.model import JobState

    if job.state is JobState.CANCELLED and job.error_code is None:
        return {"code": "job.cancelled", "message": "the job was cancelled", "hint": ""}
    return {"code": job.error_code, "message": job.error_message, "hint": job.error_hint}


def job_exit_code(job: Job) -> int:
    """Return the exit code of a failed job's error."""
    from smartbackup_panel.core.errors import all_errors

    return next((error.exit_code for error in all_errors() if error.code == job.error_code), 1)


def tell_error(error: dict[str, Any]) -> None:
    click.echo(click.style(f"Error: {error['message']}", fg="red"), err=True)
    if error.get("hint"):
        click.echo(error["hint"], err=True)


def command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Turn errors of the product into a message and an exit code, and give each command its own --json."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
    @click.pass_context
    @functools.wraps(function)
    def wrapped(context: click.Context, /, *args: Any, as_json: bool, **kwargs: Any) -> None:  # Any: click's own call
        session: Session = context.obj
        session.as_json = session.as_json or as_json
        try:
            function(session, *args, **kwargs)
        except SmartBackupError as error:
            session.fail({"code": error.code, "message": error.message, "hint": error.hint})
            sys.exit(error.exit_code)

    return wrapped

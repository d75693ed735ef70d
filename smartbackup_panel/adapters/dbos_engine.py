"""Durable jobs on DBOS, in the state database. Imported only where a worker runs: it costs a second and 80 MB.

What has to be known of DBOS 3.4 (each was observed): a workflow of another application version is never resumed, so the
version is pinned; a second process with the same executor id runs live jobs twice, so the worker holds a lock before it
starts this; rows marked as pickled are unpickled whatever serializer is set, so that serializer is made to refuse.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from smartbackup_panel.adapters.db.state import sqlite_module
from smartbackup_panel.core.errors import WorkerUnavailable

QUEUE = "smartbackup-jobs"
APPLICATION = "smartbackup"
APPLICATION_VERSION = "wf1"
WORKFLOW = "run_job"
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
UNENDED = ("ENQUEUED", "PENDING")
FORGOTTEN_AT_ONCE = 200

log = logging.getLogger(__name__)


class DbosEngine:
    """Runs one workflow a job: one of a partition at a time, `concurrency` at once, again from its start after a crash."""

    def __init__(self, url: str, concurrency: int) -> None:
        self.url = url
        self.concurrency = concurrency
        self._workflow: Callable[[str], None] | None = None

    def start(self, run: Callable[[str], None]) -> None:
        """Launch DBOS and begin to work. Raises WorkerUnavailable."""
        import dbos
        from dbos._serialization import DBOSPortableJSONSerializer

        _refuse_pickle()
        logging.getLogger("dbos").setLevel(logging.WARNING)
        config: dbos.DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self.url,
            "db_engine_kwargs": {"module": sqlite_module()} if self.url.startswith("sqlite") else {},
            "application_version": APPLICATION_VERSION,
            "executor_id": socket.gethostname(),
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "enable_otlp": False,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 5.0,
        }
        try:
            dbos.DBOS(config=config)

            @dbos.DBOS.workflow(name=WORKFLOW)
            def run_job(job_id: str) -> None:
                run(job_id)

            self._workflow = run_job
            dbos.DBOS.listen_queues([QUEUE])
            dbos.DBOS.launch()
            dbos.DBOS.register_queue(
                QUEUE,
                worker_concurrency=self.concurrency,
                partition_concurrency=1,
                polling_interval_sec=0.2,
                on_conflict="always_update",
            )
        except dbos.error.DBOSException as wrong:
            raise WorkerUnavailable(f"the job engine did not start: {wrong}") from wrong

    def enqueue(self, job_id: str, partition: str, priority: int) -> None:
        """Hand a job over; its id is the workflow's, so that a second time changes nothing."""
        import dbos

        assert self._workflow is not None, "start() comes first"
        with (
            dbos.SetWorkflowID(job_id),
            dbos.SetEnqueueOptions(priority=priority, queue_partition_key=partition, app_version=APPLICATION_VERSION),
        ):
            dbos.DBOS.enqueue_workflow(QUEUE, self._workflow, job_id)

    def unfinished(self) -> frozenset[str]:
        """Return the ids of the jobs that it has to begin or to end."""
        import dbos

        rows = dbos.DBOS.list_workflows(status=list(UNENDED), name=WORKFLOW, load_input=False, load_output=False)
        return frozenset(row.workflow_id for row in rows)

    def forget_ended(self) -> int:
        """Drop the engine's own rows of jobs that have ended and return how many; ours stay as the history."""
        import dbos

        count = 0
        while True:
            ended = dbos.DBOS.list_workflows(
                status=list(ENDED), name=WORKFLOW, limit=FORGOTTEN_AT_ONCE, load_input=False, load_output=False
            )
            if not ended:
                return count
            dbos.DBOS.delete_workflows([row.workflow_id for row in ended])
            count += len(ended)


def _refuse_pickle() -> None:
    """Make DBOS's default serializer refuse: who can write the state file must not be able to run code here."""
    from dbos._serialization import DefaultSerializer

    def refuse(*_arguments: Any) -> NoReturn:  # Any: replaces methods of another library
        raise TypeError("pickled values are refused")

    DefaultSerializer.serialize = refuse  # type: ignore[method-assign,assignment]  # that is the point
    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign,assignment]

"""Figures for Prometheus, read from the state when they are asked for: any process can answer, none has to count."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smartbackup_panel.adapters.db import domains, jobs, people, points, statistics
from smartbackup_panel.core.model import PANEL, JobState
from smartbackup_panel.services.alarms import find_alarms
from smartbackup_panel.services.installation import Installation

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def prometheus_text(installation: Installation) -> str:
    """Return all figures in Prometheus' text format. It names every domain: for administrators only."""
    registry = CollectorRegistry()
    registry.register(StateCollector(installation))
    return generate_latest(registry).decode()


class StateCollector(Collector):
    """Reads the state anew at each collection."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        now = self.installation.clock.now()
        with self.installation.state.read() as tx:
            names = {domain.id: domain.name for domain in domains.list_domains(tx, PANEL)}
            newest = points.latest_points(tx, list(names))
            unfinished = jobs.list_unfinished(tx)
            ended = statistics.count_backups(tx, now - timedelta(days=1))
            stored, seen = points.stored_bytes(tx), people.find_note(tx, "worker")
        yield _gauge("smartbackup_domains", "Domains that are covered.", len(names))
        yield _gauge("smartbackup_stored_bytes", "Bytes of all archives and dumps.", stored)
        if seen is not None:
            yield _gauge(
                "smartbackup_worker_seen_timestamp_seconds",
                "When the worker last said that it lives.",
                seen[1].timestamp(),
            )
        running = sum(job.state is JobState.RUNNING for job in unfinished)
        yield _family(
            "smartbackup_jobs", "Jobs now.", "state", {"running": running, "queued": len(unfinished) - running}
        )
        yield _family("smartbackup_backups_last_day", "Backups that ended in the last 24 hours.", "state", ended)
        by_name = {names[key]: point for key, point in newest.items()}
        yield _family(
            "smartbackup_last_point_timestamp_seconds",
            "When the newest restore point was made.",
            "domain",
            {name: point.created_at.timestamp() for name, point in by_name.items()},
        )
        yield _family(
            "smartbackup_last_point_bytes",
            "Size of the newest restore point's content.",
            "domain",
            {name: point.original_bytes for name, point in by_name.items()},
        )
        kinds: dict[str, float] = {}
        for alarm in find_alarms(self.installation):
            kinds[alarm.kind] = kinds.get(alarm.kind, 0) + 1
        yield _family("smartbackup_alarms", "What needs a person, by kind.", "kind", kinds)


def _gauge(name: str, doc: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, doc, value=value)


def _family(name: str, doc: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, doc, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family

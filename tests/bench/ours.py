"""One piece of this product's work, done as the worker does it and timed inside, in a process of its own.

python -m tests.bench.ours ACTION FOLDER SITE [--option VALUE]…    prints one JSON document
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smartbackup_panel.core.tree import AgentPurpose, Codec, PointKind, RestoreOptions, ScanOptions, WriteOptions
from smartbackup_panel.engine.agent import Agent
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet, read_file
from smartbackup_panel.engine.archive_sink import ArchiveSink
from smartbackup_panel.engine.children import keep_agent_ready
from tests.bench.measure import Sample

KEY = b"the benchmark's own key, 32 bytes"
_READY_SECONDS = 1.0
_START = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


def ask(action: str, folder: Path, site: Path, **options: object) -> dict[str, Any]:
    """Run one action in a new process and return its document. Raises RuntimeError."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.bench.ours", action, str(folder), str(site), *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{action} exited {run.returncode}: {run.stderr[-2000:]}")
    return dict(json.loads(run.stdout))


def sample(document: dict[str, Any], seconds: str = "seconds") -> Sample:
    """Return a document of `ask` as a sample; `seconds` names the time that counts."""
    return Sample(document[seconds], document["cpu_seconds"], document["peak_bytes"], document.get("size_bytes", 0))


@dataclass
class _Store:
    """A folder of archives."""

    fd: int
    site: Path

    def open(self, name: str) -> ArchiveSet:
        return ArchiveSet.open(self.fd, name, KEY)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.fd))


def _write(store: _Store, chosen: argparse.Namespace) -> dict[str, object]:
    """Write a point on the newest one (or a full one), durable; then read it back."""
    kind, codec = PointKind(chosen.kind), Codec(chosen.codec)
    earlier = store.open(store.names()[-1]) if store.names() else None
    moment = _START + timedelta(seconds=len(store.names()))
    suffix = "" if kind is PointKind.FULL else f"_{kind}"
    ending = "gz" if codec is Codec.GZIP else "zst"
    name = f"backup_{moment:%Y%m%d_%H%M%S}{suffix}.tar.{ending}"
    verified = 0.0
    with Agent.start(str(store.site)) as agent:
        sink = ArchiveSink.create(store.fd, name, codec=codec, key=KEY)
        scanned = agent.scan(ScanOptions(), earlier)
        options = WriteOptions(kind, os.urandom(16), moment, codec, chosen.level, is_synthetic=bool(chosen.synthetic))
        summary = agent.write(sink, options, earlier)
        if chosen.verify:
            began = time.monotonic()
            with ArchiveSet(ArchiveFile(sink.open_for_reading(), name, KEY), store.fd, KEY) as written:
                agent.verify(written)
            verified = time.monotonic() - began
        sink.publish()
    return {
        "name": name,
        "size_bytes": summary.archive_bytes,
        "scan_seconds": scanned.seconds,
        "write_seconds": summary.seconds,
        "verify_seconds": verified,
    }


def _scan(store: _Store, _: argparse.Namespace) -> dict[str, object]:
    with Agent.start(str(store.site)) as agent:
        agent.inspect()
        return {"scan_seconds": agent.scan(ScanOptions()).seconds}


def _file(store: _Store, chosen: argparse.Namespace) -> dict[str, object]:
    """Read one file out of the newest point."""
    with store.open(store.names()[-1]) as point, open(os.devnull, "wb") as output:
        return {"file_bytes": read_file(point, os.fsencode(chosen.path), output.fileno())}


def _restore(store: _Store, chosen: argparse.Namespace) -> dict[str, object]:
    """Restore the newest point into a new folder, flushed to disk."""
    with store.open(store.names()[-1]) as point, Agent.start(str(store.site), purpose=AgentPurpose.RESTORE) as agent:
        agent.write_into(point, chosen.path, RestoreOptions())
    return {}


_ACTIONS = {"write": _write, "scan": _scan, "file": _file, "restore": _restore}


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=sorted(_ACTIONS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("site", type=Path)
    parser.add_argument("--kind", default="full")
    parser.add_argument("--codec", default="gzip")
    parser.add_argument("--level", type=int, default=6)
    parser.add_argument("--verify", type=int, default=0)
    parser.add_argument("--synthetic", type=int, default=0)
    parser.add_argument("--ready", type=int, default=1, help="an agent waits, as in the worker")
    parser.add_argument("--path", default="")
    chosen = parser.parse_args()
    chosen.folder.mkdir(mode=0o700, exist_ok=True)
    store = _Store(os.open(chosen.folder, os.O_RDONLY | os.O_DIRECTORY), chosen.site)
    if chosen.ready:
        keep_agent_ready()
        time.sleep(_READY_SECONDS)
    began, cpu_began = time.monotonic(), _cpu_seconds()
    done = _ACTIONS[chosen.action](store, chosen)
    seconds = time.monotonic() - began
    used = {
        "seconds": seconds,
        "unverified_seconds": seconds - float(str(done.get("verify_seconds", 0.0))),
        "cpu_seconds": _cpu_seconds() - cpu_began,
        "peak_bytes": _peak_bytes(),
    }
    print(json.dumps({**used, **done}))


def _cpu_seconds() -> float:
    """Return what this process and its ended children used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_bytes() -> int:
    """Return the writer's and the agent's largest memory, added up."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in both) * 1024


if __name__ == "__main__":
    main()

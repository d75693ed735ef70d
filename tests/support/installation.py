"""A scratch installation: own state, store and domains root, driven through the command line as people drive it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.servers import Server, answers_http, free_port, start_server, wait_for
from tests.support.sites import ALICE, Site, Tenant, add_site

SMARTBACKUP = Path(sys.executable).parent / "smartbackup"
HOOKS = Path(__file__).resolve().parents[2] / "hooks"


@dataclass
class Installation:
    """Everything of one installation lies below `folder`; `environment` is all that its programs are told."""

    folder: Path
    environment: dict[str, str]
    web_address: str
    _servers: list[Server] = field(default_factory=list)

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def backup_root(self) -> Path:
        return self.folder / "store"

    @property
    def domains_root(self) -> Path:
        return self.folder / "domains"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def spool(self) -> Path:
        return self.state_dir / "events"

    @property
    def url(self) -> str:
        return f"http://{self.web_address}"

    def add_site(self, domain: str, files: Mapping[str, bytes | str], *, tenant: Tenant | None = ALICE) -> Site:
        """Make the folder of a domain; nothing is told about it."""
        return add_site(self.domains_root, domain, files, tenant=tenant)

    def run(
        self, *arguments: str, timeout_seconds: float = 180.0, words: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command of the product, `words` on its input; return how it ended, its output and error output."""
        return subprocess.run(
            [str(SMARTBACKUP), *arguments],
            input=words.encode(),
            capture_output=True,
            env=self.environment,
            timeout=timeout_seconds,
            check=False,
        )

    def smartbackup(self, *arguments: str, exit_code: int = 0, timeout_seconds: float = 180.0, words: str = "") -> Any:
        """Run one command with --json and return its document; AssertionError with its words on another exit code."""
        run = self.run(*arguments, "--json", timeout_seconds=timeout_seconds, words=words)
        said = f"smartbackup {' '.join(arguments)} exited {run.returncode}\n{run.stdout.decode(errors='replace')}"
        assert run.returncode == exit_code, f"{said}\n{run.stderr.decode(errors='replace')}"
        return json.loads(run.stdout)

    def points(self, domain: str) -> list[dict[str, Any]]:
        """Return the domain's restore points, newest first; none while the domain is unknown."""
        run = self.run("points", domain, "--json")
        return list(json.loads(run.stdout)) if run.returncode == 0 else []

    def wait_for_points(self, domain: str, count: int, *, timeout_seconds: float = 60.0) -> list[dict[str, Any]]:
        """Return the domain's points as soon as there are at least `count`; TimeoutError otherwise."""
        wait_for(
            lambda: len(self.points(domain)) >= count,
            f"{count} restore points of {domain}",
            timeout_seconds=timeout_seconds,
            every_seconds=0.5,
        )
        return self.points(domain)

    def hook(self, event: str, name: str) -> int:
        """Call a hook (`domain-created`, `domain-deleted`) as a panel does; return its exit code."""
        return subprocess.run([str(HOOKS / event), name], env=self.environment, timeout=30, check=False).returncode

    def start_worker(self) -> Server:
        """Start the worker; it is stopped with the installation."""
        return self._start("worker")

    def wait_for_worker(self) -> None:
        """Return when the worker has looked around once: from then on it waits for hooks, requests and the clock."""
        wait_for(lambda: b"runs, last seen" in self.run("check", "--json").stdout, "the worker", timeout_seconds=60.0)

    def start_web(self) -> Server:
        """Start the standalone pages and return when they answer at `url`; stopped with the installation."""
        server = self._start("web")
        wait_for(lambda: answers_http(self.url), "the pages to answer", timeout_seconds=60.0)
        return server

    def stop(self) -> None:
        """Stop everything that was started, the newest first."""
        while self._servers:
            self._servers.pop().stop()

    def _start(self, name: str) -> Server:
        log = self.folder / f"{name}.log"
        server = start_server(name, [SMARTBACKUP, name], log=log, environment=self.environment)
        self._servers.append(server)
        return server


@contextmanager
def make_installation(settings: Mapping[str, str] | None = None) -> Iterator[Installation]:
    """Give an installation whose folder every tenant can pass through; it is stopped and removed at the end.

    `settings` are further SMARTBACKUP_ variables without their prefix, for example {"CONCURRENCY": "2"}.
    """
    folder = Path(tempfile.mkdtemp(prefix="sb-test-"))
    folder.chmod(0o711)
    for name in ("domains", "logs"):
        (folder / name).mkdir(mode=0o755)
    web_address = f"127.0.0.1:{free_port()}"
    installation = Installation(folder, _environment(folder, web_address, settings or {}), web_address)
    try:
        yield installation
    finally:
        installation.stop()
        shutil.rmtree(folder)


def _environment(folder: Path, web_address: str, settings: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "STATE_DIR": str(folder / "state"),
        "BACKUP_ROOT": str(folder / "store"),
        "DOMAINS_ROOT": str(folder / "domains"),
        "ACCESS_LOG": str(folder / "logs" / "{domain}.access.log"),
        "WEB_ADDRESS": web_address,
        "RESERVE_MB": "0",
        "SITE_SERVER": "",
        **settings,
    }
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        **{f"SMARTBACKUP_{name}": value for name, value in ours.items()},
    }

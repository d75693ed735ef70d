"""One installation that a quickstart makes: its folders, its configuration, its two programs and its first points."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.processes import Program
from installer.samples import make_samples
from smartbackup_panel.core.names import is_domain_name

SMARTBACKUP = Path(sys.executable).parent / "smartbackup"
_USERADD = "/usr/sbin/useradd"
_FIRST_PORT = 8470
_SYSTEM_DOMAINS_ROOT = Path("/var/www")
_ANSWER_SECONDS = 60.0
_FIRST_POINT_SECONDS = 600.0


class Failed(Exception):
    """The quickstart cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """An installation whose settings stand in `state`/config.toml; `environment` is what its programs get."""

    state: Path
    domains_root: Path
    backup_root: Path
    web_address: str
    environment: Mapping[str, str]

    @property
    def config(self) -> Path:
        return self.state / "config.toml"

    @property
    def url(self) -> str:
        return f"http://{self.web_address}/"

    @property
    def command_line(self) -> str:
        """Return how `smartbackup` is called for this installation, to be typed into a shell."""
        return shlex.join([str(SMARTBACKUP), "--config", str(self.config)])

    @property
    def worker(self) -> Program:
        return Program("worker", self.state)

    @property
    def web(self) -> Program:
        return Program("web", self.state)

    def start(self) -> bool:
        """Start the worker and the pages unless they run; return whether any was started. Raises Failed."""
        started = [
            program.start([str(SMARTBACKUP), program.name], self.environment) for program in (self.worker, self.web)
        ]
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not _answers(self.web_address):
            self._check_running()
            if time.monotonic() > deadline:
                raise Failed(f"the pages do not answer at {self.url}\n{self.web.last_words()}")
            time.sleep(0.2)
        self._check_running()
        return any(started)

    @staticmethod
    def stop_programs(state: Path) -> list[str]:
        """Stop what a quickstart started in this folder; return the names of what was running."""
        return [name for name in ("web", "worker") if Program(name, state).stop()]

    @staticmethod
    def running_programs(state: Path) -> list[str]:
        """Return the names of what a quickstart started in this folder and what runs."""
        return [name for name in ("web", "worker") if Program(name, state).find_pid() is not None]

    def root_of(self, domain: str) -> Path:
        """Return the folder of a domain."""
        return Path(self.smartbackup("domains", "show", domain)["root"])

    def create_admin(self) -> None:
        """Make the admin's account once; its password goes into a file that only this user can read."""
        file = self.state / "admin-password"
        if file.exists() or any(row["login"] == "admin" for row in self.smartbackup("account", "list")):
            return
        made = self.smartbackup("account", "add", "admin", "--role", "admin", "--generate-password")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as target:
            target.write(made["password"] + "\n")

    def admin_password(self) -> str | None:
        """Return the password that was made for the admin, None when its file is gone."""
        file = self.state / "admin-password"
        return file.read_text("utf-8").strip() if file.exists() else None

    def cover_all_domains(self, say: Callable[[str], object]) -> list[str]:
        """Look for domains and wait until each active one has a restore point; return their names. Raises Failed."""
        self.smartbackup("reconcile")
        domains = [row["domain"] for row in self.smartbackup("domains") if row["state"] == "active"]
        waiting = list(domains)
        deadline = time.monotonic() + _FIRST_POINT_SECONDS
        while waiting:
            for domain in list(waiting):
                if points := self.smartbackup("points", domain):
                    say(f"  {domain}: protected, {len(points)} restore point{'s' if len(points) != 1 else ''}")
                    waiting.remove(domain)
            self._check_running()
            if waiting and time.monotonic() > deadline:
                say(f"  still working on: {', '.join(waiting)}; it goes on in the background")
                break
            time.sleep(0.5 if waiting else 0)
        return domains

    def smartbackup(self, *arguments: str) -> Any:
        """Run one command with --json and return its document. Raises Failed with its words when it fails."""
        run = subprocess.run(
            [str(SMARTBACKUP), "--json", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            words = (run.stderr.strip() or run.stdout.strip())[-3000:]
            raise Failed(f"smartbackup {' '.join(arguments)} exited {run.returncode}: {words}")
        return json.loads(run.stdout)

    def _check_running(self) -> None:
        for program in (self.worker, self.web):
            if program.find_pid() is None:
                raise Failed(f"the {program.name} ended: {program.last_words()}")


def prepare(state: Path, environment: Mapping[str, str], samples: Path | None = None) -> Setup:
    """Return the installation of the folder `state`, made on the first call, with sample sites where there is no domain.

    `samples` is where they are made unless SMARTBACKUP_DOMAINS_ROOT says so; by default in `state`.
    SMARTBACKUP_ variables of `environment` win over the defaults and are kept in the configuration file.
    """
    config = state / "config.toml"
    if not config.exists():
        if samples is None:
            _make_account(environment.get("SMARTBACKUP_WEB_ACCOUNT", "smartbackup"))
        _write_config(config, _choose_settings(state, environment, samples or state / "domains"))
    settings = _read_config(config)
    domains_root = Path(settings["domains_root"])
    if not _has_domains(domains_root):
        logs = Path(settings["access_log"]).parent
        make_samples(domains_root, logs, owner=_owner_of_samples(domains_root))
    for folder in (Path(settings["backup_root"]), state / "events"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Setup(
        state,
        domains_root,
        Path(settings["backup_root"]),
        settings["web_address"],
        {**environment, "SMARTBACKUP_CONFIG": str(config)},
    )


def _choose_settings(state: Path, environment: Mapping[str, str], samples: Path) -> dict[str, str]:
    own_root = environment.get("SMARTBACKUP_DOMAINS_ROOT")
    as_root = os.geteuid() == 0
    use_system = own_root is None and as_root and _has_domains(_SYSTEM_DOMAINS_ROOT)
    domains_root = own_root or str(_SYSTEM_DOMAINS_ROOT if use_system else samples)
    chosen = {
        "state_dir": str(state),
        "backup_root": str(state / "backups"),
        "domains_root": domains_root,
        "access_log": "/var/log/nginx/{domain}.access.log"
        if use_system
        else str(state / "logs" / "{domain}.access.log"),
        "web_address": f"127.0.0.1:{_free_port()}",
    }
    return {name: environment.get(f"SMARTBACKUP_{name.upper()}", value) for name, value in chosen.items()}


def _write_config(config: Path, settings: Mapping[str, str]) -> None:
    # A JSON string is a TOML string.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    part = config.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("# Written once by installer/quickstart; change it as you like.\n" + "\n".join(lines) + "\n")
    part.rename(config)


def _make_account(name: str) -> None:
    """Make the system user of the pages where root runs this and it is missing; they stay root's where that fails."""
    if os.geteuid() != 0 or not name or not os.access(_USERADD, os.X_OK):
        return
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = [
            _USERADD,
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
        ]
        subprocess.run([*command, "--", name], check=False)


def _read_config(config: Path) -> dict[str, str]:
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except tomllib.TOMLDecodeError as wrong:
        raise Failed(f"{config} cannot be read: {wrong}") from wrong


def _has_domains(folder: Path) -> bool:
    """Return whether a folder has folders that are named like domains; `html` and the like are none."""
    if not folder.is_dir():
        return False
    return any("." in path.name and is_domain_name(path.name) and path.is_dir() for path in folder.iterdir())


def _owner_of_samples(domains_root: Path) -> tuple[int, int] | None:
    """Return whom root gives the samples to: www-data, as on most servers, where it can reach them; else nobody else."""
    if os.geteuid() != 0:
        return None
    try:
        web_user = pwd.getpwnam("www-data")
    except KeyError:
        return None
    above = [folder for folder in domains_root.parents if folder.exists()]
    return (web_user.pw_uid, web_user.pw_gid) if all(folder.stat().st_mode & 0o001 for folder in above) else None


def _free_port() -> int:
    """Return the usual port when it is free, else any free one."""
    for port in (_FIRST_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failed("there is no free port on 127.0.0.1")


def _answers(address: str) -> bool:
    """Return whether the pages are there: any answer but an error, the way to the login included."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

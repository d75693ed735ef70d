"""A private PostgreSQL for tests: own data folder, own unix socket, a free loopback port, stopped by its process id."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_OPTIONS = ("fsync=off", "shared_buffers=16MB", "max_connections=30", "unix_socket_permissions=0777")


@dataclass
class Postgres:
    """A running server. `socket` is the path of its unix socket, `port` its port on 127.0.0.1."""

    folder: Path
    socket: str
    port: int
    admin_password: str
    process: subprocess.Popen[bytes]

    def connect(self, user: str, password: str, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Return an open connection that commits each statement."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=user, password=password, dbname=database, autocommit=True
        )

    def admin(self, query: sql.Composed | sql.SQL, database: str = "postgres") -> None:
        """Run one statement as the server's superuser."""
        with self.connect("admin", self.admin_password, database) as connection:
            connection.execute(query)

    def create_tenant(self, name: str, password: str) -> None:
        """Make a role and a database of the same name that it owns, closed to everybody else."""
        names = {"name": sql.Identifier(name), "password": sql.Literal(password)}
        self.admin(sql.SQL("CREATE ROLE {name} LOGIN PASSWORD {password}").format(**names))
        self.admin(sql.SQL("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'").format(**names))
        self.admin(sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC").format(**names))

    def drop_tenant(self, name: str) -> None:
        """Remove what `create_tenant` made."""
        self.admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self.admin(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))

    def crash(self) -> None:
        """Kill the server (SIGKILL); its children follow by themselves, as soon as they see it."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start the server on the same data, socket and port after a crash; it answers when this returns."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.process = _spawn(self.folder, self.port)
            if _answers(self, deadline):
                return
        raise RuntimeError(f"postgres did not come up: {_last_words(self.folder)}")

    def stop(self) -> None:
        """Stop the server at once and remove its folder."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_postgres() -> Postgres:
    """Return a server that answers; RuntimeError with its last words when it does not come up."""
    folder = Path(tempfile.mkdtemp(prefix="sb-pg-"))
    folder.chmod(0o755)
    user = _user()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    password = secrets.token_hex(12)
    (folder / "pw").write_text(password)
    (folder / "pw").chmod(0o644)
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        folder / "data",
        "-U",
        "admin",
        "-A",
        "scram-sha-256",
        f"--pwfile={folder / 'pw'}",
    ]
    made = subprocess.run([*initdb, "-N", "-E", "UTF8"], user=user, env=_ENVIRONMENT, capture_output=True, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"initdb exited {made.returncode}: {made.stderr[-2000:]!r}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Postgres(folder, str(folder / f".s.PGSQL.{port}"), port, password, _spawn(folder, port))
    if _answers(server, time.monotonic() + 30):
        return server
    said = _last_words(folder)
    server.stop()
    raise RuntimeError(f"postgres did not come up: {said}")


def _spawn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    program = max(Path("/usr/lib/postgresql").glob("*/bin")) / "postgres"
    command = [str(program), "-D", str(folder / "data"), "-k", str(folder), "-p", str(port), "-h", "127.0.0.1"]
    command += [word for option in _OPTIONS for word in ("-c", option)]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            user=_user(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_ENVIRONMENT,
            start_new_session=True,
        )


def _answers(server: Postgres, deadline: float) -> bool:
    """Return True as soon as the server answers, False when it ended or time is over."""
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(psycopg.Error), server.connect("admin", server.admin_password, "postgres"):
            return True
        time.sleep(0.05)
    return False


def _user() -> str:
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def _last_words(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-2000:]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One private server for the whole session; tests take their own tenants in it."""
    server = start_postgres()
    try:
        yield server
    finally:
        server.stop()

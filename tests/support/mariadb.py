"""A private MariaDB for tests: own data folder, own unix socket, a free loopback port, stopped by its process id.

    with start_mariadb() as server:
        server.create_tenant("alice_wp", "alice", "secret")

In a conftest: `from tests.support.mariadb import mariadb_server  # noqa: F401`, a fixture of the whole session.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 20.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SERVER_OPTIONS = (
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--skip-sync-frm",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--performance-schema=OFF",
    "--event-scheduler=ON",
    "--max-connections=60",
    "--max-allowed-packet=64M",
    "--table-open-cache=100",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--bind-address=127.0.0.1",
)


@dataclass
class MariaDB:
    """A running server. `socket` is the path of its unix socket, `port` its port on 127.0.0.1."""

    folder: Path
    socket: str
    port: int
    admin_password: str
    process: subprocess.Popen[bytes]
    owns_folder: bool = False
    _names: set[str] = field(default_factory=set)

    def connect(
        self, user: str = "root", password: str | None = None, database: str | None = None, **options: Any
    ) -> pymysql.connections.Connection[Any]:
        """Return an open autocommit connection through the socket; the admin's unless a user is named."""
        return pymysql.connect(
            unix_socket=self.socket,
            user=user,
            # PyMySQL encodes a str as Latin-1; the server compares bytes of UTF-8.
            password=(self.admin_password if password is None else password).encode(),
            database=database,
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            **options,
        )

    def admin(self, sql: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run `sql` (one statement or several) as the server's admin; return the rows of the last one that has rows."""
        rows: list[tuple[Any, ...]] = []
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            while True:
                if cursor.description:
                    rows = list(cursor.fetchall())
                if not cursor.nextset():
                    return rows

    def create_tenant(self, database: str, user: str, password: str) -> None:
        """Make a database and a user with all rights on it and on nothing else, as hosting panels do.

        The user can create no database. `_` and `%` of the name are escaped: unescaped they are wildcards in a GRANT.
        """
        account = f"'{_quoted(user)}'"
        pattern = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("`", "``")
        name = database.replace("`", "``")
        self.admin(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        for host in ("localhost", "127.0.0.1"):
            self.admin(
                f"CREATE USER {account}@'{host}' IDENTIFIED BY '{_quoted(password)}';"
                f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO {account}@'{host}'"
            )

    def drop_tenant(self, database: str, user: str) -> None:
        """Remove what `create_tenant` made; nothing to remove is fine."""
        name = database.replace("`", "``")
        self.admin(f"DROP DATABASE IF EXISTS `{name}`")
        for host in ("localhost", "127.0.0.1"):
            self.admin(f"DROP USER IF EXISTS '{_quoted(user)}'@'{host}'")

    def unique(self, stem: str) -> str:
        """Return a name that this server has not handed out yet: `stem_1`, `stem_2`, …"""
        number = 1
        while f"{stem}_{number}" in self._names:
            number += 1
        self._names.add(f"{stem}_{number}")
        return f"{stem}_{number}"

    def stop(self) -> None:
        """Stop the server (SIGTERM, then SIGKILL) and wait for it; a folder that it made itself is removed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> MariaDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_mariadb(folder: Path | None = None) -> MariaDB:
    """Return a server that answers, its data in `folder` (default: a new short folder that `stop` removes).

    A folder that holds the data of an earlier server is started again with it.
    Run by root, the server itself runs as `mysql` where that user can reach the folder, else as root.
    RuntimeError with the server's last words when it does not come up.
    """
    owns_folder = folder is None
    home = Path(tempfile.mkdtemp(prefix="sb-mariadb-")) if folder is None else folder
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    account = _account(home)
    data = home / "data"
    if not (data / "mysql").is_dir():
        _install(data, account)
    endpoint = str(home / "s")
    if len(endpoint) > 100:
        raise RuntimeError(f"the path of the socket is too long for a unix socket: {endpoint}")
    port, password = _free_port(), secrets.token_hex(12)
    (home / "init.sql").write_text(
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
        "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n"
        "FLUSH PRIVILEGES;\n"
    )
    process = _spawn(home, data, endpoint, port, account)
    server = MariaDB(home, endpoint, port, password, process, owns_folder)
    try:
        _wait_until_it_answers(server)
    except BaseException:
        server.stop()
        raise
    return server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """One private server for the whole session; tests take their own tenants in it."""
    with start_mariadb() as server:
        yield server


def _install(data: Path, account: str | None) -> None:
    command = [
        "/usr/bin/mariadb-install-db",
        "--no-defaults",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=16M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-log-bin",
    ]
    if account is not None:
        command.append(f"--user={account}")
    run = subprocess.run(command, env={"PATH": _PATH, "LC_ALL": "C.UTF-8"}, capture_output=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"mariadb-install-db exited {run.returncode}: {run.stdout[-2000:]!r} {run.stderr[-2000:]!r}")


def _spawn(home: Path, data: Path, endpoint: str, port: int, account: str | None) -> subprocess.Popen[bytes]:
    command = [
        "/usr/sbin/mariadbd",
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={endpoint}",
        f"--port={port}",
        f"--pid-file={data / 'pid'}",
        f"--init-file={home / 'init.sql'}",
        f"--tmpdir={data}",
        *_SERVER_OPTIONS,
    ]
    if account is not None:
        command.append(f"--user={account}")
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            start_new_session=True,
        )


def _wait_until_it_answers(server: MariaDB) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(pymysql.err.MySQLError), server.connect():
            return
        time.sleep(0.05)
    last_words = (server.folder / "log").read_bytes()[-3000:].decode(errors="replace")
    raise RuntimeError(f"mariadbd did not come up: {last_words}")


def _account(home: Path) -> str | None:
    """Return the user for --user, None where we are not root."""
    if os.geteuid() != 0:
        return None
    if not all(folder.stat().st_mode & 0o001 for folder in [home, *home.resolve().parents]):
        return "root"
    shutil.chown(home, "mysql")
    return "mysql"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")

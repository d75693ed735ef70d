"""Dumping and loading beside the servers' own programs: python -m tests.bench.databases [--megabytes 500] [--rounds 3] [--kinds mariadb,postgresql]
[--work dump,load].

A private server with a database of the asked size is dumped by our adapter and by mariadb-dump or pg_dump, whose text
somebody reads and forgets (`| cat > /dev/null`: what no pipe carries would reach nobody). Its dump is loaded by our adapter
(read, checked, counted, put in place) and by mariadb or psql. All take turns. Printed are the medians, their ratio
(budget: 1.2) and the largest resident memory of our process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smartbackup_panel.adapters.databases.mariadb import MariaDBServer
from smartbackup_panel.adapters.databases.postgres import PostgresServer
from smartbackup_panel.core.database_hosts import DatabaseLogin, parse_database_hosts
from smartbackup_panel.core.databases import DatabaseServer
from tests.bench.measure import Contender, Figure, Sample, compare, run_pipeline
from tests.support.mariadb import start_mariadb
from tests.support.postgres import start_postgres

MEGABYTE = 1_000_000
TABLES = 5
TEXT = "tulip rose lily it's a \"fine\" day, isn't it? 50% off; 花 <b>now</b> \\ back"
WORDS = TEXT.encode().split(b" ")
CHUNK_BYTES = 1 << 20


@dataclass
class Scene:
    """A server with the database to dump, and a second, empty one of the same login to load into."""

    kind: str
    adapter: DatabaseServer
    login: DatabaseLogin
    other: DatabaseLogin
    dump: list[str]
    load: list[str]
    empty: Callable[[], object]
    environment: dict[str, str]
    text: Path


def rows_of(megabytes: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield rows of about a kilobyte: number, title, body."""
    chance = random.Random(7)
    for number in range(1, megabytes * MEGABYTE // 1_000 // TABLES):
        yield number, b" ".join(chance.choices(WORDS, k=6)), b" ".join(chance.choices(WORDS, k=170))


@contextlib.contextmanager
def mariadb(megabytes: int, folder: Path) -> Iterator[Scene]:
    with start_mariadb() as server:
        for name in ("shop", "other"):
            server.admin(f"CREATE DATABASE {name}")
        server.admin("CREATE USER shop@localhost IDENTIFIED BY 's3cret'")
        server.admin("GRANT ALL ON shop.* TO shop@localhost; GRANT ALL ON other.* TO shop@localhost")
        with server.connect("shop", "s3cret", "shop") as connection, connection.cursor() as cursor:
            for number in range(TABLES):
                cursor.execute(
                    f"CREATE TABLE posts_{number} (id INT PRIMARY KEY, title VARCHAR(200), body TEXT, at DATETIME, KEY (title))"
                )
                batch: list[tuple[int, bytes, bytes]] = []
                for row in rows_of(megabytes):
                    batch.append(row)
                    if len(batch) == 1_000:
                        cursor.executemany(f"INSERT INTO posts_{number} VALUES (%s, %s, %s, NOW())", batch)
                        batch.clear()
                cursor.executemany(f"INSERT INTO posts_{number} VALUES (%s, %s, %s, NOW())", batch)
        hosts = parse_database_hosts(f"localhost:{server.socket}")
        options = folder / "my.cnf"
        options.write_text(f"[client]\nuser=shop\npassword=s3cret\nsocket={server.socket}\n")
        program = [
            "--single-transaction",
            "--quick",
            "--skip-lock-tables",
            "--hex-blob",
            "--default-character-set=utf8mb4",
        ]

        def empty() -> None:
            server.admin("DROP DATABASE other; CREATE DATABASE other")

        yield Scene(
            "mariadb",
            MariaDBServer(hosts),
            DatabaseLogin("shop", "shop", "s3cret"),
            DatabaseLogin("other", "shop", "s3cret"),
            ["/usr/bin/mariadb-dump", f"--defaults-file={options}", *program, "shop"],
            ["/usr/bin/mariadb", f"--defaults-file={options}", "other"],
            empty,
            {},
            folder / "mariadb.sql",
        )


@contextlib.contextmanager
def postgresql(megabytes: int, folder: Path) -> Iterator[Scene]:
    server = start_postgres()
    try:
        for name in ("shop", "other"):
            server.create_tenant(name, "s3cret")
        with server.connect("shop", "s3cret", "shop") as connection, connection.cursor() as cursor:
            for number in range(TABLES):
                cursor.execute(
                    f"CREATE TABLE posts_{number} (id int PRIMARY KEY, title text, body text, at timestamptz DEFAULT now())".encode()
                )
                with cursor.copy(f"COPY posts_{number} (id, title, body) FROM stdin".encode()) as copy:
                    for row, title, body in rows_of(megabytes):
                        copy.write_row((row, title.decode(), body.decode()))
                cursor.execute(f"CREATE INDEX ON posts_{number} (title)".encode())
        hosts = parse_database_hosts(f"localhost:{server.socket}")
        where = ["-h", str(server.folder), "-p", str(server.port)]

        def login(name: str) -> DatabaseLogin:
            return DatabaseLogin(name, name, "s3cret", socket=server.socket, kind="pgsql")

        def empty() -> None:
            server.drop_tenant("other")
            server.create_tenant("other", "s3cret")

        yield Scene(
            "postgresql",
            PostgresServer(hosts),
            login("shop"),
            login("other"),
            ["/usr/bin/pg_dump", *where, "-U", "shop", "--no-owner", "shop"],
            ["/usr/bin/psql", "-q", "-v", "ON_ERROR_STOP=1", *where, "-U", "other", "other"],
            empty,
            {"PGPASSWORD": "s3cret"},
            folder / "postgresql.sql",
        )
    finally:
        server.stop()


def in_a_child(work: Callable[[], object]) -> Sample:
    """Do the work in a process of its own; its peak is what it has beyond what it began with."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        with contextlib.ExitStack() as stack:
            stack.callback(os._exit, 1)
            work()
            os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError("our own side failed")
    return Sample(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def dump_to_nothing(scene: Scene) -> None:
    for _ in scene.adapter.dump(scene.login).pieces():
        pass


def dump_to_file(scene: Scene) -> None:
    with scene.text.open("wb") as file:
        file.writelines(piece.chunk for piece in scene.adapter.dump(scene.login).pieces())


def load(scene: Scene) -> None:
    with scene.text.open("rb") as file:
        scene.adapter.load(scene.other, iter(lambda: file.read(CHUNK_BYTES), b""), "bench")
        scene.adapter.swap(scene.other, "bench")


def load_by_client(scene: Scene) -> Sample:
    return run_pipeline(["/usr/bin/cat", str(scene.text)], scene.load, environment=scene.environment)


def measure_dump(scene: Scene, rounds: int) -> tuple[Figure, Figure]:
    """Return our figure and theirs."""
    ours = Contender("ours", lambda _: in_a_child(lambda: dump_to_nothing(scene)))
    theirs = Contender("theirs", lambda _: run_pipeline(scene.dump, ["cat"], environment=scene.environment))
    first, second = compare([ours, theirs], rounds)
    return first, second


def measure_load(scene: Scene, rounds: int) -> tuple[Figure, Figure]:
    """Return our figure and theirs, each into an empty database."""
    dump_to_file(scene)

    def afresh(work: Callable[[Scene], Sample]) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            scene.empty()
            return work(scene)

        return run

    ours = Contender("ours", afresh(lambda scene: in_a_child(lambda: load(scene))))
    theirs = Contender("theirs", afresh(load_by_client))
    first, second = compare([ours, theirs], rounds)
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="mariadb,postgresql")
    parser.add_argument("--work", default="dump,load")
    chosen = parser.parse_args()
    work = {"dump": measure_dump, "load": measure_load}
    makers = {"mariadb": mariadb, "postgresql": postgresql}
    begun_with = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{chosen.megabytes} MB, median of {chosen.rounds}; this process itself begins with {begun_with:.0f} MiB")
    for kind in chosen.kinds.split(","):
        with tempfile.TemporaryDirectory() as folder, makers[kind](chosen.megabytes, Path(folder)) as scene:
            for what in chosen.work.split(","):
                ours, theirs = work[what](scene, chosen.rounds)
                ratio = ours.seconds / theirs.seconds
                print(
                    f"{kind:10} {what}: {ours.seconds:7.2f} s, theirs {theirs.seconds:7.2f} s, ratio {ratio:.2f}; "
                    f"processor {ours.cpu_seconds:.2f} s, peak {ours.peak_bytes / 1024**2:.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()

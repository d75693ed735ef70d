"""The state in PostgreSQL (SMARTBACKUP_STATE_URL), as a fleet has it: the same product, from the command line to the worker."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.support.installation import Installation, make_installation
from tests.support.postgres import Postgres, postgres_server

__all__ = ["postgres_server"]

DOMAIN = "shop.example.test"


@pytest.fixture
def fleet(postgres_server: Postgres) -> Iterator[Installation]:
    """Give an installation whose state is a database of its own in PostgreSQL."""
    name, password = f"state_{secrets.token_hex(4)}", secrets.token_hex(12)
    postgres_server.create_tenant(name, password)
    url = f"postgresql+psycopg://{name}:{password}@/{name}?host={quote(str(postgres_server.folder))}&port={postgres_server.port}"
    with make_installation({"STATE_URL": url, "RECONCILE_SECONDS": "3600"}) as installation:
        yield installation
    postgres_server.drop_tenant(name)


def test_programs_that_start_at_once_make_the_state_once(fleet: Installation) -> None:
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: fleet.run("domains", "--json"), range(6)))
    assert [(run.returncode, run.stdout.strip(), run.stderr) for run in ended] == [(0, b"[]", b"")] * 6


def test_a_domain_is_backed_up_and_restored_with_its_state_in_postgresql(fleet: Installation) -> None:
    site = fleet.add_site(DOMAIN, {"index.html": "<h1>shop</h1>\n"})
    fleet.start_worker()
    fleet.start_web()
    [first] = fleet.wait_for_points(DOMAIN, 1)
    assert (first["type"], first["state"]) == ("full", "good")
    site.write("index.html", "hacked")
    second = fleet.smartbackup("backup", DOMAIN, "--type", "incremental")
    assert (second["type"], second["changed"]) == ("incremental", 1)
    fleet.smartbackup("restore", DOMAIN, "--point", first["point"], "--yes")
    assert (site.root / "index.html").read_text() == "<h1>shop</h1>\n"
    fleet.smartbackup("undo", DOMAIN)
    assert (site.root / "index.html").read_text() == "hacked"
    assert fleet.smartbackup("verify", DOMAIN)["damaged"] == []
    assert fleet.smartbackup("stats", DOMAIN)["points"] == 2
    assert not (fleet.state_dir / "db" / "state.sqlite").exists()

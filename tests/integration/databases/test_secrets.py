"""Case T37: a database's password of odd characters works, and is seen nowhere: not by other processes, not in what is kept or said."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.databases.schemas import WORDPRESS
from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant
from tests.support.installation import Installation, make_installation
from tests.support.mariadb import MariaDB

MARK = "zaubertrank42"
PASSWORD = f"p'\"\\#;=[] \t\n%s é😀{MARK}".ljust(79, "x")
DOMAIN = "shop.example.test"


@pytest.fixture
def tenant(mariadb_server: MariaDB) -> Iterator[Tenant]:
    made = create_tenant(mariadb_server, "odd", PASSWORD)
    made.sql(*WORDPRESS)
    made.sql(*(["INSERT INTO wp_posts (post_content, post_title) SELECT REPEAT('x', 999), '' FROM wp_posts"] * 13))
    yield made
    drop_tenant(made)


@contextlib.contextmanager
def watching(seen: set[str]) -> Iterator[None]:
    """Look at all processes' arguments and environments every ten milliseconds, as any tenant could."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                    seen.update({"mariadb-dump"} if b"mariadb-dump" in text else ())
                    seen.update({"secret"} if MARK.encode() in text else ())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def add_wordpress(installation: Installation, tenant: Tenant) -> Path:
    secret = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    config = "".join(
        f"define('{name}', '{value}');\n"
        for name, value in (
            ("DB_NAME", tenant.login.name),
            ("DB_USER", tenant.login.user),
            ("DB_PASSWORD", secret),
            ("DB_HOST", f"localhost:{tenant.server.socket}"),
        )
    )
    files: dict[str, bytes | str] = {
        "wp-config.php": f"<?php\n{config}$table_prefix = 'wp_';\n",
        "wp-load.php": "<?php\n",
        "wp-includes/version.php": "<?php $wp_version = '6.1';\n",
    }
    return installation.add_site(DOMAIN, files).root


def kept(installation: Installation) -> dict[str, bytes]:
    """Return everything that an installation keeps, archives apart: the site's own file with its password is in them."""
    return {
        str(path): path.read_bytes()
        for folder in (installation.state_dir, installation.backup_root)
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.name.endswith(".tar.gz")
    }


def test_a_password_of_odd_characters_works_and_is_seen_nowhere(tenant: Tenant) -> None:
    seen: set[str] = set()
    said: list[bytes] = []
    with make_installation({"DATABASE_HOSTS": f"localhost:{tenant.server.socket}"}) as installation, watching(seen):
        root = add_wordpress(installation, tenant)
        then = tenant.facts()

        def run(*command: str, exit_code: int = 0) -> None:
            done = installation.run(*command)
            assert done.returncode == exit_code, done.stdout + done.stderr
            said.extend([done.stdout, done.stderr])

        run("backup", DOMAIN)
        point = installation.smartbackup("points", DOMAIN)[0]["point"]
        tenant.sql("DROP TABLE wp_posts")
        (root / "wp-load.php").write_text("broken")
        run("restore", DOMAIN, "--point", point, "--yes")
        assert tenant.facts() == then
        run("undo", DOMAIN)
        run("restore", DOMAIN, "--point", point, "--yes")
        tenant.server.admin(f"ALTER USER {tenant.login.user}@localhost IDENTIFIED BY 'another'")
        run("backup", DOMAIN, exit_code=3)
        run("restore", DOMAIN, "--point", point, "--yes", exit_code=1)
        run("domains", "show", DOMAIN)
        run("check", exit_code=installation.run("check").returncode)
        time.sleep(0.05)
        secrets = [name for name, text in kept(installation).items() if MARK.encode() in text]
    assert "mariadb-dump" in seen, "nothing was looked at in time"
    assert "secret" not in seen
    assert secrets == []
    assert not [text for text in said if MARK.encode() in text]

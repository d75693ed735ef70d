"""A small Laravel application on Debian's framework: migrations, sessions in its database, pages of posts."""

from __future__ import annotations

import base64
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support.http import Browser
from tests.support.servers import Server, free_port, start_server, wait_for
from tests.support.sites import ALICE, Site

APPLICATION = Path(__file__).parent / "laravel_app"
_PHP = ("/usr/bin/php", "-d", "error_reporting=24575", "-d", "opcache.enable=0", "-d", "display_errors=0")
_FOLDERS = (
    "storage/framework/cache",
    "storage/framework/sessions",
    "storage/framework/views",
    "storage/logs",
    "bootstrap/cache",
)


@dataclass
class Laravel:
    """An application that is served by PHP as the tenant, on one port for good."""

    site: Site
    browser: Browser
    server: Server

    def add(self, title: str) -> None:
        """Write a post through the application."""
        assert self.browser.get(f"/add/{quote(title)}").status == 200

    def titles(self) -> list[str] | int:
        """Return the posts of its home page, or the status of the error that it answers with."""
        answer = self.browser.get("/")
        return re.findall(r"<li>(.*?)</li>", answer.text) if answer.status == 200 else answer.status


@contextmanager
def make_laravel(domains_root: Path, domain: str, connection: dict[str, str], log: Path) -> Iterator[Laravel]:
    """Give an application whose tables were migrated. `connection` are the DB_ lines of its .env, without DB_."""
    root = domains_root / domain
    shutil.copytree(APPLICATION, root)
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    lines = {"APP_NAME": '"Alice\'s app"', "APP_KEY": f"base64:{base64.b64encode(secrets.token_bytes(32)).decode()}"}
    lines |= {f"DB_{name}": value for name, value in connection.items()}
    (root / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    root.chmod(0o755)
    site = Site(domain, root, ALICE)
    site.own()
    migrated = subprocess.run(
        [*_PHP, "artisan", "migrate", "--force"],
        cwd=root,
        user=ALICE.uid,
        group=ALICE.gid,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stdout[-2000:]
    port = free_port()
    browser = Browser(f"http://127.0.0.1:{port}")
    server = start_server(
        "php",
        [*_PHP, "-S", f"127.0.0.1:{port}", "-t", root / "public"],
        log=log,
        environment={"PATH": "/usr/bin:/bin"},
        folder=domains_root,
        user=(ALICE.uid, ALICE.gid),
    )
    try:
        wait_for(lambda: _is_up(browser), "PHP to answer")
        yield Laravel(site, browser, server)
    finally:
        server.stop()


def _is_up(browser: Browser) -> bool:
    try:
        return browser.get("/").status == 200
    except OSError:
        return False

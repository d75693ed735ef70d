"""The pages run as a user of their own where root starts them, and reach the state database only (SECURITY rule 27)."""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.installation import Installation, make_installation
from tests.support.servers import answers_http, start_server, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = pwd.getpwnam("nobody")
TOP = Path(__file__).resolve().parents[2]


def _is_reachable(program: str) -> bool:
    ended = subprocess.run(
        ["/usr/bin/test", "-x", program], user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[], check=False
    )
    return ended.returncode == 0


PYTHON = next((path for path in (sys.executable, "/usr/bin/python3") if _is_reachable(path)), None)
PROGRAM = "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from smartbackup_panel.cli import main; main()"
PASSWORD = "a long password of alice"


@pytest.fixture
def installation() -> Iterator[Installation]:
    with make_installation({"WEB_ACCOUNT": "nobody", "RECONCILE_SECONDS": "3600"}) as made:
        yield made


@pytest.fixture
def pages(installation: Installation) -> Iterator[Installation]:
    """Give an installation whose pages run on an interpreter that everybody may read, as a server's own is."""
    assert PYTHON is not None, "Debian's python3 is for everybody"
    roots = ":".join(path for path in sys.path if "site-packages" in path or path == str(TOP))
    server = start_server(
        "web",
        [PYTHON, "-c", PROGRAM, roots, "web"],
        log=installation.folder / "web.log",
        environment=installation.environment,
    )
    try:
        wait_for(lambda: answers_http(installation.url), "the pages to answer", timeout_seconds=60.0)
        yield installation
    finally:
        server.stop()


class Browser:
    """A person's browser, as far as forms and cookies go."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._token: dict[str, str] = {}

    def get(self, path: str) -> str:
        return self._seen(urllib.request.Request(self._url + path))

    def post(self, path: str, /, **form: str) -> str:
        body = urllib.parse.urlencode(form | self._token).encode()
        return self._seen(urllib.request.Request(self._url + path, body, {"Origin": self._url}))

    def _seen(self, request: urllib.request.Request) -> str:
        with self._opener.open(request, timeout=20) as answer:
            page = str(answer.read().decode())
        if found := re.search(r'name="((?:smartbackup_)?csrf(?:_token)?)" value="([^"]+)"', page):
            self._token = {found[1]: unescape(found[2])}
        return page


def processes_of_web(installation: Installation) -> dict[int, dict[str, str]]:
    """Return the kernel's status of each process that serves this installation's pages."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes() if entry.isdigit() else b""
            if f"SMARTBACKUP_WEB_ADDRESS={installation.web_address}".encode() in environment:
                lines = Path(f"/proc/{entry}/status").read_text().splitlines()
                found[int(entry)] = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def nobody_reads(path: Path) -> bool:
    """Whether the pages' account can open a path."""
    command = ["/usr/bin/head", "-c", "1", "--", str(path)]
    ended = subprocess.run(
        command, user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[], capture_output=True, check=False
    )
    return ended.returncode == 0


def test_every_process_of_the_pages_has_given_up_root(pages: Installation) -> None:
    processes = processes_of_web(pages)
    assert len(processes) >= 2, "gunicorn's first process and its worker"
    for status in processes.values():
        assert status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert (status["Groups"], int(status["CapEff"], 16), int(status["CapPrm"], 16)) == ("", 0, 0)


def test_without_root_the_pages_do_what_they_are_for(pages: Installation) -> None:
    pages.add_site("shop.example.test", {"index.php": "<?php\n"})
    made = pages.smartbackup("backup", "shop.example.test")
    pages.smartbackup("account", "add", "admin", "--role", "admin", words=PASSWORD)
    browser = Browser(pages.url)
    browser.get("/login")
    assert "shop.example.test" in browser.post("/login", login="admin", password=PASSWORD)
    found = re.search(r'href="(/domains/[0-9a-f]{32})"', browser.get("/"))
    assert found is not None
    assert made["point"] in browser.get(found[1])
    files = browser.get(f"{found[1]}/points/{made['point']}/files")
    assert "<bdi>index.php</bdi>" in files
    chosen = browser.post(f"{found[1]}/points/{made['point']}/chosen", path="index.php", action="file")
    pages.smartbackup("worker", "--once")
    download = re.search(r'hx-get="(/downloads/[0-9a-f]{32})', chosen)
    assert download is not None
    assert "Save it on this computer" in browser.get(download[1])
    assert browser.post(f"{download[1]}/file") == "<?php\n"
    assert "<span>Waiting</span>" in browser.post(f"{found[1]}/backup", type="auto")
    pages.smartbackup("worker", "--once")
    assert len(pages.points("shop.example.test")) == 2


def test_the_pages_account_reaches_the_state_database_only(pages: Installation) -> None:
    installation = pages
    site = installation.add_site("shop.example.test", {"wp-config.php": "secret"})
    (site.root / "wp-config.php").chmod(0o600)
    made = installation.smartbackup("backup", "shop.example.test")
    state = installation.state_dir
    assert nobody_reads(state / "db/state.sqlite")
    [catalog] = (state / "catalog").glob("*.sqlite")
    assert nobody_reads(catalog)
    for folder in ("catalog", "downloads"):
        facts = (state / folder).stat()
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (0, NOBODY.pw_gid, 0o750)
    assert (catalog.stat().st_uid, stat.S_IMODE(catalog.stat().st_mode)) == (0, 0o640)
    assert (state / "db/state.sqlite").stat().st_uid == NOBODY.pw_uid
    closed = [
        state / "signing-key",
        installation.backup_root / "shop.example.test" / made["archive"],
        site.root / "wp-config.php",
        *(state / "locks").iterdir(),
    ]
    assert [path for path in closed if nobody_reads(path)] == []
    assert all(path.exists() for path in closed)
    assert (state.stat().st_uid, state.stat().st_gid, stat.S_IMODE(state.stat().st_mode)) == (0, NOBODY.pw_gid, 0o710)


def test_a_state_that_was_roots_is_handed_over(installation: Installation) -> None:
    site_name = "shop.example.test"
    installation.add_site(site_name, {"index.php": "<?php\n"})
    database = installation.state_dir / "db/state.sqlite"
    installation.environment["SMARTBACKUP_WEB_ACCOUNT"] = ""
    installation.smartbackup("backup", site_name)
    assert database.stat().st_uid == 0
    installation.environment["SMARTBACKUP_WEB_ACCOUNT"] = "nobody"
    assert len(installation.points(site_name)) == 1
    assert database.stat().st_uid == NOBODY.pw_uid


@pytest.mark.parametrize("reason", ["unknown", "shut out"])
def test_pages_that_must_stay_root_say_so(installation: Installation, reason: str) -> None:
    if reason == "unknown":
        installation.environment["SMARTBACKUP_WEB_ACCOUNT"] = "nobody-at-all"
    else:
        installation.folder.chmod(0o700)
    installation.start_web()
    assert "The pages run as root" in (installation.folder / "web.log").read_text()
    assert {status["Uid"].split()[0] for status in processes_of_web(installation).values()} == {"0"}

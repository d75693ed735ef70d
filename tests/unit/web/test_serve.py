"""The standalone host as a process: gunicorn answers, ends when told to, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from smartbackup_panel import standalone
from smartbackup_panel.settings import load_settings
from tests.support.fake_services import sample_services
standalone._open = lambda settings: sample_services()
standalone.serve(load_settings(environment={"SMARTBACKUP_WEB_ADDRESS": sys.argv[2]}))
"""


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_it_serves_at_its_address_until_it_is_told_to_stop(tmp_path: Path) -> None:
    address = free_address()
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(ROOT), address], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        assert answer_of(f"http://{address}/healthz") == "ok"
        assert "Log in" in answer_of(f"http://{address}/login")
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=15) == 0
    finally:
        server.kill()
        server.wait()
    assert list(tmp_path.iterdir()) == []


def answer_of(url: str) -> str:
    """Return a page's text, waiting up to 20 s for the server to come up."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.URLError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")

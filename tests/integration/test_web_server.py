"""How a site answers is asked of the administrator's web server alone, within limits, whatever the site says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from smartbackup_panel.adapters import web_server
from smartbackup_panel.adapters.web_server import WebServer
from smartbackup_panel.core.surroundings import SiteAnswer

NAME = "shop.example.test"
Say = Callable[[str, socket.socket], None]


@contextmanager
def serving(say: Say) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server that answers each request by `say(request, connection)`, and what it was asked."""
    requests: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = connection.recv(65536).decode()
                    requests.append(request)
                    try:
                        say(request, connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", requests
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def page(status: str, body: str = "", *headers: str) -> Say:
    """Return a server that gives every request the same answer."""
    head = "".join(f"{header}\r\n" for header in headers)
    answer = f"HTTP/1.1 {status}\r\n{head}\r\n{body}".encode()
    return lambda request, connection: connection.sendall(answer)


def asked(say: Say) -> tuple[SiteAnswer | None, list[str]]:
    with serving(say) as (address, requests):
        return WebServer(address).ask(NAME), requests


def test_a_page_is_told_with_status_and_title() -> None:
    answer, [request] = asked(
        page("200 OK", "<html><Title lang='en'>\n Tom &amp; Jerry's\n shop</title><title>2</title>")
    )
    assert answer == SiteAnswer(200, "Tom & Jerry's shop")
    assert answer.works and answer.words == "answers 200, title 'Tom & Jerry's shop'"
    assert request.startswith("GET / HTTP/1.1\r\n") and f"Host: {NAME}\r\n" in request


def test_its_own_visits_count_as_a_robots() -> None:
    from smartbackup_panel.core.traffic import is_bot

    line = f'1.2.3.4 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "{web_server.AGENT}"'
    assert is_bot(line.encode())


@pytest.mark.parametrize("status", ["500 Oh", "503 Busy", "404 Not Found", "403 Forbidden"])
def test_an_error_is_told(status: str) -> None:
    answer, _ = asked(page(status, "<title>Fatal error</title>"))
    assert answer is not None
    assert not answer.works
    assert answer.words == f"answers with error {status[:3]}"


def test_a_redirect_is_followed_to_the_same_site_alone() -> None:
    def say(request: str, connection: socket.socket) -> None:
        if request.startswith("GET / "):
            page("301 Moved", "", f"Location: http://www.{NAME}/en?a=1")(request, connection)
        else:
            page("200 OK", "<title>Here</title>")(request, connection)

    answer, requests = asked(say)
    assert answer == SiteAnswer(200, "Here")
    assert requests[1].startswith("GET /en?a=1 HTTP/1.1\r\n") and f"Host: www.{NAME}\r\n" in requests[1]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/server-status",
        "http://localhost:1/",
        f"http://{NAME}:22/",
        f"http://{NAME}@169.254.169.254/",
        f"http://user:password@{NAME}/",
        "//169.254.169.254/latest",
        "gopher://x/",
        "file:///etc/passwd",
        "http://[::1",
        f"http://{NAME}.evil.test/",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    answer, requests = asked(page("302 Found", "", f"Location: {location}"))
    assert len(requests) == 1
    assert answer is None or answer.status in (302, None)


def test_redirects_in_a_circle_end() -> None:
    answer, requests = asked(page("302 Found", "", "Location: /again"))
    assert answer == SiteAnswer(302)
    assert len(requests) == web_server.MOST_REDIRECTS


def test_a_site_that_drips_or_keeps_silent_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "TIMEOUT_SECONDS", 0.6)

    def drip(request: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            connection.sendall(b"X-%d: 1\r\n" % number)
            time.sleep(0.05)

    def keep_silent(request: str, connection: socket.socket) -> None:
        connection.recv(1)

    for say in (drip, keep_silent):
        started = time.monotonic()
        answer, _ = asked(say)
        assert answer is not None and answer.problem.startswith("no answer within"), answer
        assert time.monotonic() - started < 5


def test_an_endless_page_is_read_no_further_than_its_limit() -> None:
    def endless(request: str, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"<title" * 10_000)

    answer, _ = asked(endless)
    assert answer == SiteAnswer(200)


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9\r\n", b"", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 70_000 + b"\r\n"])
def test_what_is_no_http_is_told(words: bytes) -> None:
    answer, _ = asked(lambda request, connection: connection.sendall(words))
    assert answer is not None and answer.status is None
    assert answer.words == "gives no answer that a browser would understand"


def test_without_a_web_server_nothing_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"127.0.0.1:{listener.getsockname()[1]}"
    assert WebServer(closed).ask(NAME) is None
    assert WebServer("").ask(NAME) is None

"""Asks the server's own web server how a domain's site answers, as a visitor of its home page would.

The administrator's setting alone chooses where to connect; the domain's name goes into the Host header. What the site
says is hostile: a redirect is followed only to the same site, and time and bytes are limited (SECURITY rule 10).
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from html import unescape
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urljoin, urlsplit

from smartbackup_panel.core.surroundings import SiteAnswer

TIMEOUT_SECONDS = 8.0
MOST_BYTES = 256 * 1024
MOST_REDIRECTS = 5
MOST_TITLE = 200
HTTPS_PORT = 443
AGENT = "SmartBackup-bot/1.0 (asks whether the site answers)"

# Bounded repeats: a hostile page costs no more than it is long.
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{0,1000})", re.I)


class WebServer:
    """Fulfils SiteProbe. `address` is host:port; empty where nobody shall be asked."""

    def __init__(self, address: str) -> None:
        self.host, _, self.port = address.rpartition(":")

    def ask(self, name: str) -> SiteAnswer | None:
        """Return how the site answers; None without an address, or where no web server listens there."""
        if not self.host:
            return None
        url = f"http://{name}/"
        answer = SiteAnswer(None)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        for _ in range(MOST_REDIRECTS):
            try:
                answer, location = self._fetch(url, deadline - time.monotonic())
            except ConnectionRefusedError:
                return None if answer.status is None else answer
            except TimeoutError:
                return SiteAnswer(None, problem=f"no answer within {TIMEOUT_SECONDS:.0f} seconds")
            except (OSError, HTTPException, ValueError):
                return SiteAnswer(None, problem="no answer that a browser would understand")
            if location is None or not _is_same_site(name, location):
                break
            url = location
        return answer

    def _fetch(self, url: str, seconds: float) -> tuple[SiteAnswer, str | None]:
        """Return the answer for one address and where it sends a visitor on to."""
        parts = urlsplit(url)
        connection = self._connect(parts.scheme, max(seconds, 0.1))
        connection.connect()
        line, late = connection.sock, threading.Event()

        def end() -> None:
            late.set()
            with suppress(OSError):  # not connected any more
                line.shutdown(socket.SHUT_RDWR)

        # The socket's own limit is one of silence: a site that says a byte now and then would be listened to for ever.
        watch = threading.Timer(seconds, end)
        watch.start()
        try:
            connection.putrequest(
                "GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), skip_host=True
            )
            for header, value in (("Host", parts.netloc), ("User-Agent", AGENT), ("Connection", "close")):
                connection.putheader(header, value)
            connection.endheaders()
            response = connection.getresponse()
            location = response.getheader("Location") if response.status in (301, 302, 303, 307, 308) else None
            title = "" if location else _title(response.read(MOST_BYTES))
            if late.is_set():
                raise TimeoutError
        except (OSError, HTTPException, ValueError) as wrong:
            if late.is_set():
                raise TimeoutError from wrong
            raise
        finally:
            watch.cancel()
            connection.close()
        return SiteAnswer(response.status, title), urljoin(url, location) if location else None

    def _connect(self, scheme: str, seconds: float) -> HTTPConnection:
        if scheme == "https":
            # Its certificate names the domain, not this address; nothing secret is sent and nothing said is trusted.
            return HTTPSConnection(self.host, HTTPS_PORT, timeout=seconds, context=_unverified())
        return HTTPConnection(self.host, int(self.port), timeout=seconds)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_same_site(name: str, url: str) -> bool:
    """Return whether an address is of the domain itself, with or without www, at the usual ports."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.netloc.removeprefix("www.") == name.removeprefix("www.")


def _title(page: bytes) -> str:
    found = _TITLE.search(page)
    return " ".join(unescape(found.group(1).decode("utf-8", "replace")).split())[:MOST_TITLE] if found else ""

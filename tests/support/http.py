"""A small browser without JavaScript: keeps cookies, follows redirects, fills forms."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from html import unescape
from html.parser import HTMLParser


@dataclass(frozen=True)
class Answer:
    """What a server said. `url` is where redirects led."""

    status: int
    url: str
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    @property
    def title(self) -> str:
        """Return the page's title, empty without one."""
        found = re.search(r"<title[^>]*>(.*?)</title>", self.text, re.DOTALL | re.IGNORECASE)
        return unescape(found.group(1)).strip() if found else ""

    def fields(self, form: str | None = None) -> dict[str, str]:
        """Return the named inputs with their values: of the form with this id, of the whole page without one."""
        reader = _FormReader(form)
        reader.feed(self.text)
        return reader.values


class Browser:
    """One visitor of one server, with its own cookies."""

    def __init__(self, base_url: str, *, timeout_seconds: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout_seconds = timeout_seconds
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a page of the server (or of an address of its own); error statuses are answers too."""
        return self.send("GET", path, None, headers or {})

    def post(self, path: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form as a browser does, with the Origin of the server."""
        everything = {"Origin": self.base_url, "Referer": self._address(path), **(headers or {})}
        return self.send("POST", path, urllib.parse.urlencode(form).encode(), everything)

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send any request; redirects are followed, error statuses are answers too."""
        request = urllib.request.Request(self._address(path), data=body, headers=dict(headers), method=method)
        try:
            with self._opener.open(request, timeout=self.timeout_seconds) as answer:
                return Answer(answer.status, answer.url, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return Answer(answer.code, answer.url, answer.headers, answer.read())

    def _address(self, path: str) -> str:
        return path if path.startswith("http") else self.base_url + path


class _FormReader(HTMLParser):
    """Collects inputs, text areas' names and hidden values of one form or of all."""

    def __init__(self, form: str | None) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._form = form
        self._inside = form is None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {key: value or "" for key, value in attrs}
        if tag == "form" and self._form is not None:
            self._inside = about.get("id") == self._form
        if tag != "input" or not self._inside or "name" not in about:
            return
        if about.get("type") in ("checkbox", "radio") and "checked" not in about:
            return
        self.values[about["name"]] = about.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._form is not None:
            self._inside = False

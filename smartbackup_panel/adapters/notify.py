"""Ways to reach the administrators: e-mail (SMTP), a webhook, and with the extra `notify` everything that Apprise speaks."""

from __future__ import annotations

import importlib.util
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from smartbackup_panel.core.surroundings import Message

TIMEOUT_SECONDS = 20


class Notifications:
    """Sends to every way that is set. A way that fails is named with its reason, never with an address's secrets."""

    def __init__(
        self, email: tuple[str, ...], sender: str, smtp_url: str, webhook: str, apprise_urls: tuple[str, ...]
    ) -> None:
        self.email = email
        self.sender = sender
        self.smtp_url = smtp_url
        self.webhook = webhook
        self.apprise_urls = apprise_urls

    @property
    def has_ways(self) -> bool:
        return bool(self.email or self.webhook or self.apprise_urls)

    def send(self, message: Message) -> list[str]:
        """Send to every way and return one sentence for each that failed."""
        failed: list[str] = []
        for name, is_set, way in (
            ("e-mail", self.email, self._mail),
            ("webhook", self.webhook, self._post),
            ("Apprise", self.apprise_urls, self._apprise),
        ):
            if not is_set:
                continue
            try:
                way(message)
            except (OSError, HTTPException, smtplib.SMTPException, ValueError) as wrong:
                failed.append(f"{name}: {type(wrong).__name__}: {_plain(wrong)}")
        return failed

    def _mail(self, message: Message) -> None:
        address = urlsplit(self.smtp_url)
        if address.scheme not in ("smtp", "smtps") or not address.hostname:
            raise ValueError("smtp_url must begin with smtp:// or smtps:// and name a host")
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())
        mail["From"], mail["To"] = self.sender, ", ".join(self.email)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        with _smtp(address.scheme, address.hostname, address.port) as server:
            if address.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if address.username:
                server.login(unquote(address.username), unquote(address.password or ""))
            server.send_message(mail)

    def _post(self, message: Message) -> None:
        if urlsplit(self.webhook).scheme not in ("http", "https"):
            raise ValueError("the webhook must begin with https:// or http://")
        body = json.dumps({"subject": message.subject, "text": message.text, **message.fields}, default=str).encode()
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
            self.webhook, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            answer.read(1024)

    def _apprise(self, message: Message) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ValueError("Apprise is not installed; install the extra: smartbackup-panel[notify]")
        import apprise

        sender: Any = apprise.Apprise()  # Any: the library has no types
        for url in self.apprise_urls:
            if not sender.add(url):
                raise ValueError(f"Apprise does not know the address {urlsplit(url).scheme}://…")
        if not sender.notify(title=message.subject, body=message.text):
            raise OSError("at least one of the services did not take the message")


def _smtp(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    server = smtplib.SMTP(host, port or 25, timeout=TIMEOUT_SECONDS)
    server.ehlo()
    return server


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A webhook that sends elsewhere is refused: who answers shall not choose where alarms go."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> NoReturn:  # noqa: ARG002  # Any: the base's
        raise urllib.error.URLError(f"the webhook answered with a redirect ({code})")


def _plain(wrong: BaseException) -> str:
    return " ".join(str(wrong).split())[:300]

"""Names of domains, as they may be used in folders, commands and pages."""

from __future__ import annotations

import re

from smartbackup_panel.core.errors import BadDomainName

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def is_domain_name(text: str) -> bool:
    """Return whether `text` is a lower-case ASCII name (A-label form; RFC 1035 lengths; underscores as panels allow them)."""
    return _NAME.fullmatch(text) is not None


def check_domain_name(text: str) -> str:
    """Return `text`, a domain's name; raises BadDomainName with what is wrong about it."""
    if is_domain_name(text):
        return text
    shown = repr(text if len(text) <= 80 else text[:80] + "…")
    if not text:
        raise BadDomainName("a domain name is empty")
    if "/" in text or ".." in text:
        raise BadDomainName(f"{shown} is no domain name: it contains a path")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise BadDomainName(f"{shown} is no domain name: it contains a control character")
    if text != text.lower():
        raise BadDomainName(f"{shown} is no domain name: write it in lower case")
    if not text.isascii():
        raise BadDomainName(f"{shown} is no domain name in ASCII: use its xn-- form")
    if len(text) > 253:
        raise BadDomainName(f"{shown} is no domain name: it is longer than 253 characters")
    raise BadDomainName(
        f"{shown} is no domain name: only letters, digits, dots and hyphens, labels of up to 63 characters"
    )


def from_display_name(text: str) -> str | None:
    """Return the A-label form of a name as people write it (bücher.example → xn--bcher-kva.example), or None."""
    if is_domain_name(text):
        return text
    try:
        encoded = ".".join(label.encode("idna").decode("ascii") for label in text.lower().split("."))
    except UnicodeError:
        return None
    return encoded if is_domain_name(encoded) else None

"""Paths of a site in addresses and forms: bytes of any kind as percent-encoded ASCII, and what a download is called."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

from flask import request, url_for

SLASH, ROOT = b"/", b""


def encode(path: bytes) -> str:
    """Return a path as a form's field holds it; slashes stay readable."""
    return quote(path, safe="/")


def decode(text: str) -> bytes:
    """Return the path of a form's field; whether it may be one is for the services to say."""
    return unquote_to_bytes(text)


def asked(name: str = "path") -> bytes:
    """Return a path of the present address; b"" where it names none.

    Read from the address itself: Flask would replace bytes that are no UTF-8.
    """
    for field in request.query_string.split(b"&"):
        key, _, value = field.partition(b"=")
        if key == name.encode():
            return unquote_to_bytes(value.replace(b"+", b" "))
    return b""


def folder_address(domain_id: str, point_id: str, path: bytes, after: bytes = b"") -> str:
    """Return the address of a folder in a restore point; `after` begins a further page of it."""
    page = url_for("smartbackup.browse", domain_id=domain_id, point_id=point_id)
    return f"{page}?path={encode(path)}" + (f"&after={quote(after, safe='')}" if after else "")


def history_address(domain_id: str, path: bytes) -> str:
    """Return the address of a path's history."""
    return f"{url_for('smartbackup.history', domain_id=domain_id)}?path={encode(path)}"


def differences_address(domain_id: str, older_id: str, newer_id: str, kind: str, after: bytes) -> str:
    """Return the address of a further page of what was added, changed or removed between two points."""
    page = url_for("smartbackup.compare", domain_id=domain_id, older=older_id, newer=newer_id)
    return f"{page}&after_{kind}={encode(after)}"


def shown(path: bytes) -> str:
    """Return a path as text; bytes that are no UTF-8 as surrogates, which `visible` spells out."""
    return os.fsdecode(path)


def crumbs(path: bytes) -> list[tuple[str, bytes]]:
    """Return the folders on the way to a path, from the top: (name, path)."""
    parts = path.split(b"/") if path else []
    return [(shown(name), b"/".join(parts[: number + 1])) for number, name in enumerate(parts)]


def download_name(name: bytes) -> str:
    """Return a file's name for a browser to save: nothing in it can end a header, lead elsewhere or hide its ending."""
    text = name.decode("utf-8", "backslashreplace")
    plain = "".join(letter if letter.isprintable() and letter not in '/\\"' else "_" for letter in text)
    return plain[-200:] or "download"

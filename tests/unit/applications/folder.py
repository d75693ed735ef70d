"""A domain's folder for the detection: the reader's protocol over a dict."""

from __future__ import annotations


class Folder:
    """Files by relative path; None stands for a file that may not be read (a link out, or no regular file)."""

    def __init__(self, files: dict[str, str | bytes | None]) -> None:
        self.files = {path.encode(): text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.bytes_read = 0

    def read(self, rel_path: bytes, limit_bytes: int) -> bytes | None:
        raw = self.files.get(rel_path)
        if raw is None or len(raw) > limit_bytes:
            return None
        self.bytes_read += len(raw)
        return raw

    def names(self, rel_path: bytes) -> list[bytes]:
        prefix = rel_path + b"/" if rel_path else b""
        below = {path[len(prefix) :].partition(b"/")[0] for path in self.files if path.startswith(prefix)}
        return sorted(below)

"""Names that others chose do nothing in a message but stand there."""

from __future__ import annotations

import pytest

from smartbackup_panel.core.quoting import quoted


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"index.php", "'index.php'"),
        ("Über uns.html".encode(), "'Über uns.html'"),
        (b"a\nb\tc", r"'a\nb\tc'"),
        (b"\x1b[31mred", r"'\x1b[31mred'"),
        ("gpj.\u202eexe".encode(), r"'gpj.\u202eexe'"),
        (b"latin \xe9", r"'latin \xe9'"),
        (b"x" * 201, "'" + "x" * 200 + "…'"),
        (b"", "''"),
    ],
)
def test_what_a_name_holds_is_spelled_out(name: bytes, shown: str) -> None:
    assert quoted(name) == shown

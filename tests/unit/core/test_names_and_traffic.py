"""Names of domains, and requests in access logs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smartbackup_panel.core.errors import BadDomainName
from smartbackup_panel.core.names import check_domain_name, from_display_name
from smartbackup_panel.core.traffic import count_requests, request_time

BAD_NAMES = [
    "",
    ".",
    "..",
    "../etc",
    "a/b",
    "a..b",
    "Shop.example",
    "shop.example\n",
    "shop example",
    "-shop.example",
    "shop-.example",
    "shop.example.",
    "bücher.example",
    "x;id",
    "$(id)",
    "a" * 64 + ".example",
    "a." * 127 + "example",
    "shop.example\x00",
]


@pytest.mark.parametrize(
    "name", ["shop.example.com", "xn--bcher-kva.example", "localhost", "_dmarc.example.com", "1.example"]
)
def test_names_of_domains_are_accepted(name: str) -> None:
    assert check_domain_name(name) == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_is_no_name_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(BadDomainName) as refused:
        check_domain_name(name)
    assert "domain name" in refused.value.message
    assert refused.value.exit_code == 2


def test_names_as_people_write_them_become_ascii() -> None:
    assert from_display_name("Bücher.example") == "xn--bcher-kva.example"
    assert from_display_name("a b") is None


def test_requests_of_both_formats_and_all_zones_are_counted_by_their_time() -> None:
    since = datetime(2026, 2, 1, 12, tzinfo=UTC)
    lines = [
        b'1.2.3.4 - - [01/Feb/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5\n',
        b'1.2.3.4 - - [01/Feb/2026:13:30:00 +0200] "GET / HTTP/1.1" 200 5 "-" "curl"\n',
        b'1.2.3.4 - - [01/Feb/2026:10:00:00 -0500] "GET /x HTTP/1.1" 404 5 "-" "Mozilla"\n',
        b"no request at all\n",
        b"[31/Foo/2026:12:00:00 +0000]\n",
        b"\x00\xff[\n",
    ]
    assert count_requests(lines, since) == 2
    assert request_time(lines[1]) == datetime(2026, 2, 1, 11, 30, tzinfo=UTC)

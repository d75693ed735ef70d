"""Pages about what is in restore points: folders, versions, comparisons, names, downloads."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote

import pytest
from flask import Flask

from smartbackup_panel.core.model import JobState
from smartbackup_panel.web.paths import download_name
from tests.support.fake_contents import NO_TEXT, STRANGE
from tests.support.fake_services import ALICE, BOB, BOBS, ROSA, SHOP, FakeServices, sample_services
from tests.support.pages import Visitor, host_app, visitor


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def app(services: FakeServices) -> Flask:
    return host_app(services)


@pytest.fixture
def point(services: FakeServices) -> str:
    return f"/domains/{SHOP}/points/{services.world.points[SHOP][0].id}"


def ask(somebody: Visitor, address: str, **form: object) -> str:
    """Send a form and return where it leads."""
    answer = somebody.post(address, form)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def finish(services: FakeServices, address: str) -> str:
    job_id = address.rpartition("/")[2]
    while not services.world.advance(job_id).state.has_ended:
        pass
    return job_id


def test_a_folder_lists_folders_first_links_to_versions_and_says_what_was_left_out(app: Flask, point: str) -> None:
    alice = visitor(app, ALICE)
    page = alice.get(f"{point}/files").text
    names = re.findall(r'<th scope="row">.*?<bdi>(.*?)</bdi>', page, re.DOTALL)
    assert names == ["wp-content", "cache.sock", "index.php", "latest", "readme.html", "wp-config.php"]
    assert f"{point}/files?path=wp-content" in page
    assert f"/domains/{SHOP}/history?path=index.php" in page
    assert "not in it: a socket, not a file" in page
    assert 'value="cache.sock"' not in page
    assert "0644" not in page
    assert "0644" in visitor(app, ROSA).get(f"{point}/files").text


@pytest.mark.parametrize("path", [STRANGE, NO_TEXT])
def test_names_of_any_bytes_are_shown_harmlessly_and_found_again(
    app: Flask, services: FakeServices, point: str, path: bytes
) -> None:
    alice = visitor(app, ALICE)
    page = alice.get(f"{point}/files?path=wp-content/uploads").text
    assert "<marquee>" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    field = quote(path, safe="/")
    assert f'value="{field}"' in page
    assert alice.get(f"/domains/{SHOP}/history?path={field}").status_code == 200
    job = finish(services, ask(alice, f"{point}/chosen", path=field, action="file"))
    assert services.world.jobs[job].params["paths"] == [path.decode("utf-8", "surrogateescape")]
    taken = alice.post(f"/downloads/{job}/file")
    assert taken.data == b"content"
    header = taken.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=\"[ -~]+\"; filename\*=UTF-8''[!-~]+", header)
    assert "\u202e" not in header and "%E2%80%AE" not in header


@pytest.mark.parametrize(
    "path",
    ["../", "%2e%2e%2f", "..%00", "/etc/passwd", "a/../../b", "%2e%2e/%2e%2e/etc/shadow", "x" * 10_240, "a%00b"],
)
@pytest.mark.parametrize("page", ["files", "history"])
def test_a_path_that_leads_out_is_refused(app: Flask, point: str, path: str, page: str) -> None:
    alice = visitor(app, ALICE)
    where = f"{point}/files" if page == "files" else f"/domains/{SHOP}/history"
    assert alice.get(f"{where}?path={path}").status_code == 400
    for action in ("zip", "restore"):
        assert alice.post(f"{point}/chosen", {"path": path, "action": action}).status_code == 400


@pytest.mark.parametrize("path", ["\\..\\..\\etc", "%c0%ae%c0%ae%c0%af", "-rf", "never.txt", "index.php/below", "%"])
def test_a_path_that_no_point_has_is_not_found(app: Flask, point: str, path: str) -> None:
    alice = visitor(app, ALICE)
    assert alice.get(f"{point}/files?path={path}").status_code == 404
    assert alice.get(f"/domains/{SHOP}/history?path={path}").status_code == 404


def test_chosen_paths_are_planned_and_kept_to(app: Flask, services: FakeServices, point: str) -> None:
    alice = visitor(app, ALICE)
    address = ask(alice, f"{point}/chosen", path=["index.php", "wp-content/uploads"], action="restore")
    params = services.world.jobs[address.rpartition("/")[2]].params
    assert address.startswith("/plans/")
    assert (params["paths"], params["files"], params["databases"], params["exact"]) == (
        ["index.php", "wp-content/uploads"],
        True,
        False,
        False,
    )


def test_a_damaged_point_offers_downloads_of_what_is_sound_and_no_restore(app: Flask, services: FakeServices) -> None:
    damaged = f"/domains/{SHOP}/points/{services.world.points[SHOP][4].id}"
    alice = visitor(app, ALICE)
    page = alice.get(f"{damaged}/files").text
    assert "This restore point is damaged" in page
    assert 'value="restore"' not in page
    assert "What is damaged is left out of a download and named." in page
    assert alice.post(f"{damaged}/chosen", {"path": "index.php", "action": "restore"}).status_code == 400
    assert "/downloads/" in ask(alice, f"{damaged}/chosen", path="index.php", action="zip")


def test_the_page_of_a_download_names_what_is_lost(app: Flask, services: FakeServices, point: str) -> None:
    alice = visitor(app, ALICE)
    address = ask(alice, f"{point}/chosen", path="wp-content", action="zip")
    job = finish(services, address)
    lost = {"lost_count": 3, "lost": ["wp-content/<b>.jpg", "wp-content/b.jpg"], "unlisted_count": 1_200}
    found = services.world.jobs[job]
    result = dict(found.result or {}) | lost
    services.world.jobs[job] = replace(found, state=JobState.PARTIAL, result=result)
    page = alice.get(address).text
    assert "3 files are damaged in the store and not in this download" in page
    assert "<bdi>wp-content/&lt;b&gt;.jpg</bdi>" in page
    assert "These are the first 2." in page
    assert "up to 1,200 paths may be missing" in page
    assert "Save it on this computer" in page


@pytest.mark.parametrize("form", [{"action": "zip"}, {"path": "index.php", "action": "exe"}, {"path": "index.php"}])
def test_choosing_nothing_or_an_unknown_kind_is_refused(
    app: Flask, services: FakeServices, point: str, form: dict[str, object]
) -> None:
    assert visitor(app, ALICE).post(f"{point}/chosen", form).status_code == 400
    assert services.world.asked == []


def test_a_download_is_taken_once_as_an_attachment_that_nothing_opens(
    app: Flask, services: FakeServices, point: str
) -> None:
    alice = visitor(app, ALICE)
    address = ask(alice, f"{point}/chosen", path="wp-config.php", action="file")
    job = finish(services, address)
    assert "Save it on this computer" in alice.get(address).text
    for method in ("GET", "HEAD"):
        assert alice.client.open(f"{address}/file", method=method).status_code == 405
    taken = alice.post(f"{address}/file")
    assert (taken.status_code, taken.data) == (200, b"content")
    assert taken.headers["Content-Type"] == "application/octet-stream"
    assert taken.headers["Content-Length"] == "7"
    assert taken.headers["X-Content-Type-Options"] == "nosniff"
    assert taken.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert taken.headers["Cache-Control"] == "no-store"
    assert (
        taken.headers["Content-Disposition"] == "attachment; filename=\"wp-config.php\"; filename*=UTF-8''wp-config.php"
    )
    assert alice.post(f"{address}/file").status_code == 410
    assert "no longer here" in alice.get(f"/downloads/{job}").text


def test_nobody_else_takes_a_download_not_even_an_admin(app: Flask, services: FakeServices, point: str) -> None:
    address = ask(visitor(app, ALICE), f"{point}/chosen", path="wp-config.php", action="file")
    finish(services, address)
    for login in (BOB, ROSA):
        somebody = visitor(app, login)
        assert somebody.post(f"{address}/file").status_code == 404, login
        assert somebody.get(address).status_code == 404, login
    logged_out = app.test_client().post(f"{address}/file", headers={"Origin": "http://localhost"})
    assert logged_out.status_code == 401
    assert services.world.taken == set()


def test_a_failed_download_says_why(app: Flask, services: FakeServices, point: str) -> None:
    from dataclasses import replace

    alice = visitor(app, ALICE)
    address = ask(alice, f"{point}/chosen", path="wp-config.php", action="file")
    job = finish(services, address)
    failed = replace(
        services.world.jobs[job], state=JobState.FAILED, error_message="the archive is damaged", result=None
    )
    services.world.jobs[job] = failed
    page = alice.get(address).text
    assert "the archive is damaged" in page
    assert "Save it" not in page


def test_changed_lines_are_shown_as_text(app: Flask, services: FakeServices) -> None:
    alice = visitor(app, ALICE)
    history = alice.get(f"/domains/{SHOP}/history?path=wp-config.php").text
    assert "Changed lines" in history
    older, newer = services.world.points[SHOP][1].id, services.world.points[SHOP][0].id
    address = ask(alice, f"/domains/{SHOP}/text-diff", older=older, newer=newer, path="wp-config.php")
    finish(services, address)
    page = alice.get(address).text
    assert "define(&#39;WP_DEBUG&#39;, true); // &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '<tr class="sb-diff-old"><td>2</td><td></td>' in page
    bobs = services.world.points[BOBS][0].id
    assert alice.post(f"/domains/{SHOP}/text-diff", {"older": bobs, "newer": newer, "path": "a"}).status_code == 404


def test_a_comparison_names_what_changed_went_and_came(app: Flask, services: FakeServices) -> None:
    alice = visitor(app, ALICE)
    page = alice.get(f"/domains/{SHOP}/compare").text
    assert "1,200 files changed, 1 file gone, 2 files new." in page
    assert "only its time, owner or rights" in page
    newest, before = (point.id for point in services.world.points[SHOP][:2])
    assert f'value="{before}" selected' in page.partition("to</span>")[0]
    assert f'value="{newest}" selected' in page.partition("to</span>")[2]
    following = f"/domains/{SHOP}/compare?older={before}&amp;newer={newest}&amp;after_changed=wp-config.php"
    assert f'<a href="{following}">Show the next ones</a>' in page
    page = alice.get(following.replace("&amp;", "&")).text
    assert "from <bdi>wp-config.php</bdi> on" in page
    assert "Show the next ones" not in page


def test_a_search_finds_what_is_gone_too(app: Flask) -> None:
    alice = visitor(app, ALICE)
    page = alice.get(f"/domains/{SHOP}/search?text=readme").text
    assert "1 file with" in page
    assert "gone; last in the restore point of" in page
    assert "No restore point has a file of that name." in alice.get(f"/domains/{SHOP}/search?text=nothing").text
    assert "&lt;script&gt;" in alice.get(f"/domains/{SHOP}/search?text=<script>").text


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        (b"index.php", "index.php"),
        (b"new\nline\r.txt", "new_line_.txt"),
        (b'"; filename=evil.exe', "__ filename=evil.exe".replace("__ ", "_; ")),
        (b"..\\..\\evil", ".._.._evil"),
        (b"\xff", "\\xff".replace("\\", "_")),
        ("\u202egpj.exe".encode(), "_gpj.exe"),
        ("Lämpe.JPG".encode(), "Lämpe.JPG"),
        (b"", "download"),
        (b"x" * 255, "x" * 200),
    ],
)
def test_a_downloads_name_cannot_hide_or_break_out(name: bytes, saved: str) -> None:
    assert download_name(name) == saved

"""What the pages say, to whom, and that nothing that a tenant wrote becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from smartbackup_panel.core.databases import TableDump
from smartbackup_panel.core.model import DomainState, JobKind, JobState, LogLine, Point
from smartbackup_panel.services.pages import DomainRow, NextRun
from tests.support.fake_services import (
    ALICE,
    BLOG,
    BOBS,
    CUSTOMER_ALICE,
    LOST,
    NEW,
    ROSA,
    SHOP,
    FakeServices,
    a_domain,
    a_report,
    sample_services,
)
from tests.support.pages import Visitor, host_app, visitor

HOSTILE = [
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "</title><script>alert(1)</script>",
    "safe\u202ecod.exe",
    "\x1b[31mred\x1b[0m",
    "a\r\nSet-Cookie: evil=1",
    "' autofocus onfocus='alert(1)",
    b"\xff\xfe".decode("utf-8", "surrogateescape"),
]


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def app(services: FakeServices) -> Flask:
    return host_app(services)


def visible_text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def walk_of(services: FakeServices, somebody: Visitor, domain_id: str) -> str:
    """Return every page of a domain's life, one after the other: overview, domain, choice, plan, restore, jobs."""
    point = services.world.points[domain_id][0]
    pages = [somebody.get(path).text for path in ("/", f"/domains/{domain_id}", "/jobs")]
    pages.append(somebody.get(f"/domains/{domain_id}/points/{point.id}/restore").text)
    plan = somebody.post(
        f"/domains/{domain_id}/points/{point.id}/plan", {"part": ["files", "databases"], "mode": "merge"}
    )
    pages += [somebody.get(plan.location).text for _ in range(4)]
    restore = somebody.post(f"{plan.location}/restore")
    pages += [somebody.get(restore.location).text for _ in range(8)]
    pages += [somebody.get(path).text for path in ("/", f"/domains/{domain_id}", "/jobs")]
    return "\n".join(pages)


def test_a_customer_reads_of_moments_and_never_of_kinds_of_archives(app: Flask, services: FakeServices) -> None:
    text = visible_text(walk_of(services, visitor(app, ALICE), SHOP)).lower()
    assert not [word for word in ("full", "incremental", "mixed", "differential") if re.search(rf"\b{word}\b", text)]
    assert "put my site back to" in text
    assert "moments you can go back to" in text


def test_an_admin_reads_the_strategy_and_why(app: Flask, services: FakeServices) -> None:
    text = visible_text(walk_of(services, visitor(app, ROSA), SHOP))
    assert "Incremental : medium size and activity: increments are small" in text
    assert "Monday to Saturday at 02:40 (incremental); every Sunday at 02:40 (full)" in text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("login", [ALICE, ROSA])
def test_nothing_that_a_tenant_wrote_becomes_markup(
    app: Flask, services: FakeServices, name: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = services.world
    domain = replace(world.domains[SHOP], display_name=name, root=name, application=name)
    world.domains[SHOP] = domain
    world.points[SHOP] = [_with_hostile_words(point, name) for point in world.points[SHOP]]
    failed = world.start(CUSTOMER_ALICE, JobKind.BACKUP, SHOP, {})
    world.jobs[failed.id] = replace(failed, state=JobState.FAILED, error_message=name, error_hint=name, error_code="x")
    result: dict[str, object] = {"names": {"added": [name]}, "lost": [name], "warnings": [name]}
    result["tables"] = [{"database": name, "table": name, "then": 1, "now": 2}]
    monkeypatch.setattr("tests.support.fake_services.PLAN_RESULT", {"added": 1, "replaced": 0} | result)
    somebody = visitor(app, login)
    page = walk_of(services, somebody, SHOP) + somebody.get(f"/jobs/{failed.id}").text
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "onfocus='alert" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    if name == "{{7*7}}":
        assert name in page
    assert "Traceback" not in page


def _with_hostile_words(point: Point, name: str) -> Point:
    skipped = ({"path": name, "reason": name},)
    dumps = tuple(replace(dump, database=name) for dump in point.databases)
    return replace(point, skipped=skipped, skipped_count=1, warnings=(name,), databases=dumps)


def test_a_log_line_of_a_tenant_is_one_line_without_control_characters(
    app: Flask, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = services.requests.backup(CUSTOMER_ALICE, SHOP)
    page = services.queries.job_page(CUSTOMER_ALICE, job.id)
    line = LogLine(job.created_at, "info", "read a\nerror: forged\x1b[2J")
    monkeypatch.setattr(type(services.queries), "job_page", lambda *_: replace(page, log=(line,)))
    assert "read a⟨U+000A⟩error: forged⟨U+001B⟩[2J" in visitor(app, ALICE).get(f"/jobs/{job.id}").text


def test_a_damaged_point_has_no_restore_button_and_says_why(app: Flask, services: FakeServices) -> None:
    damaged = services.world.points[SHOP][4]
    alice = visitor(app, ALICE)
    page = alice.get(f"/domains/{SHOP}").text
    row = page[page.index(f'id="point-{damaged.id}"') :].partition("</li>")[0]
    assert "This restore point is damaged, so it is not offered." in row
    assert f"{damaged.id}/restore" not in page
    assert "Choose another restore point" in alice.get(f"/domains/{SHOP}/points/{damaged.id}/restore").text
    refused = alice.post(f"/domains/{SHOP}/points/{damaged.id}/plan", {"part": "files", "mode": "merge"})
    assert refused.status_code == 400
    assert services.world.asked == []


def test_a_partial_point_lists_what_is_not_in_it(app: Flask) -> None:
    text = visible_text(visitor(app, ALICE).get(f"/domains/{SHOP}").text)
    assert "What is not in it (2)" in text
    assert "cache/object.sock a socket, not a file" in text
    assert "private/key.pem could not be read" in text


def test_a_site_without_a_point_says_when_its_first_one_starts(app: Flask) -> None:
    text = visible_text(visitor(app, ALICE).get(f"/domains/{NEW}").text)
    assert "No restore point yet The first one starts in 4 minutes (about 312 MB, 4,812 files)." in text


def test_a_missing_folder_says_that_its_points_are_kept(app: Flask) -> None:
    text = visible_text(visitor(app, ROSA).get(f"/domains/{LOST}").text)
    assert "The folder of this site is not there." in text
    assert "Its 17 restore points are kept; putting one back brings the folder back." in text


def test_a_deleted_domain_says_how_long_its_points_are_kept(app: Flask, services: FakeServices) -> None:
    services.world.domains[BLOG] = a_domain(BLOG, "blog.example", "alice", DomainState.DELETED)
    text = visible_text(visitor(app, ALICE).get(f"/domains/{BLOG}").text)
    assert "This domain was deleted. Its restore points are kept for 30 days after that." in text
    assert "Back up now" not in text


def test_choosing_nothing_is_refused(app: Flask, services: FakeServices) -> None:
    point = services.world.points[SHOP][0]
    answer = visitor(app, ALICE).post(f"/domains/{SHOP}/points/{point.id}/plan", {"mode": "merge"})
    assert answer.status_code == 400
    assert "nothing to put back" in answer.text
    assert services.world.asked == []


def test_only_the_database_is_put_back_when_only_that_was_chosen(app: Flask, services: FakeServices) -> None:
    point = services.world.points[SHOP][0]
    alice = visitor(app, ALICE)
    plan = alice.post(f"/domains/{SHOP}/points/{point.id}/plan", {"part": "databases", "mode": "merge"})
    job = services.world.jobs[plan.location.rpartition("/")[2]]
    assert job.params == {"point": point.id, "files": False, "databases": True, "exact": False}


def test_tables_are_listed_with_rows_and_size_and_ticked_ones_are_planned(app: Flask, services: FakeServices) -> None:
    point, alice = services.world.points[SHOP][0], visitor(app, ALICE)
    page = visible_text(alice.get(f"/domains/{SHOP}/points/{point.id}/restore").text)
    assert "wp_options 400 rows, 190 kB" in page
    form: dict[str, object] = {"mode": "merge", "table": ["0:wp_options", "0:wp_3"], "into": " shop_old "}
    plan = alice.post(f"/domains/{SHOP}/points/{point.id}/plan", form)
    job = services.world.jobs[plan.location.rpartition("/")[2]]
    assert (job.params["files"], job.params["databases"]) == (False, True)
    assert (job.params["tables"], job.params["into"]) == ({"shop_wp": ["wp_3", "wp_options"]}, "shop_old")


@pytest.mark.parametrize("box", ["1:wp_options", "0:nosuch", "wp_options", "-1:wp_options", "²:wp_options"])
def test_a_table_that_the_point_does_not_have_is_refused(app: Flask, services: FakeServices, box: str) -> None:
    point = services.world.points[SHOP][0]
    answer = visitor(app, ALICE).post(f"/domains/{SHOP}/points/{point.id}/plan", {"table": box})
    assert answer.status_code == 400
    assert services.world.asked == []


def test_a_hostile_table_name_becomes_no_markup(app: Flask, services: FakeServices) -> None:
    point = services.world.points[SHOP][0]
    hostile = replace(a_report(), tables=tuple(TableDump(name, 1, 1) for name in HOSTILE[:7]))
    dump = replace(point.databases[0], report=hostile.to_fields())
    services.world.points[SHOP][0] = replace(point, databases=(dump,))
    page = visitor(app, ALICE).get(f"/domains/{SHOP}/points/{point.id}/restore").text
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "onfocus='" not in page


def test_what_came_since_may_be_kept_by_a_box_that_is_not_ticked(app: Flask, services: FakeServices) -> None:
    plan, world = finished_plan(services, exact=False), services.world
    newer = [{"words": "2 comments", "can_be_kept": True}, {"words": "1 account", "can_be_kept": False}]
    sentence = "2 comments written since would be lost: “<b>Ben”"
    result = {**(world.jobs[plan].result or {}), "newer": newer, "lost": [sentence]}
    world.jobs[plan] = replace(world.jobs[plan], result=result)
    alice = visitor(app, ALICE)
    page = alice.get(f"/plans/{plan}").text
    assert "Keep what came since: 2 comments</strong>" in page
    assert '<input class="form-check-input" type="checkbox" name="keep_newer" value="1">' in page
    assert "lost: “&lt;b&gt;Ben”" in page
    restore = alice.post(f"/plans/{plan}/restore", {"keep_newer": "1"})
    assert world.jobs[restore.location.rpartition("/")[2]].params["keep_newer"] is True


def test_confirming_a_plan_twice_is_one_restore(app: Flask, services: FakeServices) -> None:
    plan = finished_plan(services, exact=False)
    alice = visitor(app, ALICE)
    first, second = alice.post(f"/plans/{plan}/restore"), alice.post(f"/plans/{plan}/restore")
    assert first.location == second.location
    assert services.world.asked.count(("restore", SHOP)) == 1


def test_an_exact_restore_asks_for_the_domains_name(app: Flask, services: FakeServices) -> None:
    plan = finished_plan(services, exact=True)
    alice = visitor(app, ALICE)
    page = visible_text(alice.get(f"/plans/{plan}").text)
    assert "Type shop.example.com to confirm that files are removed" in page
    assert "Put back 311 files and 12 tables, remove 4 files" in page
    assert alice.post(f"/plans/{plan}/restore", {"typed_name": "blog.example"}).status_code == 400
    assert alice.post(f"/plans/{plan}/restore", {"typed_name": " shop.example.com "}).status_code == 303


def finished_plan(services: FakeServices, *, exact: bool) -> str:
    point = services.world.points[SHOP][0]
    plan = services.requests.plan(CUSTOMER_ALICE, SHOP, point.id, files=True, databases=True, exact=exact)
    while not services.world.advance(plan.id).state.has_ended:
        pass
    return plan.id


def test_a_plan_without_room_has_no_confirm_button(
    app: Flask, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.support.fake_services.PLAN_RESULT",
        {"added": 5, "replaced": 0, "bytes": 9_000_000, "free_bytes": 2_000_000},
    )
    page = visitor(app, ALICE).get(f"/plans/{finished_plan(services, exact=False)}").text
    assert "7.0 MB more are needed" in page
    assert "Put back 5 files" not in page


def test_the_live_part_alone_is_sent_to_htmx_and_stops_asking_at_the_end(app: Flask, services: FakeServices) -> None:
    job = services.requests.backup(CUSTOMER_ALICE, SHOP)
    alice = visitor(app, ALICE)
    part = alice.get(f"/jobs/{job.id}", HX_Request="true").text
    assert part.lstrip().startswith('<div id="sb-live"')
    assert f'hx-get="/jobs/{job.id}?" hx-trigger="every 1s"' in part
    while not services.world.jobs[job.id].state.has_ended:
        part = alice.get(f"/jobs/{job.id}", HX_Request="true").text
    assert "hx-trigger" not in part


def test_without_script_a_running_page_reloads_itself(app: Flask, services: FakeServices) -> None:
    job = services.requests.backup(CUSTOMER_ALICE, SHOP)
    page = visitor(app, ALICE).get(f"/jobs/{job.id}").text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page


def test_a_plan_is_no_job_of_another_kind(app: Flask, services: FakeServices) -> None:
    job = services.requests.backup(CUSTOMER_ALICE, SHOP)
    assert visitor(app, ALICE).get(f"/plans/{job.id}").status_code == 404


def test_five_thousand_domains_are_shown_a_hundred_a_page(
    app: Flask, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = services.queries.dashboard(CUSTOMER_ALICE)
    rows = tuple(
        DomainRow(a_domain(f"{n:032x}", f"d{n}.example", "a"), True, None, NextRun(None, ""), None, None, 0, "")
        for n in range(5_000)
    )
    monkeypatch.setattr(type(services.queries), "dashboard", lambda *_: replace(board, rows=rows))
    rosa = visitor(app, ROSA)
    page = rosa.get("/?page=50&order=name&search=d").text
    assert page.count('sb-domain"') == 100
    assert "Page 50 of 50" in page
    assert "page=49&amp;search=d&amp;order=name" in page
    assert "Page 50 of 50" in rosa.get("/?page=999").text
    assert "Page 1 of 50" in rosa.get("/?page=x").text


def test_a_silent_worker_is_an_alarm_for_admins(
    app: Flask, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = services.queries.dashboard(CUSTOMER_ALICE)
    seen = services.world.clock() - timedelta(minutes=10)
    monkeypatch.setattr(type(services.queries), "dashboard", lambda *_: replace(board, worker_seen_at=seen))
    assert "The worker is not running" in visitor(app, ROSA).get("/").text
    assert "The worker is not running" not in visitor(app, ALICE).get("/").text


def test_an_admin_backs_up_what_is_ticked_and_nothing_else(app: Flask, services: FakeServices) -> None:
    rosa = visitor(app, ROSA)
    page = rosa.get("/").text
    assert page.count('form="sb-selection"') == 4, "one that is missing cannot be backed up"
    answer = rosa.post("/backup", {"domain": [SHOP, BLOG]})
    assert (answer.status_code, answer.location) == (303, "/jobs")
    started = [job for job in services.world.jobs.values() if job.kind is JobKind.BACKUP]
    assert sorted(str(job.domain_id) for job in started) == sorted([SHOP, BLOG])


def test_a_selection_with_another_customers_domain_does_nothing_at_all(app: Flask, services: FakeServices) -> None:
    alice = visitor(app, ALICE)
    before = dict(services.world.jobs)
    for chosen in ([SHOP, BOBS], [SHOP, "../etc"], [SHOP, "e" * 32]):
        assert alice.post("/backup", {"domain": chosen}).status_code == 404
    assert alice.post("/backup", {}).status_code == 400
    assert services.world.jobs == before


def test_the_figures_of_the_server_are_the_administrators(app: Flask) -> None:
    answer = visitor(app, ROSA).client.get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "smartbackup_domains 5.0" in answer.text
    assert visitor(app, ALICE).client.get("/metrics").status_code == 403

"""A domain's settings: each effect is shown before it is saved, and what cannot be used changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from smartbackup_panel.core.model import JobKind, Point
from smartbackup_panel.services.daily import daily_figures
from tests.support.fake_services import (
    ALICE,
    BLOG,
    CUSTOMER_ALICE,
    NEW,
    ROSA,
    SHOP,
    FakeServices,
    an_analysis,
    sample_services,
)
from tests.support.pages import Visitor, host_app, visitor

SETTINGS = f"/domains/{SHOP}/settings"
RULES = {"last": "5", "days": "0", "daily": "3", "weekly": "0", "monthly": "0", "yearly": "0", "floor": "3"}
FORMS = ("keep", "left-out", "rows", "schedule")


@pytest.fixture
def services() -> FakeServices:
    return sample_services()


@pytest.fixture
def app(services: FakeServices) -> Flask:
    return host_app(services)


@pytest.fixture
def rosa(app: Flask) -> Visitor:
    somebody = visitor(app, ROSA)
    somebody.get(SETTINGS)
    return somebody


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_numbers_are_shown_with_what_would_go_before_anything_is_saved(services: FakeServices, rosa: Visitor) -> None:
    text = words_of(rosa.get(f"{SETTINGS}?{'&'.join(f'{name}={value}' for name, value in RULES.items())}").text)
    assert "These 14 points would go, because no rule keeps them." in text
    assert "291 MB become free" in text
    assert "Keep by these rules: 14 points go tonight" in text
    assert services.policies.own_rules == {}


def test_what_the_button_said_is_what_is_saved(services: FakeServices, rosa: Visitor) -> None:
    answer = rosa.post(f"{SETTINGS}/keep", {**RULES, "going": "14", "action": "save"})
    assert (answer.status_code, answer.location) == (303, f"{SETTINGS}?saved=keep#keep")
    assert services.policies.own_rules[SHOP] == {"last": 5, "days": 0, "daily": 3, "weekly": 0, "monthly": 0}
    assert "The rules are saved." in rosa.get(answer.location).text


@pytest.mark.parametrize("going", ["13", "15", "", "all"])
def test_where_something_else_would_go_than_the_button_said_nothing_is_saved(
    services: FakeServices, rosa: Visitor, going: str
) -> None:
    answer = rosa.post(f"{SETTINGS}/keep", {**RULES, "going": going, "action": "save"})
    assert answer.status_code == 400
    assert "Something else would go now than the button said; nothing was changed." in answer.text
    assert "Keep by these rules: 14 points go tonight" in answer.text
    assert services.policies.own_rules == {}


@pytest.mark.parametrize(
    ("name", "value"), [("last", "-1"), ("days", "a lot"), ("floor", "0"), ("weekly", "10001"), ("daily", "³")]
)
def test_a_number_that_cannot_be_used_is_said_beside_its_field(
    services: FakeServices, rosa: Visitor, name: str, value: str
) -> None:
    answer = rosa.post(f"{SETTINGS}/keep", {**RULES, name: value, "going": "14", "action": "save"})
    assert answer.status_code == 400
    field = rosa.page[rosa.page.index(f'id="sb-rule-{name}"') :].partition("</div>")[0]
    assert 'aria-invalid="true"' in field
    assert f'id="sb-wrong-{name}"' in field
    assert "A whole number from" in field
    assert rosa.page.count("aria-invalid") == 1
    assert services.policies.own_rules == {}


def test_typing_asks_for_the_effect_alone(rosa: Visitor) -> None:
    part = rosa.get(f"{SETTINGS}?last=1&days=0&daily=0&weekly=0&monthly=0&floor=1", HX_Request="true").text
    assert part.lstrip().startswith("<div") and 'id="sb-keep-effect"' in part
    assert "<textarea" not in part
    assert "points go tonight</button>" in part


def test_rules_can_be_given_back_to_the_settings(services: FakeServices, rosa: Visitor) -> None:
    services.policies.own_rules[SHOP] = {"last": 2}
    assert "Keep by the settings of all domains again" in rosa.get(SETTINGS).text
    rosa.post(f"{SETTINGS}/keep", {"action": "settings"})
    assert services.policies.own_rules[SHOP] == {}


def test_patterns_are_weighed_before_they_are_saved(services: FakeServices, rosa: Visitor) -> None:
    form: dict[str, object] = {"profile": "safe", "patterns": "*.jpg\r\n\r\n/wp-content/empty/\r\n"}
    shown = rosa.post(f"{SETTINGS}/left-out", {**form, "action": "show"})
    assert shown.status_code == 200
    text = words_of(shown.text)
    assert "2 files (1.6 MB) of the 4,812 in the newest restore point would be left out." in text
    assert "From the next backup on, leave out 2 more files" in text
    assert services.policies.own_exclusions == {}
    saved = rosa.post(f"{SETTINGS}/left-out", {**form, "action": "save"})
    assert saved.status_code == 303
    assert services.policies.own_exclusions[SHOP] == {"patterns": ["*.jpg", "/wp-content/empty/"]}


def test_what_the_site_needs_is_said_before_it_is_left_out(rosa: Visitor) -> None:
    rosa.post(f"{SETTINGS}/left-out", {"profile": "safe", "patterns": "/wp-content/", "action": "show"})
    assert "The site needs what these patterns leave out: wp-content/uploads/" in words_of(rosa.page)


@pytest.mark.parametrize("action", ["show", "save"])
def test_a_bad_pattern_is_said_beside_the_field_with_its_line(
    services: FakeServices, rosa: Visitor, action: str
) -> None:
    form = {"profile": "safe", "patterns": "*.bak\n../secret\n<b>" + "*" * 9, "action": action}
    answer = rosa.post(f"{SETTINGS}/left-out", dict(form))
    assert answer.status_code == 400
    told = rosa.page[rosa.page.index('id="sb-wrong-patterns"') :].partition("</ul>")[0]
    assert "Line 2: the exclusion pattern '../secret' leads out of the domain's folder." in told
    assert "Line 3:" in told and "Line 1:" not in told
    assert "&lt;b&gt;" in answer.text and "<b>" not in answer.text
    assert services.policies.own_exclusions == {}


@pytest.mark.parametrize("form", [{"profile": "everything"}, {"profile": "safe", "patterns": "a\n" * 51}])
def test_no_profile_and_too_many_lines_change_nothing(
    services: FakeServices, rosa: Visitor, form: dict[str, object]
) -> None:
    assert rosa.post(f"{SETTINGS}/left-out", {**form, "action": "save"}).status_code == 400
    assert services.policies.own_exclusions == {}


def test_tables_without_rows_are_named_before_they_are_saved(services: FakeServices, rosa: Visitor) -> None:
    form: dict[str, object] = {"how_much": "all", "tables": "wp_1*\nno_such_table"}
    text = words_of(rosa.post(f"{SETTINGS}/rows", {**form, "action": "show"}).text)
    assert "2 tables keep no rows: 20 rows (2.0 kB) of the last dump would be left out." in text
    assert "No table of the last dump is called no_such_table" in text
    assert "leave out all that is made again and the rows of 2 tables" in text
    assert services.left_out.own == {}
    assert rosa.post(f"{SETTINGS}/rows", {**form, "action": "save"}).status_code == 303
    assert services.left_out.own[SHOP] == {"how_much": "all", "tables": ["wp_1*", "no_such_table"]}
    bad = rosa.post(f"{SETTINGS}/rows", {"how_much": "all", "tables": "a b", "action": "save"})
    assert bad.status_code == 400
    assert "Line 1: 'a b' is no pattern of table names." in words_of(rosa.page)
    assert services.left_out.own[SHOP]["tables"] == ["wp_1*", "no_such_table"]


def test_a_schedule_is_read_back_in_words_before_it_is_pinned(services: FakeServices, rosa: Visitor) -> None:
    form: dict[str, object] = {
        "expressions": "*/20 * * * *\n30 2 * * 0=full",
        "timezone": "Asia/Tokyo",
        "strategy": "full",
    }
    text = words_of(rosa.post(f"{SETTINGS}/schedule", {**form, "action": "show"}).text)
    assert "Every 20 minutes Sundays at 02:30 (full)" in text
    assert "This makes 72 restore points a day" in text
    assert "The next five runs, in Asia/Tokyo:" in text
    assert services.schedule_choice.pinned == {}
    assert rosa.post(f"{SETTINGS}/schedule", {**form, "action": "save"}).status_code == 303
    assert [line.cron for line in services.schedule_choice.pinned[SHOP].lines] == ["*/20 * * * *", "30 2 * * 0"]
    assert "Pinned by an administrator" in rosa.get(SETTINGS).text
    assert "Let its activity decide again" in rosa.page
    rosa.post(f"{SETTINGS}/schedule", {"action": "settings"})
    assert services.schedule_choice.pinned == {}
    assert services.world.asked[-1] == (JobKind.ANALYSE, SHOP)


@pytest.mark.parametrize(
    ("form", "field", "message"),
    [
        ({"expressions": "61 * * * *"}, "expressions", "'61 * * * *' is no cron expression of five fields"),
        ({"expressions": "0 0 31 2 *"}, "expressions", "'0 0 31 2 *' never comes"),
        ({"expressions": "0 3 * * *=weekly"}, "expressions", "'weekly' is no type of point"),
        ({"expressions": ""}, "expressions", "a schedule needs at least one cron expression"),
        ({"expressions": "0 3 * * *", "timezone": "Mars/Olympus"}, "timezone", "'Mars/Olympus' is no time zone"),
        ({"expressions": "0 3 * * *", "strategy": "yearly"}, "strategy", "'yearly' is no strategy"),
    ],
)
@pytest.mark.parametrize("action", ["show", "save"])
def test_a_schedule_that_cannot_be_used_is_said_beside_its_field(
    services: FakeServices, rosa: Visitor, form: dict[str, object], field: str, message: str, action: str
) -> None:
    assert rosa.post(f"{SETTINGS}/schedule", {**form, "action": action}).status_code == 400
    assert message in rosa.page[rosa.page.index(f'id="sb-wrong-{field}"') :].partition("</ul>")[0]
    assert services.schedule_choice.pinned == {}


def test_a_customer_reads_what_is_left_out_and_changes_nothing(app: Flask, services: FakeServices) -> None:
    first = {"path": "wp-content/cache", "files": 412, "bytes": 31_000_000}
    left_out: dict[str, object] = {"paths": 1, "files": 412, "bytes": 31_000_000, "is_complete": True, "first": [first]}
    services.world.points[SHOP][0] = replace(services.world.points[SHOP][0], left_out=left_out)
    services.policies.own_exclusions[SHOP] = {"profile": "full-list"}
    alice = visitor(app, ALICE)
    text = words_of(alice.get(SETTINGS).text)
    assert "412 files, 31 MB in the copy of" in text
    assert "The last 7, all of 7 days, one a day for 14 days" in text
    assert "61% of shop_wp (310 kB): wp_options" in text
    assert not re.search(r"\b(full|incremental|mixed|differential)\b", text.lower())
    main = alice.page.partition('id="sb-main"')[2]
    assert "<form" not in main
    for section in FORMS:
        answer = alice.post(f"{SETTINGS}/{section}", {**RULES, "going": "14", "action": "save"})
        assert answer.status_code == 403, section
    assert services.world.asked == []


@pytest.mark.parametrize("domain_id", [NEW, BLOG])
def test_a_domain_without_points_or_of_another_kind_has_the_page_too(rosa: Visitor, domain_id: str) -> None:
    assert rosa.get(f"/domains/{domain_id}/settings").status_code == 200
    answer = rosa.post(f"/domains/{domain_id}/settings/left-out", {"profile": "safe", "action": "show"})
    assert answer.status_code == 200


@pytest.mark.parametrize("login", [ALICE, ROSA])
def test_a_point_is_kept_for_ever_and_released_from_its_row(app: Flask, services: FakeServices, login: str) -> None:
    point, somebody = services.world.points[SHOP][3], visitor(app, login)
    for pinned, said, offered in (("yes", "kept for ever", "Release"), ("no", "Keep for ever", "Keep for ever")):
        somebody.get(f"/domains/{SHOP}")
        answer = somebody.post(f"/domains/{SHOP}/points/{point.id}/pin", {"pinned": pinned})
        assert (answer.status_code, answer.location) == (303, f"/domains/{SHOP}#point-{point.id}")
        assert services.world.points[SHOP][3].pinned is (pinned == "yes")
        row = row_of(somebody, point)
        assert said in row and offered in row
    assert services.world.asked == [("pin", point.id), ("unpin", point.id)]


def row_of(somebody: Visitor, point: Point) -> str:
    page = somebody.get(f"/domains/{SHOP}").text
    return words_of(page[page.index(f'id="point-{point.id}"') :].partition("</li>")[0])


def test_a_damaged_point_is_not_offered_to_be_kept(app: Flask, services: FakeServices) -> None:
    assert "Keep for ever" not in row_of(visitor(app, ALICE), services.world.points[SHOP][4])


def test_charts_have_their_figures_in_a_table_behind_them(app: Flask) -> None:
    alice = visitor(app, ALICE)
    text = words_of(alice.get(f"/domains/{SHOP}").text)
    assert "Storage Size of the site at most 312 MB" in text
    assert "Files changed in 24 hours at most 59" in text
    assert "Requests in 24 hours at most 8,420" in text
    assert text.count("Day by day") == 2
    assert alice.page.count('role="img" aria-label="Files changed in 24 hours') == 1
    assert "Storage" not in words_of(alice.get(f"/domains/{SHOP}", HX_Request="true").text)


def test_days_are_those_of_the_domains_zone_and_days_without_a_reading_say_so(services: FakeServices) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    late = replace(an_analysis(now), analysed_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC), file_changes=7)
    busier = replace(late, analysed_at=datetime(2026, 3, 2, 4, tzinfo=UTC), file_changes=9, size_bytes=5_000)
    points = services.queries.domain_page(CUSTOMER_ALICE, SHOP).points[:2]
    made = [
        replace(points[0], created_at=now - timedelta(days=1), archive_bytes=100, databases=()),
        replace(points[1], created_at=now - timedelta(days=90), archive_bytes=40, databases=()),
    ]
    days = daily_figures(made, [busier, late], now, "Europe/Berlin", days=3)
    assert [(row.day.day, row.file_changes, row.content_bytes) for row in days] == [
        (2, 9, 5_000),
        (3, None, None),
        (4, None, None),
    ]
    assert [(row.points, row.added_bytes, row.kept_bytes) for row in days] == [(0, 0, 40), (1, 100, 140), (0, 0, 140)]
    assert daily_figures([], [], now, "UTC") == ()

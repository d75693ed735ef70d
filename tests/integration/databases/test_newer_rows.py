"""What people wrote since a point is named before a restore, and comments and orders stay where that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from smartbackup_panel.core.databases import DumpReport, LoadPart
from smartbackup_panel.core.errors import RestoreFailed
from smartbackup_panel.core.newer_rows import kept_for, wordpress_prefixes, wordpress_questions
from tests.integration.databases.laravel_site import DOMAIN, add_laravel
from tests.integration.databases.shop_schema import SHOP, SINCE
from tests.integration.databases.tenant import Tenant
from tests.integration.databases.test_crashes import killed_at
from tests.support.installation import make_installation

KEPT = {
    "wp_posts": [(1, "Hello", 2), (2, "Tulip", 0), (3, "Order 3", 0), (5, "Order 5", 0), (6, "", 0)],
    "wp_postmeta": [(1, 3), (3, 5)],
    "wp_comments": [(1, "Ann"), (2, "Ben"), (4, "WooCommerce")],
    "wp_commentmeta": [(1, "four stars"), (2, "five stars"), (4, "note")],
    "wp_users": [(1, "ann")],
    "wp_woocommerce_order_items": [(1, "Tulip"), (2, "Rose"), (3, "Lily")],
    "wp_woocommerce_order_itemmeta": [(1, "red"), (2, "white"), (3, "blue")],
    "wp_wc_orders": [(3,), (5,), (6,)],
    "wp_wc_orders_meta": [(6, "gift")],
    "wp_wc_order_addresses": [(6, "Delft")],
    "wp_wc_order_stats": [(5,), (6,)],
}
COLUMNS = {
    "wp_posts": "ID, post_title, comment_count",
    "wp_postmeta": "meta_id, post_id",
    "wp_comments": "comment_ID, comment_author",
    "wp_commentmeta": "comment_id, meta_value",
    "wp_users": "ID, user_login",
    "wp_woocommerce_order_items": "order_item_id, order_item_name",
    "wp_woocommerce_order_itemmeta": "order_item_id, meta_value",
    "wp_wc_orders": "id",
    "wp_wc_orders_meta": "order_id, meta_value",
    "wp_wc_order_addresses": "order_id, city",
    "wp_wc_order_stats": "order_id",
}


def rows(tenant: Tenant) -> dict[str, Any]:
    return {table: list(tenant.sql(f"SELECT {columns} FROM {table} ORDER BY 1")) for table, columns in COLUMNS.items()}


def keeping(report: DumpReport) -> LoadPart:
    return LoadPart(keep=kept_for({table.name for table in report.tables}))


def test_comments_and_orders_that_came_since_stay_with_all_that_belongs_to_them(alice: Tenant) -> None:
    alice.sql(*SHOP)
    text, report = alice.dump()
    alice.sql(*SINCE)
    wreck = alice.facts()
    alice.adapter.load(alice.login, [text], "r", report, None, keeping(report))
    assert alice.facts() == wreck
    alice.adapter.swap(alice.login, "r")
    assert rows(alice) == KEPT
    alice.sql("INSERT INTO wp_users (user_login, user_registered) VALUES ('new', '2026-02-01')")
    assert list(alice.sql("SELECT ID FROM wp_users WHERE user_login = 'new'")) == [(3,)], "2 was somebody else"
    alice.adapter.undo(alice.login, "r")
    assert alice.facts() == wreck
    alice.adapter.discard(alice.login, "r")
    assert alice.reserved_tables() == []


def test_nothing_stays_where_nobody_asked(alice: Tenant) -> None:
    alice.sql(*SHOP)
    then = alice.facts()
    text, report = alice.dump()
    alice.sql(*SINCE)
    alice.restore(text, report)
    assert alice.facts() == then


def test_what_is_written_between_the_load_and_the_swap_stays_too(alice: Tenant) -> None:
    alice.sql(*SHOP)
    text, report = alice.dump()
    alice.adapter.load(alice.login, [text], "r", report, None, keeping(report))
    alice.sql(*SINCE)
    alice.adapter.swap(alice.login, "r")
    assert rows(alice) == KEPT


def test_only_the_comments_go_back_and_newer_ones_stay(alice: Tenant) -> None:
    alice.sql(*SHOP)
    text, report = alice.dump()
    alice.sql(*SINCE, "DELETE FROM wp_comments WHERE comment_ID = 1")
    chosen = LoadPart(frozenset({"wp_comments"}), keep=keeping(report).keep)
    alice.adapter.load(alice.login, [text], "r", report, None, chosen)
    alice.adapter.swap(alice.login, "r")
    assert rows(alice)["wp_comments"] == [(1, "Ann"), (2, "Ben"), (3, "Cid")]
    assert len(rows(alice)["wp_posts"]) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_date_gmt) VALUES (1, 'Eve', UTC_TIMESTAMP() + INTERVAL 1 HOUR)",
            "1 rows of wp_comments have numbers",
        ),
        ("UPDATE wp_postmeta SET meta_id = 1 WHERE post_id = 5", "1 rows of wp_postmeta have numbers"),
    ],
)
def test_rows_whose_numbers_the_point_uses_are_refused_with_the_reason(alice: Tenant, change: str, reason: str) -> None:
    alice.sql(*SHOP)
    text, report = alice.dump()
    alice.sql(*SINCE, "DELETE FROM wp_postmeta WHERE meta_id = 1", "DELETE FROM wp_comments")
    alice.sql("ALTER TABLE wp_comments AUTO_INCREMENT = 1", change)
    live = alice.facts()
    with pytest.raises(RestoreFailed, match=reason):
        alice.adapter.load(alice.login, [text], "r", report, None, keeping(report))
    assert alice.facts() == live
    assert alice.reserved_tables() == []


def test_a_killed_swap_that_keeps_rows_is_finished_by_the_next_call(alice: Tenant) -> None:
    alice.sql(*SHOP)
    text, report = alice.dump()
    alice.sql(*SINCE)
    step = 0
    while True:
        alice.adapter.load(alice.login, [text], "r", report, None, keeping(report))
        killed = killed_at(step, lambda: alice.adapter.swap(alice.login, "r"))
        alice.adapter.swap(alice.login, "r")
        assert rows(alice) == KEPT
        alice.adapter.undo(alice.login, "r")
        alice.adapter.discard(alice.login, "r")
        if not killed:
            break
        step += 3
    assert step > 20


def test_a_network_has_a_set_of_tables_for_each_site_and_other_applications_have_none() -> None:
    site = ("posts", "postmeta", "comments", "commentmeta", "options")
    tables = [*(f"wp_{name}" for name in site), *(f"wp_2_{name}" for name in site), "wp_users", "x_options", "x_posts"]
    assert wordpress_prefixes(tables) == ["wp_", "wp_2_"]
    assert {rule.table for rule in kept_for(tables)} == {
        f"wp_{number}{name}" for number in ("", "2_") for name in ("posts", "postmeta", "comments", "commentmeta")
    }
    assert {question.table for question in wordpress_questions(tables)} == {
        "wp_users", "wp_posts", "wp_comments", "wp_2_posts", "wp_2_comments",
    }  # fmt: skip
    assert wordpress_prefixes([f"x`; {name}" for name in site]) == []
    assert kept_for(["users", "posts", "options"]) == ()


def test_a_plan_names_what_is_newer_and_a_flag_keeps_it(alice: Tenant) -> None:
    alice.sql(*SHOP)
    with make_installation({"DATABASE_HOSTS": f"localhost:{alice.server.socket}"}) as installation:
        add_laravel(installation, "mysql", alice.login.name, alice.login.user, alice.login.password).back_up()
        alice.sql(*SINCE)
        restore = ("restore", DOMAIN, "--point", "latest", "--databases-only", "--yes")
        plan = installation.smartbackup(*restore, "--plan")["plan"]
        assert [sentence.partition(" (")[0] for sentence in plan["lost"]] == [
            "1 post or page written since would be lost: “Spring sale”",
            "1 comment written since would be lost: “Ben”",
            "1 comment on a newer post written since would be lost: “Cid”",
            "2 orders written since would be lost: “no. 5”",
            "1 account written since would be lost: “ben”",
        ]
        assert [(row["words"], row["can_be_kept"]) for row in plan["newer"]] == [
            ("1 post or page", False),
            ("1 comment", True),
            ("1 comment on a newer post", False),
            ("2 orders", True),
            ("1 account", False),
        ]
        plan = installation.smartbackup(*restore, "--plan", "--keep-newer")["plan"]
        assert [sentence.partition(":")[0] for sentence in plan["stays"]] == [
            "1 comment written since stays",
            "2 orders written since stay",
        ]
        installation.smartbackup(*restore, "--keep-newer")
        assert rows(alice) == KEPT
        installation.smartbackup("undo", DOMAIN)
        assert len(rows(alice)["wp_posts"]) == 6
        told = installation.smartbackup(*restore, "--keep-newer", "--into", "other", exit_code=2)
        assert "only where the site's own database" in told["error"]["message"]

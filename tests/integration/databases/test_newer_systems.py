"""What came since a restore point is named for Joomla, Drupal, PrestaShop, Magento and Laravel too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smartbackup_panel.core.databases import LoadPart
from smartbackup_panel.core.newer_systems import questions_for
from smartbackup_panel.services.newer_rows import ask_for_newer, counted
from tests.integration.databases.tenant import Tenant

SINCE = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
BEFORE, AFTER = "2026-03-04 11:30:00", "2026-03-04 12:30:00"
BEFORE_UNIX, AFTER_UNIX = (int(datetime.fromisoformat(f"{text}+00:00").timestamp()) for text in (BEFORE, AFTER))

JOOMLA = (
    *(f"CREATE TABLE j5_{name} (id INT PRIMARY KEY AUTO_INCREMENT)" for name in ("assets", "extensions", "menu_types")),
    "CREATE TABLE j5_content (id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, title VARCHAR(255), state TINYINT, created DATETIME NOT NULL)",
    "CREATE TABLE j5_users (id INT PRIMARY KEY AUTO_INCREMENT, username VARCHAR(150), registerDate DATETIME NOT NULL)",
    f"INSERT INTO j5_content (title, state, created) VALUES ('Old', 1, '{BEFORE}'), ('New', 1, '{AFTER}'), ('Bin', -2, '{AFTER}')",
    f"INSERT INTO j5_users (username, registerDate) VALUES ('ann', '{BEFORE}'), ('ben', '{AFTER}')",
)
DRUPAL = (
    "CREATE TABLE key_value (collection VARCHAR(128), name VARCHAR(128), value LONGBLOB, PRIMARY KEY (collection, name))",
    "CREATE TABLE node_field_data (nid INT, title VARCHAR(255), changed INT, default_langcode TINYINT)",
    "CREATE TABLE users_field_data (uid INT, name VARCHAR(60), created INT, default_langcode TINYINT)",
    "CREATE TABLE comment_field_data (cid INT, subject VARCHAR(64), created INT, default_langcode TINYINT)",
    f"INSERT INTO node_field_data VALUES (1, 'Old', {BEFORE_UNIX}, 1), (2, 'New', {AFTER_UNIX}, 1), (2, 'Neu', {AFTER_UNIX}, 0)",
    f"INSERT INTO users_field_data VALUES (0, '', {AFTER_UNIX}, 1), (1, 'ann', {BEFORE_UNIX}, 1), (2, 'ben', {AFTER_UNIX}, 1)",
    f"INSERT INTO comment_field_data VALUES (1, 'Nice', {AFTER_UNIX}, 1)",
)
PRESTASHOP = (
    "CREATE TABLE ps_shop (id_shop INT PRIMARY KEY)",
    "CREATE TABLE ps_configuration (id_configuration INT PRIMARY KEY, name VARCHAR(254), value TEXT)",
    "CREATE TABLE ps_orders (id_order INT PRIMARY KEY, date_add DATETIME NOT NULL)",
    "CREATE TABLE ps_customer (id_customer INT PRIMARY KEY, email VARCHAR(255), deleted TINYINT, date_add DATETIME NOT NULL)",
    "CREATE TABLE ps_customer_message (id_customer_message INT PRIMARY KEY, message MEDIUMTEXT, date_add DATETIME NOT NULL)",
    "INSERT INTO ps_configuration VALUES (1, 'PS_TIMEZONE', 'America/New_York')",
    "INSERT INTO ps_orders VALUES (1, '2026-03-04 06:30:00'), (2, '2026-03-04 07:30:00')",  # five hours behind
    "INSERT INTO ps_customer VALUES (1, 'ann@example.test', 0, '2026-03-04 07:30:00')",
)
MAGENTO = (
    "CREATE TABLE m_store_website (website_id INT PRIMARY KEY)",
    "CREATE TABLE m_sales_order (entity_id INT PRIMARY KEY, increment_id VARCHAR(50), created_at TIMESTAMP NULL)",
    "CREATE TABLE m_customer_entity (entity_id INT PRIMARY KEY, email VARCHAR(255), created_at TIMESTAMP NULL)",
    "CREATE TABLE m_review (review_id INT PRIMARY KEY, created_at TIMESTAMP NULL)",
    f"INSERT INTO m_sales_order VALUES (1, '000000001', '{BEFORE}'), (2, '000000002', '{AFTER}')",
)
LARAVEL = (
    "CREATE TABLE migrations (id INT PRIMARY KEY, migration VARCHAR(255), batch INT)",
    "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(255), created_at TIMESTAMP NULL)",
    "CREATE TABLE orders (id INT PRIMARY KEY, placed_at TIMESTAMP NULL)",
    f"INSERT INTO users VALUES (1, 'ann@example.test', '{BEFORE}'), (2, 'ben@example.test', '{AFTER}'), (3, 'old@example.test', NULL)",
)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (JOOMLA, {"1 article": "New", "1 account": "ben"}),
        (DRUPAL, {"1 page": "New", "1 comment": "Nice", "1 account": "ben"}),
        (PRESTASHOP, {"1 order": "no. 2", "1 account": "ann@example.test"}),
        (MAGENTO, {"1 order": "no. 000000002"}),
        (LARAVEL, {"1 account": "ben@example.test"}),
    ],
    ids=["joomla", "drupal", "prestashop", "magento", "laravel"],
)
def test_what_came_since_is_named(schema: tuple[str, ...], expected: dict[str, str], alice: Tenant) -> None:
    alice.sql("SET time_zone = '+00:00'", *schema)
    _, report = alice.dump()
    planned = alice.adapter.plan(alice.login, report)
    found, asked = ask_for_newer(alice.adapter, alice.login, planned, LoadPart(), SINCE)
    assert {counted(newer): newer.newest[0][0] for newer in found} == expected
    assert asked <= {table.name for table in planned}
    assert not any(newer.question.can_be_kept for newer in found)


def test_a_shop_that_says_no_known_time_zone_is_asked_in_utc(alice: Tenant) -> None:
    alice.sql(*PRESTASHOP, "UPDATE ps_configuration SET value = '../../etc/passwd'")
    _, report = alice.dump()
    planned = alice.adapter.plan(alice.login, report)
    assert ask_for_newer(alice.adapter, alice.login, planned, LoadPart(), SINCE)[0] == []


def test_tables_that_only_look_like_an_application_are_not_asked() -> None:
    assert questions_for(["users", "content", "orders"]) == ()
    assert questions_for([f"x`; {name}" for name in ("migrations", "users")]) == ()

"""What people wrote since a restore point into applications other than WordPress, which are known by their tables too. Pure.

Where the columns are: Joomla's `installation/sql/mysql`, Drupal's field storage (`*_field_data`, times as Unix seconds),
PrestaShop's `install-dev/data/db_structure.sql` (times of the shop's own time zone), Magento's `db_schema.xml`, Laravel's
first migrations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from smartbackup_panel.core.newer_rows import Question, is_plain, wordpress_questions

_ORDER, _ACCOUNT, _COMMENT = ("order", "orders"), ("account", "accounts"), ("comment", "comments")


@dataclass(frozen=True, slots=True)
class _System:
    """An application: the tables that tell it, without their prefix, the first one the rarest; and what to ask."""

    marks: tuple[str, ...]
    ask: Callable[[str], tuple[Question, ...]]


def _joomla(prefix: str) -> tuple[Question, ...]:
    return (
        Question("article", "articles", f"{prefix}content", "created", "title", "state >= 0"),
        Question(*_ACCOUNT, f"{prefix}users", "registerDate", "username", "TRUE"),
    )


def _drupal(prefix: str) -> tuple[Question, ...]:
    questions = (
        Question("page", "pages", f"{prefix}node_field_data", "changed", "title", "default_langcode = 1"),
        Question(*_COMMENT, f"{prefix}comment_field_data", "created", "subject", "default_langcode = 1"),
        Question(*_ACCOUNT, f"{prefix}users_field_data", "created", "name", "uid > 0 AND default_langcode = 1"),
        Question(*_ORDER, f"{prefix}commerce_order", "created", "CONCAT('no. ', order_id)", "cart = 0"),
    )
    return tuple(replace(question, is_unix_time=True) for question in questions)


def _prestashop(prefix: str) -> tuple[Question, ...]:
    zone = f"SELECT value FROM `{prefix}configuration` WHERE name = 'PS_TIMEZONE' LIMIT 1"  # noqa: S608  # is_plain
    questions = (
        Question(*_ORDER, f"{prefix}orders", "date_add", "CONCAT('no. ', id_order)", "TRUE"),
        Question(*_ACCOUNT, f"{prefix}customer", "date_add", "email", "deleted = 0"),
        Question("message", "messages", f"{prefix}customer_message", "date_add", "message", "TRUE"),
    )
    return tuple(replace(question, zone=zone) for question in questions)


def _magento(prefix: str) -> tuple[Question, ...]:
    return (
        Question(*_ORDER, f"{prefix}sales_order", "created_at", "CONCAT('no. ', increment_id)", "TRUE"),
        Question(*_ACCOUNT, f"{prefix}customer_entity", "created_at", "email", "TRUE"),
        Question("review", "reviews", f"{prefix}review", "created_at", "CONCAT('no. ', review_id)", "TRUE"),
    )


def _laravel(prefix: str) -> tuple[Question, ...]:
    return (
        Question(*_ACCOUNT, f"{prefix}users", "created_at", "email", "TRUE"),
        Question(*_ORDER, f"{prefix}orders", "created_at", "CONCAT('no. ', id)", "TRUE"),
        Question("post", "posts", f"{prefix}posts", "created_at", "CONCAT('no. ', id)", "TRUE"),
        Question(*_COMMENT, f"{prefix}comments", "created_at", "CONCAT('no. ', id)", "TRUE"),
    )


_SYSTEMS = (
    _System(("assets", "content", "extensions", "menu_types", "users"), _joomla),
    _System(("node_field_data", "users_field_data", "key_value"), _drupal),
    _System(("customer_message", "configuration", "orders", "customer", "shop"), _prestashop),
    _System(("sales_order", "customer_entity", "store_website"), _magento),
    _System(("migrations", "users"), _laravel),
)


def questions_for(tables: Collection[str]) -> tuple[Question, ...]:
    """Return what to ask a database that has these tables."""
    asked = list(wordpress_questions(tables))
    for system in _SYSTEMS:
        for prefix in _prefixes(system.marks, tables):
            asked += [question for question in system.ask(prefix) if question.table in tables]
    return tuple(asked)


def _prefixes(marks: tuple[str, ...], tables: Collection[str]) -> list[str]:
    stems = [name.removesuffix(marks[0]) for name in tables if name.endswith(marks[0])]
    return sorted(stem for stem in stems if is_plain(stem) and all(f"{stem}{mark}" in tables for mark in marks))

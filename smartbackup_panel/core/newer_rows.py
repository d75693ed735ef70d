"""What people wrote into a WordPress or a WooCommerce since a restore point, and what of it a restore can keep. Pure.

The application is known by its tables, so that it is known also where its files are wrecked. A network of sites has a set of
tables for each site.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_MARKS = ("posts", "postmeta", "comments", "commentmeta", "options")
_ORDER_TYPES = "post_type IN ('shop_order', 'shop_order_refund', 'shop_order_placehold')"
_NO_NOTE = "comment_type <> 'order_note'"


MOMENT = ":moment"


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows of a table were written after a moment: `date` is a column in UTC, `title` an SQL expression of our own.

    `condition` may name the moment as MOMENT. Where the column is of another time zone, `zone` is a query of our own for its
    name; with `is_unix_time` it holds seconds.
    """

    one: str
    many: str
    table: str
    date: str
    title: str
    condition: str
    can_be_kept: bool = False
    is_unix_time: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Newer:
    """What was found: how many rows, and the newest few as title and time (UTC, as the server writes it)."""

    question: Question
    count: int
    newest: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class KeptTable:
    """Rows of a table that came since and stay: those whose `key` is above every key of the point.

    A table with a `date` has rows of its own (`condition`); others hold rows that belong by `link` to kept rows of `parent`,
    whose key is `parent_key`. With `needs`, a row stays only where the row that it refers to by `link` is in the point, and
    `count_column` there is counted again. `after` is the highest key of the point, known once that is loaded.
    """

    table: str
    key: str
    condition: str = ""
    date: str = ""
    link: str = ""
    parent: str = ""
    parent_key: str = ""
    needs: bool = False
    count_column: str = ""
    counted: str = ""
    after: int = 0


def wordpress_prefixes(tables: Collection[str]) -> list[str]:
    """Return the prefix of each site whose tables are there; a network's first site comes first."""
    stems = [name.removesuffix("options") for name in tables if name.endswith("options")]
    return sorted(stem for stem in stems if is_plain(stem) and all(f"{stem}{mark}" in tables for mark in _MARKS))


def is_plain(prefix: str) -> bool:
    """Return whether a prefix may stand in SQL text: what WordPress itself allows."""
    return re.fullmatch(r"\w*", prefix, re.ASCII) is not None


def wordpress_questions(tables: Collection[str]) -> tuple[Question, ...]:
    """Return what to ask a database that has these tables, for each WordPress in it."""
    asked: list[Question] = []
    for prefix in wordpress_prefixes(tables):
        asked += _questions(prefix)
    return tuple(question for question in asked if question.table in tables)


def _questions(prefix: str) -> tuple[Question, ...]:
    written = "post_type IN ('post', 'page', 'product') AND post_status NOT IN ('auto-draft', 'trash', 'inherit')"
    newer_posts = f"(SELECT ID FROM `{prefix}posts` WHERE post_date_gmt > {MOMENT})"  # noqa: S608  # is_plain
    said = f"{_NO_NOTE} AND comment_approved NOT IN ('spam', 'trash') AND comment_post_ID"
    comments = (f"{prefix}comments", "comment_date_gmt", "comment_author")
    order = ("order", "orders")
    return (
        Question("post or page", "posts and pages", f"{prefix}posts", "post_modified_gmt", "post_title", written),
        Question("comment", "comments", *comments, f"{said} NOT IN {newer_posts}", True),
        Question("comment on a newer post", "comments on newer posts", *comments, f"{said} IN {newer_posts}"),
        Question(*order, f"{prefix}posts", "post_date_gmt", "CONCAT('no. ', ID)", "post_type = 'shop_order'", True),
        Question(*order, f"{prefix}wc_orders", "date_created_gmt", "CONCAT('no. ', id)", "type = 'shop_order'", True),
        Question("account", "accounts", f"{prefix}users", "user_registered", "user_login", "TRUE"),
    )


def kept_for(tables: Collection[str]) -> tuple[KeptTable, ...]:
    """Return what "keep what came since" keeps, parents before what belongs to them; nothing where WordPress is not known."""
    kept = []
    for prefix in wordpress_prefixes(tables):
        kept += [*_orders(prefix), *_comments(prefix)]
    return tuple(row for row in kept if row.table in tables and (not row.parent or row.parent in tables))


def never_used_again(tables: Collection[str]) -> tuple[str, ...]:
    """Return tables whose numbers kept rows refer to: a new account must not get the number of one that is gone."""
    return tuple(name for prefix in wordpress_prefixes(tables) if (name := f"{prefix}users") in tables)


def _comments(prefix: str) -> tuple[KeptTable, ...]:
    posts, comments = f"{prefix}posts", f"{prefix}comments"
    return (
        KeptTable(
            comments,
            "comment_ID",
            _NO_NOTE,
            "comment_date_gmt",
            "comment_post_ID",
            posts,
            "ID",
            needs=True,
            count_column="comment_count",
            counted="comment_approved = '1'",
        ),
        _of(f"{prefix}commentmeta", "meta_id", "comment_id", comments, "comment_ID"),
    )


def _orders(prefix: str) -> tuple[KeptTable, ...]:
    """Orders as posts, and as rows of their own tables; then a post of the same number holds their place."""
    posts, orders, items = f"{prefix}posts", f"{prefix}wc_orders", f"{prefix}woocommerce_order_items"
    own = ("wc_orders_meta", "wc_order_addresses", "wc_order_operational_data")
    by_order = ("wc_order_stats", "wc_order_product_lookup", "wc_order_tax_lookup", "wc_order_coupon_lookup")
    downloads = f"{prefix}woocommerce_downloadable_product_permissions"
    note = KeptTable(
        f"{prefix}comments", "comment_ID", "comment_type = 'order_note'", "", "comment_post_ID", posts, "ID"
    )
    return (
        KeptTable(posts, "ID", _ORDER_TYPES, "post_date_gmt"),
        _of(f"{prefix}postmeta", "meta_id", "post_id", posts, "ID"),
        note,
        _of(items, "order_item_id", "order_id", posts, "ID"),
        _of(f"{prefix}woocommerce_order_itemmeta", "meta_id", "order_item_id", items, "order_item_id"),
        _of(downloads, "permission_id", "order_id", posts, "ID"),
        KeptTable(orders, "id", "TRUE", "date_created_gmt"),
        *(_of(f"{prefix}{name}", "id", "order_id", orders, "id") for name in own),
        *(_of(f"{prefix}{name}", "order_id", "order_id", posts, "ID") for name in by_order),
    )


def _of(table: str, key: str, link: str, parent: str, parent_key: str) -> KeptTable:
    return KeptTable(table, key, link=link, parent=parent, parent_key=parent_key)

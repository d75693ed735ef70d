"""A WordPress with WooCommerce, as far as orders, comments and what belongs to them go, at one moment and after it."""

from __future__ import annotations

_ID = "BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
SHOP = (
    f"CREATE TABLE wp_posts (ID {_ID}, post_type VARCHAR(20) NOT NULL, post_status VARCHAR(20) NOT NULL DEFAULT 'publish', "
    "post_title TEXT NOT NULL, post_date_gmt DATETIME NOT NULL, post_modified_gmt DATETIME NOT NULL, comment_count BIGINT NOT NULL DEFAULT 0)",
    f"CREATE TABLE wp_postmeta (meta_id {_ID}, post_id BIGINT UNSIGNED NOT NULL, meta_key VARCHAR(255), meta_value LONGTEXT)",
    f"CREATE TABLE wp_comments (comment_ID {_ID}, comment_post_ID BIGINT UNSIGNED NOT NULL, comment_author TINYTEXT NOT NULL, "
    "comment_date_gmt DATETIME NOT NULL, comment_approved VARCHAR(20) NOT NULL DEFAULT '1', comment_type VARCHAR(20) NOT NULL DEFAULT 'comment')",
    f"CREATE TABLE wp_commentmeta (meta_id {_ID}, comment_id BIGINT UNSIGNED NOT NULL, meta_value LONGTEXT)",
    f"CREATE TABLE wp_options (option_id {_ID}, option_name VARCHAR(191) NOT NULL, option_value LONGTEXT NOT NULL)",
    f"CREATE TABLE wp_users (ID {_ID}, user_login VARCHAR(60) NOT NULL, user_registered DATETIME NOT NULL)",
    f"CREATE TABLE wp_woocommerce_order_items (order_item_id {_ID}, order_item_name TEXT NOT NULL, order_id BIGINT UNSIGNED NOT NULL)",
    f"CREATE TABLE wp_woocommerce_order_itemmeta (meta_id {_ID}, order_item_id BIGINT UNSIGNED NOT NULL, meta_value LONGTEXT)",
    "CREATE TABLE wp_wc_orders (id BIGINT UNSIGNED PRIMARY KEY, type VARCHAR(20), date_created_gmt DATETIME, total_amount DECIMAL(26, 8))",
    f"CREATE TABLE wp_wc_orders_meta (id {_ID}, order_id BIGINT UNSIGNED, meta_value TEXT)",
    f"CREATE TABLE wp_wc_order_addresses (id {_ID}, order_id BIGINT UNSIGNED NOT NULL, city TEXT)",
    "CREATE TABLE wp_wc_order_stats (order_id BIGINT UNSIGNED PRIMARY KEY, total_sales DOUBLE NOT NULL)",
    "INSERT INTO wp_posts (post_type, post_title, post_date_gmt, post_modified_gmt, comment_count) VALUES "
    "('post', 'Hello', '2026-01-01', '2026-01-01', 1), ('product', 'Tulip', '2026-01-02', '2026-01-02', 0), "
    "('shop_order', 'Order 3', '2026-01-03', '2026-01-03', 0)",
    "INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (3, '_total', '5')",
    "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_date_gmt) VALUES (1, 'Ann', '2026-01-05')",
    "INSERT INTO wp_commentmeta (comment_id, meta_value) VALUES (1, 'four stars')",
    "INSERT INTO wp_options (option_name, option_value) VALUES ('siteurl', 'https://shop.example')",
    "INSERT INTO wp_users (user_login, user_registered) VALUES ('ann', '2026-01-01')",
    "INSERT INTO wp_woocommerce_order_items (order_item_name, order_id) VALUES ('Tulip', 3)",
    "INSERT INTO wp_woocommerce_order_itemmeta (order_item_id, meta_value) VALUES (1, 'red')",
    "INSERT INTO wp_wc_orders VALUES (3, 'shop_order', '2026-01-03', 5)",
)
_LATER = "UTC_TIMESTAMP() + INTERVAL 1 HOUR"
SINCE = (
    "UPDATE wp_posts SET post_title = 'Hello, changed' WHERE ID = 1",
    "INSERT INTO wp_posts (post_type, post_title, post_date_gmt, post_modified_gmt) VALUES "
    f"('post', 'Spring sale', {_LATER}, {_LATER}), ('shop_order', 'Order 5', {_LATER}, {_LATER}), "
    f"('shop_order_placehold', '', {_LATER}, {_LATER})",
    "INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (4, '_edit', 'x'), (5, '_total', '9'), (3, '_paid', 'yes')",
    "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_date_gmt, comment_type) VALUES "
    f"(1, 'Ben', {_LATER}, 'comment'), (4, 'Cid', {_LATER}, 'comment'), (5, 'WooCommerce', {_LATER}, 'order_note')",
    "INSERT INTO wp_commentmeta (comment_id, meta_value) VALUES (2, 'five stars'), (3, 'of a post that goes'), (4, 'note')",
    f"INSERT INTO wp_users (user_login, user_registered) VALUES ('ben', {_LATER})",
    "INSERT INTO wp_woocommerce_order_items (order_item_name, order_id) VALUES ('Rose', 5), ('Lily', 6)",
    "INSERT INTO wp_woocommerce_order_itemmeta (order_item_id, meta_value) VALUES (2, 'white'), (3, 'blue')",
    f"INSERT INTO wp_wc_orders VALUES (5, 'shop_order', {_LATER}, 9), (6, 'shop_order', {_LATER}, 11)",
    "INSERT INTO wp_wc_orders_meta (order_id, meta_value) VALUES (6, 'gift')",
    "INSERT INTO wp_wc_order_addresses (order_id, city) VALUES (6, 'Delft')",
    "INSERT INTO wp_wc_order_stats VALUES (5, 9), (6, 11)",
)

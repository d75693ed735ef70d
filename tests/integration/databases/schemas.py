"""Schemas that real sites have, and names and values that they could have."""

from __future__ import annotations

LONG_NAME = "a_table_whose_name_has_exactly_sixty_four_characters_0123456789ab"[:64]
ODD_NAME = "odd\n-- `name`;\n\\! touch /tmp/x"

WORDPRESS = (
    "CREATE TABLE wp_posts (ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, post_author BIGINT UNSIGNED NOT NULL DEFAULT 0, "
    "post_date DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', post_content LONGTEXT NOT NULL, post_title TEXT NOT NULL, "
    "post_status VARCHAR(20) NOT NULL DEFAULT 'publish', PRIMARY KEY (ID), KEY type_status (post_status, post_date, ID)) "
    "COLLATE utf8mb4_unicode_520_ci",
    "CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    "option_name VARCHAR(191) NOT NULL DEFAULT '', option_value LONGTEXT NOT NULL, autoload VARCHAR(20) NOT NULL, "
    "UNIQUE KEY option_name (option_name), KEY autoload (autoload)) COLLATE utf8mb4_unicode_520_ci",
    "CREATE TABLE wp_comments (comment_ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    "comment_post_ID BIGINT UNSIGNED NOT NULL, comment_content TEXT NOT NULL, KEY post (comment_post_ID)) ENGINE=InnoDB",
    "INSERT INTO wp_posts (post_content, post_title) VALUES ('Hello, world!\\r\\n<!-- wp -->', 'It''s \\\\ \"quoted\"'), "
    "('Emoji 😀 and é', '); DROP TABLE wp_posts; --'), ('', 'empty')",
    "INSERT INTO wp_options (option_name, option_value, autoload) VALUES ('siteurl', 'https://alice.example', 'yes'), "
    "('_transient_feed', 'a:1:{i:0;s:3:\"x;y\";}', 'no')",
    "INSERT INTO wp_comments (comment_post_ID, comment_content) VALUES (1, 'First;\\n(2,3),\\n'), (1, 'Second `x`')",
)

RICH = (
    "CREATE TABLE parents (id INT PRIMARY KEY, name VARCHAR(50) UNIQUE)",
    "INSERT INTO parents VALUES (1, 'one'), (2, 'two')",
    "CREATE TABLE children (id INT PRIMARY KEY, parent INT, other INT, self INT, KEY (parent), KEY (other), KEY (self), "
    "CONSTRAINT zz_named FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE SET NULL, "
    "CONSTRAINT aa_named FOREIGN KEY (other) REFERENCES parents (id), FOREIGN KEY (self) REFERENCES children (id), "
    "CONSTRAINT positive CHECK (id > 0))",
    "INSERT INTO children VALUES (1, 1, 2, NULL), (2, 2, 2, 1)",
    "CREATE TABLE kinds (id INT PRIMARY KEY, b BLOB, v VARBINARY(9), bits BIT(11), g GEOMETRY, d DOUBLE, n DECIMAL(20, 5), "
    "j JSON, t TIMESTAMP(6) NULL, y YEAR, e ENUM('a''b', 'c,d'), s SET('x', 'y'), u UUID, i INET6, "
    "gen INT AS (id * 2) STORED, vir INT AS (id + 1) VIRTUAL, hid INT INVISIBLE DEFAULT 7) COMMENT 'a;\\nb'",
    "INSERT INTO kinds (id, b, v, bits, g, d, n, j, t, y, e, s, u, i) VALUES (1, x'00FF0A0D27225C1A', '', b'10000000001', "
    "POINT(1.5, -2), -1.7976931348623157e308, -12345.67890, '{\"k\": \"\\\\u00e9\"}', '2026-10-25 02:30:00.123456', 1999, "
    "'a''b', 'x,y', 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', '::1'), "
    "(2, NULL, NULL, NULL, NULL, 1e-300, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
    "(-3, '', 'abc', 0, NULL, 0, 1, '[]', '1970-01-01 00:00:01', 2000, 'c,d', '', NULL, NULL)",
    "CREATE TABLE latin (t VARCHAR(30) CHARACTER SET latin1) ENGINE=MyISAM",
    b"INSERT INTO latin VALUES ('caf\\u00e9 \\u20ac'), ('\\u00c3\\u00a9 twice')".decode("unicode_escape"),
    "CREATE TABLE zero (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, d DATE NOT NULL)",
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
    "INSERT INTO zero VALUES (0, '0000-00-00'), (41, '2026-02-00')",
    "CREATE TABLE parts (id INT NOT NULL, k INT NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id) "
    "(PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "INSERT INTO parts VALUES (1, 1), (11, 2)",
    f"CREATE TABLE {LONG_NAME} (id INT PRIMARY KEY, parent INT, KEY (parent), "
    "CONSTRAINT long_fk FOREIGN KEY (parent) REFERENCES parents (id))",
    f"INSERT INTO {LONG_NAME} VALUES (1, 1)",
    "CREATE TABLE `" + ODD_NAME.replace("`", "``") + "` (`co;\nl` INT COMMENT 'x\\ny;', `select` TEXT)",
    "INSERT INTO `" + ODD_NAME.replace("`", "``") + "` VALUES (1, '\\n\\\\! touch /tmp/x\\nsource y;\\nDELIMITER $$')",
    "CREATE TABLE nothing (id INT)",
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3",
    "SELECT NEXTVAL(numbers)",
    "CREATE VIEW z_names AS SELECT p.name, c.id FROM parents p JOIN children c ON c.parent = p.id",
    "CREATE VIEW a_names AS SELECT * FROM z_names",
    "CREATE TRIGGER children_check BEFORE INSERT ON children FOR EACH ROW BEGIN IF NEW.id = 99 THEN SET NEW.id = 100; "
    "END IF; -- ;;\n END",
    "CREATE TRIGGER `second ``one` AFTER UPDATE ON parents FOR EACH ROW SET @seen = 1",
    "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
    "CREATE PROCEDURE tidy() BEGIN DECLARE s TEXT DEFAULT ';; DELIMITER \\\\! $$ //'; SELECT s; END",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 03:00:00' DISABLE COMMENT 'it''s' DO SELECT 1",
)

UNUSUAL = (
    "CREATE TABLE u1 (id INT PRIMARY KEY, t TEXT, FULLTEXT KEY ft (t), p POINT NOT NULL, SPATIAL KEY sp (p))",
    "CREATE TABLE u2 (id INT, u UUID DEFAULT UUID(), d DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, "
    "e VARCHAR(20) DEFAULT CONCAT('a', \"b'\"), CHECK (e <> 'x;y'))",
    "CREATE TABLE u3 (id INT) ENGINE=Aria TRANSACTIONAL=1 PAGE_CHECKSUM=1",
    "CREATE TABLE u4 (id INT) ENGINE=MEMORY MAX_ROWS=100",
    "CREATE TABLE u5 (id INT, t TEXT COMPRESSED, b BLOB COMPRESSED=zlib) ROW_FORMAT=DYNAMIC",
    "CREATE TABLE u6 (id INT, s DATE, e DATE, PERIOD FOR pp (s, e), UNIQUE (id, pp WITHOUT OVERLAPS))",
    "CREATE TABLE u7 (id INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 MONTH "
    "(PARTITION p0 HISTORY, PARTITION pc CURRENT)",
    "CREATE TABLE u8 (id INT, k VARCHAR(5), PRIMARY KEY (id, k)) PARTITION BY LIST COLUMNS (k) "
    "(PARTITION a VALUES IN ('a', 'b)'), PARTITION b VALUES IN ('c') COMMENT = 'it''s')",
    "CREATE TABLE u9 (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (TO_DAYS(d)) SUBPARTITIONS 2 "
    "(PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE u10 (id INT NOT NULL) ENGINE=CSV",
    "CREATE SEQUENCE counter",
    "CREATE TABLE u11 (id INT DEFAULT NEXTVAL(counter))",
    "CREATE TABLE u12 (id INT, KEY (id DESC), KEY x (id) IGNORED) STATS_PERSISTENT=1 AVG_ROW_LENGTH=10 CHECKSUM=1 "
    "DELAY_KEY_WRITE=1 KEY_BLOCK_SIZE=8",
    "CREATE TABLE u13 (c CHAR(3) CHARACTER SET utf16 DEFAULT 'x', b BIT(3) DEFAULT b'101')",
    "CREATE TABLE u14 (a INT, b INT AS (CASE WHEN a > 1 THEN 'sel' ELSE 'x' END = 'sel') VIRTUAL, d JSON, "
    "c TEXT AS (JSON_EXTRACT(d, '$.a[0]')) STORED)",
    "CREATE TABLE u15 (g GEOMETRY, l LINESTRING, m MULTIPOLYGON, ts TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    "CREATE TABLE u16 (id INT PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT=500 ROW_FORMAT=COMPRESSED",
)

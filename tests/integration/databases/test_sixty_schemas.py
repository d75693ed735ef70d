"""T36: sixty schemas, each dumped, dropped and restored, with equal CHECKSUM TABLE and equal definitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.databases.schemas import UNUSUAL
from tests.integration.databases.tenant import Tenant, create_tenant, drop_tenant
from tests.support.mariadb import MariaDB

LONG = "n" * 64
VALUES: dict[str, tuple[str, str]] = {
    "tinyint": ("TINYINT UNSIGNED ZEROFILL", "0), (255"),
    "bigint": ("BIGINT UNSIGNED", "0), (18446744073709551615"),
    "bigint_signed": ("BIGINT", "-9223372036854775808), (9223372036854775807"),
    "decimal": ("DECIMAL(65, 30)", "-12345678901234567890123456789012345.123456789012345678901234567890"),
    "float": ("FLOAT", "3.40282e38), (-1.17549e-38), (0.1"),
    "double": ("DOUBLE", "1.7976931348623157e308), (2.2250738585072014e-308), (0.1"),
    "bit": ("BIT(64)", "b'1'), (b'1111111111111111111111111111111111111111111111111111111111111111'"),
    "boolean": ("BOOLEAN NOT NULL DEFAULT TRUE", "FALSE), (TRUE"),
    "char": ("CHAR(255)", "''), (' x '), (NULL"),
    "varchar": ("VARCHAR(16000)", "REPEAT('é', 16000)"),
    "emoji": ("VARCHAR(9) COLLATE utf8mb4_bin", "'😀👩‍👩‍👧'), ('\\u00e9'"),
    "tinytext": ("TINYTEXT", "'a\\0b\\Z\\b\\t'"),
    "longtext": ("LONGTEXT", "REPEAT('x;\\n', 400000)"),
    "binary": ("BINARY(5)", "x'00'), ('abcde'"),
    "varbinary": ("VARBINARY(300)", "x'000A0D1A22275C'), (''"),
    "blob": ("MEDIUMBLOB", "REPEAT(x'00FF275C0A', 200000)"),
    "latin1_twice": ("VARCHAR(50) CHARACTER SET latin1", "CONVERT(x'C383C2A9' USING latin1)"),
    "utf16": ("VARCHAR(50) CHARACTER SET utf16", "'é😀'"),
    "ucs2": ("VARCHAR(50) CHARACTER SET ucs2", "'é'"),
    "cp1251": ("VARCHAR(50) CHARACTER SET cp1251", "'привет'"),
    "sjis": ("VARCHAR(50) CHARACTER SET sjis", "'表示ソ'"),
    "gbk": ("VARCHAR(50) CHARACTER SET gbk", "'縗中'"),
    "big5": ("VARCHAR(50) CHARACTER SET big5", "'功許蓋'"),
    "date": ("DATE", "'0000-00-00'), ('2026-02-00'), ('9999-12-31'"),
    "datetime": ("DATETIME(6)", "'0000-00-00'), ('2026-03-29 02:30:00.123456'"),
    "timestamp": ("TIMESTAMP(3) NULL", "'2026-10-25 02:30:00.999'), ('1970-01-01 00:00:01'), (NULL"),
    "time": ("TIME(2)", "'-838:59:59'), ('12:00:00.25'"),
    "year": ("YEAR", "1901), (0), (2155"),
    "enum": ("ENUM('', 'a''b', 'c,d', 'é')", "''), ('a''b'), ('é'"),
    "set": ("SET('x', 'y;', 'z\\\\')", "'x,y;'), (''"),
    "json": ("JSON", '\'{"k": "\\\\u00e9", "n": [1, null]}\'), (\'[]\''),
    "uuid": ("UUID", "'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee'), (NULL"),
    "inet6": ("INET6", "'::1'), ('2001:db8::ff'"),
    "inet4": ("INET4", "'127.0.0.1'), ('255.255.255.255'"),
    "geometry": ("GEOMETRY", "POINT(1, 2)), (ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))', 4326)"),
    "point": ("POINT NOT NULL", "POINT(-1.5, 1e10)"),
}
EXTRA: dict[str, tuple[str, ...]] = {
    "zero_auto_increment": (
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY)",
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        "INSERT INTO t VALUES (0), (7)",
    ),
    "foreign_key_cycle": (
        "CREATE TABLE a (id INT PRIMARY KEY, b INT, KEY (b))",
        "CREATE TABLE b (id INT PRIMARY KEY, a INT, CONSTRAINT to_a FOREIGN KEY (a) REFERENCES a (id))",
        "ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b (id) ON DELETE SET NULL",
        "INSERT INTO a VALUES (1, NULL)",
        "INSERT INTO b VALUES (1, 1)",
        "UPDATE a SET b = 1",
    ),
    "emoji_names": ("CREATE TABLE `tablé` (`größe 縗` INT, KEY `ключ` (`größe 縗`))", "INSERT INTO `tablé` VALUES (1)"),
    "longest_names": (
        f"CREATE TABLE {LONG} ({LONG} INT, KEY {LONG} ({LONG}), CONSTRAINT {LONG} CHECK ({LONG} > 0))",
        f"INSERT INTO {LONG} VALUES (1)",
    ),
    "computed_columns": (
        "CREATE TABLE t (a INT, b INT AS (a * 2) STORED, c VARCHAR(20) AS (CONCAT('x;', a)) VIRTUAL, d INT INVISIBLE DEFAULT 3)",
        "INSERT INTO t (a, d) VALUES (1, 9), (NULL, NULL)",
    ),
    "programs": (
        "CREATE TABLE t (a INT)",
        "CREATE VIEW v AS SELECT a, 'x;' AS b FROM t",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1",
        "CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC RETURN x",
        "CREATE PROCEDURE p() BEGIN SELECT ';;'; END",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DISABLE DO DELETE FROM t",
        "INSERT INTO t VALUES (1)",
    ),
    "many_rows": (
        "CREATE TABLE t (a INT PRIMARY KEY, b CHAR(40))",
        "INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_60000",
    ),
}
SCHEMAS: dict[str, tuple[str, ...]] = {
    **{f"type_{n}": (f"CREATE TABLE t (v {kind})", f"INSERT INTO t VALUES ({v})") for n, (kind, v) in VALUES.items()},
    **EXTRA,
    **{f"unusual_{number}": tuple(UNUSUAL[number : number + 1]) for number in range(10)},
    **{f"unusual_{number}": tuple(UNUSUAL[number : number + 1]) for number in range(12, 17)},
    "unusual_sequences": tuple(UNUSUAL[10:12]),
    "only_a_view": ("CREATE VIEW v AS SELECT 1 AS one",),
}


@pytest.fixture(scope="module")
def tenant(mariadb_server: MariaDB) -> Iterator[Tenant]:
    made = create_tenant(mariadb_server, "sixty")
    yield made
    drop_tenant(made)


def drop_everything(tenant: Tenant) -> None:
    tenant.sql("SET SESSION foreign_key_checks = 0")
    queries = {
        "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
        "VIEW": "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()",
        "TABLE": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'VIEW'",
        "FUNCTION": "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() "
        "AND ROUTINE_TYPE = 'FUNCTION'",
        "PROCEDURE": "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() "
        "AND ROUTINE_TYPE = 'PROCEDURE'",
    }
    for kind, query in queries.items():
        for (name,) in tenant.sql(query):
            tenant.sql(f"DROP {kind} IF EXISTS `{name.replace('`', '``')}`")


def wreck(tenant: Tenant, schema: str) -> None:
    """A sequence that a table's default names has to be there while that table is loaded."""
    if schema == "unusual_sequences":
        tenant.sql("DROP TABLE u11")
    else:
        drop_everything(tenant)


def test_there_are_sixty() -> None:
    assert len(SCHEMAS) == 60


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_equals_its_moment_after_a_restore(tenant: Tenant, schema: str) -> None:
    tenant.sql("SET SESSION sql_mode = ''", *SCHEMAS[schema])
    try:
        before = tenant.facts()
        assert before
        text, report = tenant.dump()
        assert (report.missing, [w for w in report.warnings if "would refuse" in w]) == ((), [])
        wreck(tenant, schema)
        tenant.restore(text, report, f"restore-{schema}")
        assert tenant.facts() == before
        tenant.adapter.discard(tenant.login, f"restore-{schema}")
        assert tenant.reserved_tables() == []
    finally:
        drop_everything(tenant)

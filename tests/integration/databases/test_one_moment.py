"""Dumps while a site writes: transactional tables are of one moment, others are named, and the writer hardly waits."""

from __future__ import annotations

import re
import threading
import time

from tests.integration.databases.tenant import Tenant

LONGEST_WAIT_SECONDS = 5.0
SCHEMA = (
    "CREATE TABLE a_first (n INT)",
    "CREATE TABLE m_middle (n INT) ENGINE=MyISAM",
    "CREATE TABLE z_last (n INT)",
    "CREATE TABLE filler (id INT PRIMARY KEY, t TEXT)",
    "INSERT INTO a_first VALUES (0)",
    "INSERT INTO m_middle VALUES (0)",
    "INSERT INTO z_last VALUES (0)",
    "INSERT INTO filler SELECT seq, REPEAT('x', 500) FROM seq_1_to_5000",
)


def test_counters_written_together_are_equal_in_ten_dumps_or_the_point_says_that_they_may_not_be(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        login = alice.login
        with alice.server.connect(login.user, login.password, login.name) as site, site.cursor() as cursor:
            while not stop.is_set():
                began = time.monotonic()
                cursor.execute("BEGIN")
                for table in ("a_first", "m_middle", "z_last"):
                    cursor.execute(f"UPDATE {table} SET n = n + 1")
                cursor.execute("COMMIT")
                waits.append(time.monotonic() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        dumps = [alice.dump() for _ in range(10)]
    finally:
        stop.set()
        writer.join()
    for text, report in dumps:
        first, last = (
            re.search(rb"INSERT INTO `%s` VALUES\s*\((\d+)\)" % name, text) for name in (b"a_first", b"z_last")
        )
        assert first is not None
        assert last is not None
        assert first[1] == last[1]
        assert report.consistent is False
        assert report.warnings == ("Not of one moment, because their engines know no transactions: m_middle.",)
    assert max(waits) < LONGEST_WAIT_SECONDS
    alice.restore(*dumps[-1])
    assert alice.sql("SELECT a.n - z.n FROM a_first a, z_last z") == [(0,)]

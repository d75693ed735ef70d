"""Killed at any statement, a restore leaves the old tables or the new ones, and the next call goes on from there."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartbackup_panel.adapters.databases.connection import Session
from smartbackup_panel.core.databases import RestoreState
from smartbackup_panel.core.errors import Cancelled, LoadFailed, RestoreFailed
from tests.integration.databases.schemas import WORDPRESS
from tests.integration.databases.tenant import Tenant, create_tenant, in_chunks
from tests.support.mariadb import start_mariadb

SCHEMA = (
    *WORDPRESS,
    "CREATE TABLE orders (id INT PRIMARY KEY, parent INT, KEY (parent), "
    "CONSTRAINT order_parent FOREIGN KEY (parent) REFERENCES orders (id))",
    "CREATE TRIGGER on_order BEFORE INSERT ON orders FOR EACH ROW SET @seen = 1",
    "CREATE VIEW titles AS SELECT post_title FROM wp_posts",
    "CREATE PROCEDURE tidy() SELECT 1",
)
WRECK = (
    "INSERT INTO orders VALUES (5, NULL)",
    "DROP TABLE wp_comments",
    "DROP VIEW titles",
    "CREATE VIEW titles AS SELECT 1 AS one",
    "DROP PROCEDURE tidy",
    "CREATE PROCEDURE tidy() SELECT 2",
    "CREATE TABLE later (id INT)",
)


IS_LONG = bool(os.environ.get("SMARTBACKUP_LONG"))
STRIDE = 1 if IS_LONG else 2
"""Finishing is tried after every even statement and taking back after every odd one; the long run does both everywhere."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that kills itself before its statement number `step`; True when it was killed."""
    child = os.fork()
    if child == 0:
        remaining = iter(range(step))

        def deadly(method: Callable[..., Any]) -> Callable[..., Any]:
            def call(self: Session, *arguments: Any) -> Any:
                if next(remaining, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return method(self, *arguments)

            return call

        Session.run = deadly(Session.run)  # type: ignore[method-assign]  # only in the child
        Session.send = deadly(Session.send)  # type: ignore[method-assign]  # only in the child
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_swap_killed_at_any_statement_is_finished_by_the_next_call(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    then = alice.facts()
    text, report = alice.dump()
    alice.sql(*WRECK)
    wreck = alice.facts()
    steps = 0
    while True:
        alice.adapter.load(alice.login, [text], "r", report)
        killed = killed_at(steps, lambda: alice.adapter.swap(alice.login, "r"))
        assert tables(alice) in (tables_of(then), tables_of(wreck))
        alice.adapter.swap(alice.login, "r")
        assert alice.facts() == then
        alice.adapter.undo(alice.login, "r")
        assert alice.facts() == wreck
        alice.adapter.discard(alice.login, "r")
        assert alice.reserved_tables() == []
        if not killed:
            break
        steps += STRIDE
    assert steps >= 12


def test_a_swap_killed_at_any_statement_can_be_taken_back(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    text, report = alice.dump()
    alice.sql(*WRECK)
    wreck = alice.facts()
    steps = 2 if IS_LONG else 3
    while True:
        alice.adapter.load(alice.login, [text], "r", report)
        killed = killed_at(steps, lambda: alice.adapter.swap(alice.login, "r"))
        state = alice.adapter.state_of(alice.login, "r")
        if state is RestoreState.SWAPPING:
            with pytest.raises(RestoreFailed, match="stopped half-way"):
                alice.adapter.discard(alice.login, "r")
        if state is not RestoreState.LOADED:
            alice.adapter.undo(alice.login, "r")
        assert alice.facts() == wreck
        alice.adapter.discard(alice.login, "r")
        if not killed:
            break
        steps += STRIDE


def test_an_undo_killed_at_any_statement_is_finished_by_the_next_call(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    then = alice.facts()
    text, report = alice.dump()
    alice.sql(*WRECK)
    wreck = alice.facts()
    alice.adapter.load(alice.login, [text], "r", report)
    steps = 1
    while True:
        alice.adapter.swap(alice.login, "r")
        killed = killed_at(steps, lambda: alice.adapter.undo(alice.login, "r"))
        assert tables(alice) in (tables_of(then), tables_of(wreck))
        if alice.adapter.state_of(alice.login, "r") is not RestoreState.LOADED:
            alice.adapter.undo(alice.login, "r")
        assert alice.facts() == wreck
        if not killed:
            break
        steps += STRIDE
    assert steps >= 12


def test_a_killed_load_leaves_the_live_tables_and_is_cleaned_by_discard(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    text, report = alice.dump()
    live = alice.facts()
    for step in range(11):
        assert killed_at(step, lambda: alice.adapter.load(alice.login, in_chunks(text), "r", report))
        assert alice.facts() == live
        assert alice.adapter.state_of(alice.login, "r") in (RestoreState.NONE, RestoreState.LOADING)
        alice.adapter.discard(alice.login, "r")
        assert alice.reserved_tables() == []
        assert alice.adapter.state_of(alice.login, "r") is RestoreState.NONE


def test_a_load_killed_before_goes_well_the_second_time(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    then = alice.facts()
    text, report = alice.dump()
    assert killed_at(8, lambda: alice.adapter.load(alice.login, in_chunks(text), "r", report))
    alice.sql(*WRECK)
    alice.restore(text, report, "r")
    assert alice.facts() == then


def test_a_cancelled_or_truncated_load_leaves_no_trace(alice: Tenant) -> None:
    alice.sql(*SCHEMA)
    text, report = alice.dump()
    live = alice.facts()

    def cancel(done: int) -> None:
        if done > 6_000:
            raise Cancelled("Cancelled by Rosa.")

    with pytest.raises(Cancelled):
        alice.adapter.load(alice.login, in_chunks(text), "r", report, cancel)
    assert (alice.facts(), alice.reserved_tables()) == (live, [])
    for length in range(200, len(text) - 800, 977):
        with pytest.raises(LoadFailed):
            alice.adapter.load(alice.login, in_chunks(text[:length]), "r", report)
        assert alice.reserved_tables() == []
    assert alice.facts() == live


def test_a_server_killed_during_a_load_is_cleaned_up_after_its_start() -> None:
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        with start_mariadb(Path(folder)) as server:
            alice = create_tenant(server, "alice")
            alice.sql(*SCHEMA)
            then = alice.facts()
            text, report = alice.dump()

            def kill(done: int) -> None:
                if done > 4_000:
                    server.process.kill()
                    server.process.wait()

            with pytest.raises(LoadFailed, match="stopped the work"):
                alice.adapter.load(alice.login, in_chunks(text), "r", report, kill)
        with start_mariadb(Path(folder)) as again:
            alice = replace(
                alice, server=again, connection=again.connect(alice.login.user, alice.login.password, alice.login.name)
            )
            assert alice.adapter.state_of(alice.login, "r") is RestoreState.LOADING
            assert alice.facts() == then
            alice.adapter.discard(alice.login, "r")
            assert alice.reserved_tables() == []


def test_a_table_in_use_makes_the_swap_fail_and_changes_nothing(alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alice.sql(*SCHEMA)
    text, report = alice.dump()
    live = alice.facts()
    alice.adapter.load(alice.login, [text], "r", report)
    monkeypatch.setattr(
        "smartbackup_panel.adapters.databases.connection.SESSION_SETTINGS", "SET SESSION lock_wait_timeout = 1"
    )
    alice.sql("BEGIN", "SELECT COUNT(*) FROM wp_posts")
    with pytest.raises(RestoreFailed, match="could not be put in place: Lock wait timeout"):
        alice.adapter.swap(alice.login, "r")
    alice.sql("COMMIT")
    assert alice.facts() == live
    assert alice.adapter.state_of(alice.login, "r") is RestoreState.LOADED


def tables(tenant: Tenant) -> dict[str, Any]:
    return tables_of(tenant.facts())


def tables_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Names and contents of base tables; the names of foreign keys change for the moment of a swap."""
    return {name: fact[1] for name, fact in facts.items() if name.startswith("BASE TABLE")}

"""The state database: made, migrated, private, and the same whether migrated or made from the tables."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from smartbackup_panel.adapters.db import state as state_module
from smartbackup_panel.adapters.db.state import HEAD, open_state
from smartbackup_panel.adapters.db.tables import metadata
from smartbackup_panel.core.errors import StateUnavailable

VERSIONS = Path(state_module.__file__).parent / "migrations" / "versions"


def test_the_migrations_give_exactly_the_tables(tmp_path: Path) -> None:
    state = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    with state.read() as tx:
        context = MigrationContext.configure(tx, opts={"version_table": "smartbackup_alembic", "compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_that_is_expected() -> None:
    assert max(re.match(r"\d{4}", path.name)[0] for path in VERSIONS.glob("0*.py")) == HEAD  # type: ignore[index]  # each name begins so


def test_ten_starters_at_once_make_one_state(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            open_state(f"sqlite:///{tmp_path}/state.sqlite").close()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test names it
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_state_is_private_and_durable(tmp_path: Path) -> None:
    state = open_state(f"sqlite:///{tmp_path}/deep/state.sqlite")
    assert (tmp_path / "deep" / "state.sqlite").stat().st_mode & 0o777 == 0o600
    with state.read() as tx:
        assert tx.execute(text("PRAGMA synchronous")).scalar() == 2
        assert tx.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_state_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.sqlite"
    state = open_state(url)
    with state.write() as tx:
        tx.execute(text("UPDATE smartbackup_alembic SET version_num = '9999'"))
    state.close()
    before = (tmp_path / "state.sqlite").read_bytes()
    with pytest.raises(StateUnavailable, match="9999"):
        open_state(url)
    assert (tmp_path / "state.sqlite").read_bytes() == before


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StateUnavailable, match="cannot be opened"):
        open_state(f"sqlite:///{tmp_path}/state.sqlite")

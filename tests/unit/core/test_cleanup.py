"""What was begun is taken back where it does not come to its end, and only there."""

from __future__ import annotations

import pytest

from smartbackup_panel.core.cleanup import on_failure


@pytest.mark.parametrize("stopped_by", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_stops_the_block_it_is_taken_back_and_goes_on(stopped_by: type[BaseException]) -> None:
    undone: list[str] = []
    with pytest.raises(stopped_by), on_failure(lambda: undone.append("undone")):
        raise stopped_by
    assert undone == ["undone"]


def test_what_comes_to_its_end_stays() -> None:
    undone: list[str] = []

    def work() -> int:
        with on_failure(lambda: undone.append("undone")):
            return 3

    assert (work(), undone) == (3, [])

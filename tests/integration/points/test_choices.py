"""What people chose for a domain outlives the state: it lies signed beside the archives and comes back with a rebuild."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smartbackup_panel.adapters.db import points, policies, schedules
from smartbackup_panel.core.model import COMMAND_LINE, ScheduleLine, Strategy
from smartbackup_panel.core.tree import PointKind
from smartbackup_panel.services import choices, sidecars, upkeep
from smartbackup_panel.services.rebuild import rebuild
from smartbackup_panel.services.scheduling import set_schedule
from tests.integration.points.living import Living
from tests.support.clock import Host

RULES = {"last": 3, "weekly": 11}
PATTERNS = {"patterns": ["/uploads/tmp/"], "profile": "full-list"}


def file_of(living: Living) -> Path:
    return living.host.folder / "store" / ".metadata" / "shop.example_choices.json"


def choose(living: Living) -> None:
    services = living.host.services
    services.policies.set_retention(COMMAND_LINE, living.domain.id, RULES)
    services.policies.set_exclusions(COMMAND_LINE, living.domain.id, PATTERNS)
    services.left_out.choose(COMMAND_LINE, living.domain.id, "all", ["wp_log*"])
    with living.host.installation.state.write() as tx:
        set_schedule(
            living.host.installation, tx, living.domain, ["30 2 * * 0=full", "5 4 * * *"], "Europe/Rome", Strategy.MIXED
        )


def pinned(living: Living) -> set[str]:
    return {point.id for point in living.points() if point.pinned}


def lose_the_state(living: Living) -> Living:
    """Return the same domain on a host whose state is new; the key is what the store was signed with."""
    host = living.host
    host.installation.state.close()
    shutil.rmtree(host.folder / "state" / "db")
    living.host = Host(host.folder, host.clock.moment)
    return living


def test_choices_come_back_after_the_state_was_lost(living: Living) -> None:
    one, two, three = living.live(3)
    choose(living)
    living.host.services.policies.pin(COMMAND_LINE, living.domain.id, one.id, pinned=True)
    living.host.services.policies.pin(COMMAND_LINE, living.domain.id, two.id, pinned=True)
    living.host.services.policies.pin(COMMAND_LINE, living.domain.id, two.id, pinned=False)
    assert choices.write_changed(living.host.installation) == ["shop.example"]
    assert choices.write_changed(living.host.installation) == []
    lose_the_state(living)
    found = rebuild(living.host.installation)
    assert found == {"points": [one.id, two.id, three.id], "choices": ["shop.example"], "refused": []}
    assert pinned(living) == {one.id}
    with living.host.installation.state.read() as tx:
        policy = policies.find_policy(tx, living.domain.id)
        schedule = schedules.find_schedule(tx, living.domain.id)
    assert policy == policies.Policy({**RULES}, {**PATTERNS}, {"tables": ["wp_log*"], "how_much": "all"})
    assert schedule is not None and schedule.pinned and schedule.timezone == "Europe/Rome"
    assert schedule.strategy is Strategy.MIXED
    assert schedule.lines == (ScheduleLine("30 2 * * 0", PointKind.FULL), ScheduleLine("5 4 * * *"))
    keeping = living.host.services.policies.keeping(COMMAND_LINE, living.domain.id)
    assert (keeping.rules.last, keeping.rules.weekly, keeping.own) == (3, 11, ("last", "weekly"))


def test_a_pin_that_was_released_stays_released(living: Living) -> None:
    (one,) = living.live(1)
    policy = living.host.services.policies
    policy.pin(COMMAND_LINE, living.domain.id, one.id, pinned=True)
    choices.write_changed(living.host.installation)
    policy.pin(COMMAND_LINE, living.domain.id, one.id, pinned=False)
    assert choices.write_changed(living.host.installation) == ["shop.example"]
    lose_the_state(living)
    rebuild(living.host.installation)
    assert pinned(living) == set()


def test_the_present_state_is_not_overruled_by_its_files(living: Living) -> None:
    one, two = living.live(2)
    policy = living.host.services.policies
    choose(living)
    policy.pin(COMMAND_LINE, living.domain.id, one.id, pinned=True)
    choices.write_changed(living.host.installation)
    policy.pin(COMMAND_LINE, living.domain.id, one.id, pinned=False)
    policy.set_retention(COMMAND_LINE, living.domain.id, None)
    assert rebuild(living.host.installation) == {"points": [], "choices": [], "refused": []}
    assert pinned(living) == set()
    assert policy.keeping(COMMAND_LINE, living.domain.id).own == ()
    with living.host.installation.state.write() as tx:
        points.delete_points(tx, living.domain.id, [two.id])
    assert rebuild(living.host.installation)["points"] == [two.id]
    assert pinned(living) == set()


def forge_rules(fields: dict[str, object]) -> None:
    fields["retention"] = {"last": 1}


def forge_domain(fields: dict[str, object]) -> None:
    fields["domain_id"] = "0" * 32


@pytest.mark.parametrize("forge", [forge_rules, forge_domain, lambda fields: fields.pop("signature")])
def test_a_file_that_was_not_signed_here_counts_for_nothing(
    living: Living, forge: Callable[[dict[str, object]], object]
) -> None:
    (one,) = living.live(1)
    choose(living)
    choices.write_changed(living.host.installation)
    fields = json.loads(file_of(living).read_bytes())
    forge(fields)
    file_of(living).write_text(json.dumps(fields))
    lose_the_state(living)
    found = rebuild(living.host.installation)
    assert found == {"points": [one.id], "choices": [], "refused": [".metadata/shop.example_choices.json"]}
    with living.host.installation.state.read() as tx:
        assert policies.find_policy(tx, living.domain.id) == policies.Policy()


def test_what_was_signed_as_something_else_counts_for_nothing(living: Living) -> None:
    living.live(1)
    choose(living)
    choices.write_changed(living.host.installation)
    fields = json.loads(file_of(living).read_bytes())
    fields.pop("signature")
    file_of(living).write_bytes(sidecars.sealed(living.host.installation, "meta", fields))
    lose_the_state(living)
    assert rebuild(living.host.installation)["refused"] == [".metadata/shop.example_choices.json"]


def test_a_lost_file_is_written_again_and_one_that_nobody_needs_never(living: Living) -> None:
    living.live(1)
    assert choices.write_changed(living.host.installation) == []
    assert not file_of(living).exists()
    choose(living)
    choices.write_changed(living.host.installation)
    assert file_of(living).stat().st_mode & 0o777 == 0o600
    os.unlink(file_of(living))
    assert choices.write_changed(living.host.installation) == ["shop.example"]


def test_the_worker_writes_within_a_minute_what_was_chosen_on_a_page(living: Living) -> None:
    (one,) = living.live(1)
    living.host.services.policies.pin(COMMAND_LINE, living.domain.id, one.id, pinned=True)
    for step in upkeep.EVERY_MINUTE:
        step(living.host.installation)
    assert json.loads(file_of(living).read_bytes())["pins"] == [one.id]

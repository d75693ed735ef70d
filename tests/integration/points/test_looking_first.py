"""What a page shows of a choice before it is saved is what the choice then does."""

from __future__ import annotations

import pytest

from smartbackup_panel.adapters.db import policies
from smartbackup_panel.core.errors import NotAllowed, UnknownDomain, WrongUsage
from smartbackup_panel.core.model import COMMAND_LINE, Actor, Role
from smartbackup_panel.services import catalog
from tests.integration.points.living import Living

ALICE = Actor("alice", Role.CUSTOMER, "alice")
BOB = Actor("bob", Role.CUSTOMER, "bob")
FEW = {"last": 2, "days": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0, "floor": 1}


def own_of(living: Living) -> policies.Policy:
    with living.host.installation.state.read() as tx:
        return policies.find_policy(tx, living.domain.id)


def test_rules_that_are_only_looked_at_remove_nothing_and_say_what_they_would(living: Living) -> None:
    made = living.live(4, full_every=1)
    service = living.host.services.policies
    looked = service.keeping(COMMAND_LINE, living.domain.id, FEW)
    assert [row.point.id for row in looked.verdicts if not row.stays] == [made[1].id, made[0].id]
    assert all(row.stays for row in service.keeping(COMMAND_LINE, living.domain.id).verdicts)
    assert own_of(living).retention == {}
    service.set_retention(COMMAND_LINE, living.domain.id, {"last": 9, "yearly": 4})
    service.set_retention(COMMAND_LINE, living.domain.id, FEW, whole=True)
    assert own_of(living).retention == FEW
    after = service.keeping(COMMAND_LINE, living.domain.id)
    assert after.verdicts == looked.verdicts
    assert (after.settings.last, after.rules.last) == (7, 2)
    with pytest.raises(WrongUsage):
        service.keeping(COMMAND_LINE, living.domain.id, {"last": -1})


def test_patterns_leave_out_what_was_shown_and_bring_back_what_was_shown(living: Living) -> None:
    living.write("videos/one.mp4", b"v" * 5_000)
    living.write("videos/raw/two.mp4", b"v" * 7_000)
    living.write("notes.bak", b"n" * 300)
    living.write("app/vendor/lib.php", b"l" * 90)
    living.write("app/composer.lock", b"{}")
    living.back_up("full")
    catalog.catch_up(living.host.installation, living.domain)
    looks, choose = living.host.services.exclusion_previews, living.host.services.policies.set_exclusions
    wanted: dict[str, object] = {"patterns": ["/videos/", "*.bak"], "rebuildable": True}
    shown = looks.look(COMMAND_LINE, living.domain.id, wanted).weighed
    assert shown is not None
    assert (shown.paths, shown.files, shown.size_bytes, shown.coming_back) == (3, 4, 12_390, 0)
    assert [row.path for row in shown.largest] == [b"videos", b"notes.bak", b"app/vendor"]
    assert own_of(living).exclusions == {}

    choose(COMMAND_LINE, living.domain.id, wanted, whole=True)
    told = living.back_up().left_out
    assert told is not None
    assert (told["paths"], told["files"], told["bytes"]) == (3, 4, 12_390)
    catalog.catch_up(living.host.installation, living.domain)
    again = looks.look(COMMAND_LINE, living.domain.id, wanted).weighed
    assert again is not None and (again.files, again.coming_back) == (0, 0)
    fewer = looks.look(COMMAND_LINE, living.domain.id, {"patterns": ["/videos/"]}).weighed
    assert fewer is not None and (fewer.files, fewer.coming_back) == (0, 2)

    choose(COMMAND_LINE, living.domain.id, {"patterns": ["/videos/"]}, whole=True)
    assert own_of(living).exclusions == {"patterns": ["/videos/"]}
    told = living.back_up().left_out
    assert told is not None and told["paths"] == 1


def test_bad_lines_are_named_by_number_and_the_list_may_not_be_ready(living: Living) -> None:
    living.back_up("full")
    looks = living.host.services.exclusion_previews
    told = looks.look(COMMAND_LINE, living.domain.id, {"patterns": ["*.bak", "../x", "a\x1bb"]})
    assert [number for number, _ in told.wrong] == [2, 3]
    assert told.leaving is None
    catalog.forget(living.host.installation, living.domain.id)
    ready = looks.look(COMMAND_LINE, living.domain.id, {"patterns": ["*.bak"]})
    assert ready.point is not None and ready.weighed is None


def test_nobody_looks_at_or_changes_what_is_not_theirs(living: Living) -> None:
    services, domain_id = living.host.services, living.domain.id
    for refused, actor in ((UnknownDomain, BOB), (NotAllowed, ALICE)):
        with pytest.raises(refused):
            services.policies.set_retention(actor, domain_id, FEW)
        with pytest.raises(refused):
            services.policies.set_exclusions(actor, domain_id, {"patterns": []}, whole=True)
        with pytest.raises(refused):
            services.left_out.choose_as_settings(actor, domain_id)
    with pytest.raises(UnknownDomain):
        services.exclusion_previews.look(BOB, domain_id, {})
    with pytest.raises(UnknownDomain):
        services.queries.daily(BOB, domain_id)
    assert own_of(living) == policies.Policy()

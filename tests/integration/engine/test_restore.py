"""A restore stages beside the site and exchanges the two in one step; the old site is the undo."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import RestoreFailed, UnknownPath, UnsafePath, WrongUsage
from smartbackup_panel.core.tree import (
    AgentPurpose,
    NameList,
    PointKind,
    RestoreMode,
    RestoreOptions,
    ScanOptions,
    Staging,
    SwapState,
)
from smartbackup_panel.engine.agent import Agent
from tests.integration.engine.store import Store
from tests.integration.engine.tenants import ALICE, AS_ALICE, BOB, give
from tests.integration.engine.trees import look, make_rich_tree, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def names(store: Store) -> list[str]:
    """Return what lies beside the site, without the store."""
    return sorted(name for name in os.listdir(store.site.parent) if name != store.folder.name)


def test_an_exact_restore_and_its_undo_are_one_exchange_each(store: Store, site: Path) -> None:
    make_rich_tree(site)
    good = look(site)
    store.back_up()
    shutil.rmtree(site / "names")
    write(site / "index.php", b"defaced")
    write(site / "shell.php", b"planted")
    wrecked = look(site)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123-0000")
        staged = agent.stage(point, staging, RestoreOptions())
        assert (agent.swap_state(staging), look(site)) == (SwapState.OLD, wrecked)
        agent.swap(staging)
        agent.swap(staging)
        assert (agent.swap_state(staging), look(site)) == (SwapState.NEW, good)
        agent.swap_back(staging)
        agent.swap_back(staging)
        assert (agent.swap_state(staging), look(site)) == (SwapState.OLD, wrecked)
        agent.swap(staging)
        agent.discard(staging)
        agent.discard(staging)
    assert (look(site), names(store)) == (good, ["shop.example"])
    assert staged.warnings == ()


def test_the_site_is_old_or_new_at_every_instant(store: Store, site: Path) -> None:
    write(site / "version", b"old")
    store.back_up()
    write(site / "version", b"new")
    seen, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add((site / "version").read_bytes())

    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        agent.stage(point, staging, RestoreOptions())
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(300):
            agent.swap(staging)
            agent.swap_back(staging)
        stop.set()
        watcher.join()
        agent.discard(staging)
    assert seen == {b"old", b"new"}


def test_a_plan_says_what_would_happen_and_changes_nothing(store: Store, site: Path) -> None:
    write(site / "same.txt", b"same")
    write(site / "deleted.txt", b"comes back")
    write(site / "edited.txt", b"as it was")
    store.back_up()
    (site / "deleted.txt").unlink()
    write(site / "edited.txt", b"edited since then")
    write(site / "new.txt", b"made since then")
    before = look(site)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        exact = agent.plan(point, RestoreOptions())
        merged = agent.plan(point, RestoreOptions(RestoreMode.MERGE))
    assert exact.added == NameList(1, (b"deleted.txt",))
    assert exact.replaced == NameList(1, (b"edited.txt",))
    assert (exact.removed, exact.kept) == (NameList(1, (b"new.txt",)), NameList())
    assert (merged.removed, merged.kept) == (NameList(), NameList(1, (b"new.txt",)))
    assert (exact.unchanged_count, exact.restored_bytes, exact.obstacle) == (1, 23, "")
    assert exact.bytes_free > exact.bytes_needed > 23
    assert look(site) == before


def test_merging_keeps_what_was_added_since(store: Store, site: Path) -> None:
    write(site / "index.php", b"good")
    write(site / "folder" / "old.txt", b"old")
    write(site / "was-file", b"a file then")
    store.back_up()
    write(site / "index.php", b"bad")
    write(site / "folder" / "upload.jpg", os.urandom(100_000))
    write(site / "newer" / "deep" / "file.txt", b"added since")
    (site / "was-file").unlink()
    write(site / "was-file" / "below.txt", b"a folder now")
    upload = look(site)[b"folder/upload.jpg"]
    staged = store.restore(options=RestoreOptions(RestoreMode.MERGE))
    after = look(site)
    assert sorted(after) == [
        b"",
        b"folder",
        b"folder/old.txt",
        b"folder/upload.jpg",
        b"index.php",
        b"newer",
        b"newer/deep",
        b"newer/deep/file.txt",
        b"was-file",
    ]
    assert after[b"folder/upload.jpg"] == upload
    assert (site / "index.php").read_bytes() == b"good"
    assert (staged.restored_files, staged.kept_files) == (3, 2)


def test_chosen_paths_come_back_and_all_else_stays(store: Store, site: Path) -> None:
    write(site / "index.php", b"then")
    write(site / "theme" / "style.css", b"then")
    write(site / "theme" / "gone" / "deep.css", b"then")
    write(site / "other.txt", b"then")
    store.back_up()
    shutil.rmtree(site / "theme")
    write(site / "theme" / "added.css", b"now")
    write(site / "index.php", b"now")
    write(site / "other.txt", b"now")
    options = RestoreOptions(RestoreMode.MERGE, (b"theme/gone/deep.css", b"index.php"))
    store.restore(options=options)
    texts = {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert texts == {
        "index.php": b"then",
        "theme/gone/deep.css": b"then",
        "theme/added.css": b"now",
        "other.txt": b"now",
    }


def test_an_exact_restore_of_a_folder_removes_what_it_has_too_much(store: Store, site: Path) -> None:
    write(site / "plugins" / "shop" / "main.php", b"then")
    write(site / "index.php", b"then")
    store.back_up()
    write(site / "plugins" / "shop" / "shell.php", b"planted")
    write(site / "plugins" / "other.php", b"now")
    write(site / "index.php", b"now")
    store.restore(options=RestoreOptions(paths=(b"plugins/shop",)))
    assert sorted(look(site)) == [
        b"",
        b"index.php",
        b"plugins",
        b"plugins/other.php",
        b"plugins/shop",
        b"plugins/shop/main.php",
    ]
    assert (site / "index.php").read_bytes() == b"now"


def test_hard_links_stay_links_whether_restored_or_kept(store: Store, site: Path) -> None:
    write(site / "a-first.txt", b"three names")
    for name in ("b.txt", "c.txt"):
        os.link(site / "a-first.txt", site / name)
    store.back_up()
    write(site / "kept" / "one.txt", b"two names")
    os.link(site / "kept" / "one.txt", site / "kept" / "two.txt")
    store.restore(options=RestoreOptions(RestoreMode.MERGE, (b"b.txt", b"c.txt")))
    same = {path: row["same_as"] for path, row in look(site).items() if "same_as" in row}
    assert same == {
        b"a-first.txt": b"a-first.txt",
        b"b.txt": b"b.txt",
        b"c.txt": b"b.txt",
        b"kept/one.txt": b"kept/one.txt",
        b"kept/two.txt": b"kept/one.txt",
    }


@pytest.mark.parametrize("path", [b"no/such/file", b"shop.example"])
def test_a_path_that_the_point_lacks_is_refused(store: Store, site: Path, path: bytes) -> None:
    write(site / "index.php", b"x")
    store.back_up()
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent, pytest.raises(UnknownPath):
        agent.plan(point, RestoreOptions(paths=(path,)))


@pytest.mark.parametrize("path", [b"../etc/passwd", b"/etc/passwd", b"a//b", b"a/./b", b"a\0b", b"a/" * 5_000 + b"a"])
def test_a_path_that_leads_out_is_refused(store: Store, site: Path, path: bytes) -> None:
    write(site / "index.php", b"x")
    store.back_up()
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent, pytest.raises(UnsafePath):
        agent.plan(point, RestoreOptions(paths=(path,)))


def test_what_is_excluded_is_kept_as_it_is(store: Store, site: Path) -> None:
    scan = ScanOptions(exclude=("/cache/",))
    write(site / "index.php", b"then")
    store.back_up(scan=scan)
    write(site / "cache" / "deep" / "page.html", b"made since then")
    (site / "cache" / "link").symlink_to("deep")
    kept = {path: row for path, row in look(site).items() if path.startswith(b"cache")}
    store.restore(options=RestoreOptions(scan=scan))
    assert {path: row for path, row in look(site).items() if path.startswith(b"cache")} == kept


def test_what_a_point_could_not_read_is_not_taken_away(store: Store, site: Path) -> None:
    write(site / "index.php", b"then")
    write(site / "nested" / "file.txt", b"not part of the point")
    store.back_up(scan=ScanOptions(nested_roots=(b"nested",)))
    store.restore()
    assert (site / "nested" / "file.txt").read_bytes() == b"not part of the point"


def test_a_folder_of_another_domain_is_never_moved(store: Store, site: Path) -> None:
    write(site / "index.php", b"then")
    store.back_up()
    write(site / "addon" / "index.php", b"another domain's")
    scan = ScanOptions(nested_roots=(b"addon",))
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        plan = agent.plan(point, RestoreOptions(scan=scan))
        assert plan.obstacle == "addon is the folder of another domain, which would be moved too"
    with pytest.raises(RestoreFailed, match="another domain"):
        store.restore(options=RestoreOptions(scan=scan))
    assert names(store) == ["shop.example"]


def test_a_missing_domain_folder_comes_back(store: Store, site: Path) -> None:
    make_rich_tree(site)
    good = look(site)
    store.back_up()
    shutil.rmtree(site)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        agent.stage(point, staging, RestoreOptions())
        agent.swap(staging)
        assert look(site) == good
        agent.swap_back(staging)
        assert not site.exists()
        agent.swap(staging)
        agent.discard(staging)
    assert (look(site), names(store)) == (good, ["shop.example"])


def test_links_waiting_in_the_live_site_are_replaced_not_followed(store: Store, site: Path, open_folder: Path) -> None:
    write(site / "index.php", b"good")
    write(site / "wp-content" / "a.php", b"good")
    store.back_up()
    outside = write(open_folder / "outside" / "a.php", b"untouched")
    (site / "index.php").unlink()
    (site / "index.php").symlink_to(outside)
    shutil.rmtree(site / "wp-content")
    (site / "wp-content").symlink_to(outside.parent)
    before = look(outside.parent)
    store.restore(options=RestoreOptions(RestoreMode.MERGE))
    assert look(outside.parent) == before
    assert (site / "wp-content").is_symlink() is False
    assert (site / "index.php").is_symlink() is False


def test_a_folder_where_a_link_lay_in_an_earlier_restore_is_a_folder(
    store: Store, site: Path, open_folder: Path
) -> None:
    outside = open_folder / "outside"
    outside.mkdir()
    (site / "d").symlink_to(outside)
    store.back_up()
    (site / "d").unlink()
    write(site / "d" / "evil", b"below a real folder")
    store.back_up(PointKind.INCREMENTAL, earlier=0)
    store.restore(0)
    store.restore(1)
    assert os.listdir(outside) == []
    assert (site / "d" / "evil").read_bytes() == b"below a real folder"


def test_a_folder_for_a_restore_has_to_be_empty(store: Store, site: Path, open_folder: Path) -> None:
    write(site / "index.php", b"good")
    write(site / "sub" / "b.txt", b"good")
    store.back_up()
    outside = write(open_folder / "outside.txt", b"untouched")
    out = open_folder / "out"
    write(out / "mine.txt", b"mine")
    (out / "index.php").symlink_to(outside)
    (out / "sub").mkdir()
    with pytest.raises(WrongUsage, match="not empty"):
        store.restore_into(out)
    store.restore_into(out, options=RestoreOptions(RestoreMode.MERGE))
    assert sorted(look(out)) == [b"", b"index.php", b"mine.txt", b"sub", b"sub/b.txt"]
    assert ((out / "index.php").read_bytes(), outside.read_bytes()) == (b"good", b"untouched")


@needs_root
def test_a_tenant_that_owns_the_parent_folder_does_every_step(open_folder: Path) -> None:
    home = open_folder / "home-of-alice"
    site = home / "site"
    write(site / "index.php", b"good")
    for path in (home, site, site / "index.php"):
        give(path, ALICE)
    store = Store(open_folder / "store", site, AS_ALICE)
    store.back_up()
    give(write(site / "shell.php", b"planted"), ALICE)
    with store.open() as point, store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        assert staging.by_worker is False
        agent.stage(point, staging, RestoreOptions())
        agent.swap(staging)
        assert (sorted(look(site)), agent.swap_state(staging)) == ([b"", b"index.php"], SwapState.NEW)
        agent.swap_back(staging)
        agent.swap(staging)
        agent.discard(staging)
    assert os.listdir(home) == ["site"]
    assert {row["owner"] for row in look(site).values()} == {(ALICE, ALICE)}
    store.close()


@needs_root
def test_a_restored_domain_folder_keeps_its_owner_and_group(open_folder: Path, site: Path) -> None:
    os.chown(site, ALICE, BOB)
    site.chmod(0o750)
    give(write(site / "index.php", b"good"), ALICE)
    store = Store(open_folder / "alice", site, AS_ALICE)
    before = look(site)
    store.back_up()
    store.restore()
    assert look(site) == before
    store.close()


@needs_root
def test_a_mount_point_cannot_be_exchanged(store: Store, site: Path) -> None:
    write(site / "index.php", b"good")
    store.back_up()
    subprocess.run(["/usr/bin/mount", "--bind", site, site], check=True)
    try:
        with store.agent(AgentPurpose.RESTORE) as agent, pytest.raises(RestoreFailed, match="mount point"):
            agent.prepare_staging("cafe0123")
    finally:
        subprocess.run(["/usr/bin/umount", site], check=True)
    assert names(store) == ["shop.example"]


def test_a_link_in_place_of_the_domains_folder_is_never_exchanged(store: Store, site: Path, open_folder: Path) -> None:
    site.rename(open_folder / "real")
    site.symlink_to(open_folder / "real")
    with store.agent(AgentPurpose.RESTORE) as agent, pytest.raises(UnsafePath):
        agent.prepare_staging("cafe0123")
    assert sorted(names(store)) == ["real", "shop.example"]


def test_staging_is_never_taken_over(store: Store, site: Path) -> None:
    write(site / "index.php", b"good")
    with store.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        with pytest.raises(RestoreFailed, match="File exists"):
            agent.prepare_staging("cafe0123")
        foreign = replace(staging, staged_inode=1, live_inode=2)
        for step in (agent.discard, agent.swap, agent.swap_back):
            with pytest.raises(RestoreFailed, match="not what this restore left"):
                step(foreign)
        assert agent.swap_state(foreign) is SwapState.GONE
    assert names(store) == [staging.staging_name, "shop.example"]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_staging_folder_cut_off_at_its_making_is_found_by_its_announcement(
    store: Store, site: Path, is_made: bool
) -> None:
    write(site / "index.php", b"good")
    announced: list[Staging] = []

    def cut_off(staging: Staging) -> None:
        announced.append(staging)
        assert names(store) == ["shop.example"]
        if not is_made:
            raise KeyboardInterrupt

    with store.agent(AgentPurpose.RESTORE) as agent:
        with suppress(KeyboardInterrupt):
            agent.prepare_staging("cafe0123", announce=cut_off)
        [staging] = announced
        assert (staging.staging_name in names(store)) is is_made
        agent.discard(staging)
        assert names(store) == ["shop.example"]
        write(site.parent / staging.staging_name / "somebody's", b"content")
        agent.discard(staging)
        for step in (agent.swap, agent.swap_back):
            with pytest.raises(RestoreFailed, match="not what this restore left"):
                step(staging)
    assert (site.parent / staging.staging_name / "somebody's").read_bytes() == b"content"


def test_an_agent_of_root_restores_beside_a_link_in_its_path(open_folder: Path, site: Path) -> None:
    write(site / "index.php", b"good")
    way = open_folder / "www"
    way.symlink_to(site.parent)
    store = Store(open_folder / "store2", way / site.name)
    store.back_up()
    (site / "index.php").unlink()
    store.restore()
    assert (site / "index.php").read_bytes() == b"good"
    with pytest.raises(UnsafePath), Agent.start("/", None, purpose=AgentPurpose.RESTORE) as agent:
        agent.prepare_staging("cafe0123")
    store.close()

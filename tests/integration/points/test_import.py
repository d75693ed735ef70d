"""Archives of the original design and plain ones become points that restore; what cannot be trusted is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smartbackup_panel.core.model import COMMAND_LINE, Job, JobState, Point, PointKind, PointState, Verified
from tests.integration.points.living import Living, own
from tests.support.installation import Installation
from tests.support.original import Original
from tests.support.sites import differences, tree_of

FULL, FULL_UNIX = "20260201_030000", 1769914800
FIRST, FIRST_UNIX = "20260202_030000", 1770001200
SECOND, SECOND_UNIX = "20260203_030000", 1770087600


@pytest.fixture
def original(living: Living) -> Original:
    return Original.at(living.host.folder / "old", living.root.parent, "shop.example")


def run_import(living: Living, *places: Path, strip: str | None = None, dry_run: bool = False) -> Job:
    """Import files and folders as an administrator; return the job as it ended."""
    job = living.host.services.requests.import_archives(
        COMMAND_LINE, living.domain.id, [str(place) for place in places], strip=strip, dry_run=dry_run
    )
    return living.host.services.runner().run(job.id)


def rows(job: Job) -> list[dict[str, object]]:
    assert job.result is not None, job
    found = job.result["sources"]
    assert isinstance(found, list)
    return found


def states(job: Job) -> dict[str, object]:
    return {os.path.basename(str(row["source"])): row["state"] for row in rows(job)}


def reason_of(job: Job, name: str) -> str:
    return next(str(row["reason"]) for row in rows(job) if str(row["source"]).endswith(name))


def tar(target: Path, *arguments: str) -> Path:
    """Make an archive by GNU tar, dated before the clock of the tests, and return it."""
    subprocess.run(["tar", "czf", str(target), *arguments], check=True, stderr=subprocess.DEVNULL)
    old(target, SECOND_UNIX)
    return target


def restored_tree(living: Living, point: Point) -> Path:
    """Restore a point into a folder of its own and return that."""
    target = living.host.folder / f"out-{point.id[:8]}"
    living.restored(point)
    [made] = list(living.host.folder.glob(f"out-{point.id[:8]}-*"))
    made.rename(target)
    return target


def old(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds), follow_symlinks=False)


def make_old_site(living: Living) -> None:
    """Make a site whose files are all older than the first backup."""
    living.write("a file with spaces & ümlauts.txt", b"first")
    living.write("deep/er/page.html", b"<p>first</p>")
    living.write("gone later.txt", b"deleted after the full backup")
    (living.root / "link").symlink_to("deep/er")
    os.link(living.root / "index.php", living.root / "deep/same.php")
    (living.root / "empty").mkdir(mode=0o750)
    own(living.root / "empty")
    os.lchown(living.root / "link", living.root.stat().st_uid, living.root.stat().st_gid)
    (living.root / "index.php").chmod(0o640)
    for path in sorted(living.root.rglob("*"), reverse=True):
        old(path, FULL_UNIX - 1000)
    old(living.root, FULL_UNIX - 1000)


def change(living: Living, name: str, content: bytes, at: int) -> None:
    living.write(name, content)
    old(living.root / name, at)


def three_backups(living: Living, original: Original) -> list[Path]:
    """Return a full backup of the old site and two increments, between which files changed, came and went."""
    base = original.full(FULL, FULL_UNIX)
    change(living, "deep/er/page.html", b"<p>second</p>", FULL_UNIX + 10)
    change(living, "new folder/new.txt", b"new", FULL_UNIX + 20)
    (living.root / "gone later.txt").unlink()
    first = original.increment(FIRST, FIRST_UNIX, FULL_UNIX, base.name)
    change(living, "deep/er/page.html", b"<p>third</p>", FIRST_UNIX + 10)
    return [base, first, original.increment(SECOND, SECOND_UNIX, FIRST_UNIX, base.name)]


def facts_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return every file below a folder with its content, time of change and time of change of its facts."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in files}


def test_full_and_incremental_archives_become_points_that_restore(living: Living, original: Original) -> None:
    make_old_site(living)
    then = tree_of(living.root)
    three_backups(living, original)
    sources = facts_of(original.backups)
    job = run_import(living, original.backups)
    assert job.state is JobState.DONE, job
    assert set(states(job).values()) == {"imported"}
    newest, middle, oldest = living.points()
    assert [point.created_at for point in (oldest, middle, newest)] == [
        datetime.fromtimestamp(seconds, UTC) for seconds in (FULL_UNIX, FIRST_UNIX, SECOND_UNIX)
    ]
    assert (oldest.kind, middle.kind, newest.kind) == (PointKind.FULL, PointKind.INCREMENTAL, PointKind.INCREMENTAL)
    assert (middle.parent_id, newest.parent_id) == (oldest.id, middle.id)
    assert all(point.pinned and point.verified is Verified.READ_BACK for point in (oldest, middle, newest))
    assert oldest.warnings == ()
    assert "do not say which files were deleted" in middle.warnings[0]
    assert not differences(then, tree_of(restored_tree(living, oldest)))
    out = restored_tree(living, newest)
    assert (out / "deep/er/page.html").read_bytes() == b"<p>third</p>"
    assert (out / "new folder").stat().st_mode & 0o777 == 0o755
    assert (out / "gone later.txt").read_bytes() == b"deleted after the full backup"
    live, back = tree_of(living.root), tree_of(out)
    assert back.keys() - live.keys() == {b"gone later.txt"}
    dated_by_time_of_day = {b"", b"deep/er", b"new folder"}
    assert not differences(
        {path: entry for path, entry in live.items() if path not in dated_by_time_of_day},
        {path: entry for path, entry in back.items() if path in live and path not in dated_by_time_of_day},
    )
    assert facts_of(original.backups) == sources
    assert not (living.store.parent / ".import" / living.domain.id).exists()


def test_importing_twice_changes_nothing(living: Living, original: Original) -> None:
    make_old_site(living)
    three_backups(living, original)
    run_import(living, original.backups)
    before, files = living.points(), facts_of(living.store)
    again = run_import(living, original.folder)
    assert again.state is JobState.DONE
    assert set(states(again).values()) == {"known"}
    assert {row["point"] for row in rows(again)} == {point.id for point in before}
    moved = shutil.copy(original.folder / f"backup_{FULL}.tar.gz", living.host.folder / "other.tgz")
    assert states(run_import(living, Path(moved))) == {"other.tgz": "known"}
    assert (living.points(), facts_of(living.store)) == (before, files)


def test_a_later_increment_is_laid_over_points_that_were_imported_before(living: Living, original: Original) -> None:
    make_old_site(living)
    base, first, second = three_backups(living, original)
    run_import(living, base)
    run_import(living, first)
    job = run_import(living, second)
    assert states(job) == {second.name: "imported"}
    newest, middle, oldest = living.points()
    assert (newest.parent_id, middle.parent_id) == (middle.id, oldest.id)
    out = restored_tree(living, newest)
    assert (out / "new folder/new.txt").read_bytes() == b"new"
    assert (out / "deep/er/page.html").read_bytes() == b"<p>third</p>"
    assert (out / "empty").stat().st_mode & 0o777 == 0o750


def test_a_dry_run_says_what_would_come_and_makes_nothing(living: Living, original: Original) -> None:
    make_old_site(living)
    three_backups(living, original)
    damaged = shutil.copy(original.folder / f"backup_{FULL}.tar.gz", original.folder / "backup_20260204_030000.tar.gz")
    os.truncate(damaged, 300)
    job = run_import(living, original.folder, dry_run=True)
    assert job.state is JobState.PARTIAL
    assert [(row["state"], row["created_at"], row["time_from"]) for row in rows(job)] == [
        ("would be imported", "2026-02-01T03:00:00+00:00", "meta"),
        ("would be imported", "2026-02-02T03:00:00+00:00", "meta"),
        ("would be imported", "2026-02-03T03:00:00+00:00", "meta"),
        ("refused", datetime(2026, 2, 4, 3).astimezone(UTC).isoformat(), "name"),
    ]
    assert [row.get("strip") for row in rows(job)[:2]] == ["", str(living.root).lstrip("/")]
    assert living.points() == []
    assert not living.store.exists() or os.listdir(living.store) == []


def test_without_a_meta_the_name_is_in_the_servers_own_time(living: Living, original: Original) -> None:
    make_old_site(living)
    archive = original.full(FULL, FULL_UNIX)
    os.unlink(f"{archive}.meta")
    run_import(living, archive)
    [point] = living.points()
    assert point.created_at == datetime(2026, 2, 1, 3).astimezone(UTC)


def test_a_meta_whose_time_contradicts_the_name_is_not_believed(living: Living, original: Original) -> None:
    make_old_site(living)
    run_import(living, original.full(FULL, FULL_UNIX - 2 * 365 * 86400))
    [point] = living.points()
    assert point.created_at == datetime(2026, 2, 1, 3).astimezone(UTC)


def test_archives_that_lie_in_the_domains_folder_of_the_store_are_imported(living: Living) -> None:
    living.back_up("full")
    make_old_site(living)
    made = Original.at(living.host.folder / "old", living.root.parent, "shop.example").full(FULL, FULL_UNIX)
    shutil.copy(made, living.store / made.name)
    job = run_import(living)
    assert states(job) == {made.name: "imported"}
    newest, oldest = living.points()
    assert newest.imported is None
    assert oldest.imported is not None
    assert oldest.imported["source"] == str(living.store / made.name)
    assert (living.store / made.name).read_bytes() == made.read_bytes()
    assert oldest.archive != made.name


LEADING: dict[str, Callable[[Path, Path], Path]] = {
    "its own folder": lambda root, into: tar(into, "-C", str(root), "."),
    "names without a dot": lambda root, into: tar(into, "-C", str(root), *sorted(os.listdir(root))),
    "the folder by name": lambda root, into: tar(into, "-C", str(root.parent), root.name),
    "its whole path": lambda root, into: tar(into, "-C", "/", str(root).lstrip("/")),
    "absolute names": lambda root, into: tar(into, "-P", str(root)),
    "another server's path": lambda root, into: tar(
        into, "-C", str(root.parent), f"--transform=s,^{root.name},srv/www/{root.name},S", root.name
    ),
}


def test_the_domains_folder_is_found_in_plain_archives(living: Living) -> None:
    make_old_site(living)
    then = tree_of(living.root)
    folder = living.host.folder / "plain"
    folder.mkdir(mode=0o755)
    for day, make in enumerate(LEADING.values(), 10):
        make(living.root, folder / f"site-2026-01-{day}_04-30.tar.gz")
    job = run_import(living, folder)
    assert job.state is JobState.DONE, job
    made = living.points()[::-1]
    assert len(made) == len(LEADING)
    for day, (point, how) in enumerate(zip(made, LEADING, strict=True), 10):
        assert point.created_at == datetime(2026, 1, day, 4, 30).astimezone(UTC)
        found = tree_of(restored_tree(living, point))
        if how == "names without a dot":
            assert found[b""].mode & 0o777 == 0o755
            found[b""] = then[b""]
        assert not differences(then, found), how


def test_what_lies_beside_the_domains_folder_is_left_out_and_said(living: Living) -> None:
    make_old_site(living)
    other = living.host.folder / "nginx.conf"
    other.write_text("server {}")
    archive = tar(living.host.folder / "all.tar.gz", "-P", str(living.root), str(other))
    run_import(living, archive)
    [point] = living.points()
    folder = str(living.root).lstrip("/")
    assert point.warnings == (f"1 files of the archive lie outside of {folder} and are not in this point.",)
    assert not differences(tree_of(living.root), tree_of(restored_tree(living, point)))


def test_which_of_several_folders_is_the_domains_can_be_said(living: Living) -> None:
    make_old_site(living)
    both = living.host.folder / "both"
    for name in ("a", "b"):
        shutil.copytree(living.root, both / name / "shop.example", symlinks=True)
    archive = tar(living.host.folder / "both.tar.gz", "-C", str(both), ".")
    refused = run_import(living, archive)
    assert "several folders" in reason_of(refused, "both.tar.gz")
    run_import(living, archive, strip="b/shop.example")
    [point] = living.points()
    assert (restored_tree(living, point) / "index.php").is_file()


def test_a_folder_of_the_domains_name_beside_others_is_not_guessed(living: Living) -> None:
    make_old_site(living)
    whole = living.host.folder / "whole"
    shutil.copytree(living.root, whole / "srv/shop.example", symlinks=True)
    (whole / "etc").mkdir()
    (whole / "etc/nginx.conf").write_text("server {}")
    archive = tar(living.host.folder / "whole.tar.gz", "-C", str(whole), ".")
    assert "other folders beside it" in reason_of(run_import(living, archive), "whole.tar.gz")
    own_copy = living.root / "shop.example"
    own_copy.mkdir()
    (own_copy / "copy.txt").write_text("a folder of the site itself")
    own(own_copy)
    own(own_copy / "copy.txt")
    for path in (own_copy / "copy.txt", own_copy, living.root):
        old(path, FULL_UNIX)
    site = tar(living.host.folder / "site.tar.gz", "-C", str(living.root), ".")
    run_import(living, site)
    [point] = living.points()
    assert not differences(tree_of(living.root), tree_of(restored_tree(living, point)))


def test_absolute_names_of_something_else_are_refused(living: Living) -> None:
    (living.host.folder / "elsewhere").mkdir()
    (living.host.folder / "elsewhere/passwd").write_text("root")
    archive = tar(living.host.folder / "etc.tar.gz", "-P", str(living.host.folder / "elsewhere"))
    job = run_import(living, archive)
    assert job.state is JobState.FAILED
    assert "absolute names" in reason_of(job, "etc.tar.gz")
    assert living.points() == []


def test_an_increment_without_its_full_archive_is_refused(living: Living, original: Original) -> None:
    make_old_site(living)
    base, first, second = three_backups(living, original)
    os.truncate(base, base.stat().st_size - 20)
    for name in (first, second):
        os.unlink(f"{name}.meta")
    job = run_import(living, original.folder)
    assert set(states(job).values()) == {"refused"}
    assert "another checksum" in reason_of(job, base.name)
    assert "holds changed files alone" in reason_of(job, first.name)
    assert living.points() == []


def test_an_increment_after_a_lost_one_is_partial_and_says_so(living: Living, original: Original) -> None:
    make_old_site(living)
    _, first, second = three_backups(living, original)
    os.truncate(first, first.stat().st_size - 20)
    job = run_import(living, original.folder)
    assert job.state is JobState.PARTIAL
    assert "cut off" in reason_of(job, first.name)
    assert (job.result or {})["warnings"] == [f"{first}: {reason_of(job, first.name)}"]
    newest, oldest = living.points()
    assert (newest.state, oldest.state) == (PointState.PARTIAL, PointState.GOOD)
    assert first.name in newest.warnings[1]
    assert (restored_tree(living, newest) / "deep/er/page.html").read_bytes() == b"<p>third</p>"
    assert os.path.basename(str((newest.imported or {})["source"])) == second.name


def test_a_file_that_its_list_names_and_the_archive_lacks_is_said(living: Living, original: Original) -> None:
    make_old_site(living)
    _, first, _ = three_backups(living, original)
    listed = original.backups / ".incremental/shop.example" / f"changed_files_{FIRST}.txt"
    listed.write_bytes(listed.read_bytes() + os.fsencode(living.root / "vanished.txt") + b"\n")
    run_import(living, original.folder)
    middle = living.points()[1]
    assert (middle.imported or {})["source"] == str(first)
    assert middle.warnings[1].startswith("1 files of its list of changed files are not in the archive: ")
    assert middle.warnings[1].endswith("shop.example/vanished.txt.")


def test_what_changed_its_kind_between_backups_is_what_it_became(living: Living, original: Original) -> None:
    make_old_site(living)
    base = original.full(FULL, FULL_UNIX)
    shutil.rmtree(living.root / "deep/er")
    change(living, "deep/er", b"a file now", FULL_UNIX + 10)
    (living.root / "link").unlink()
    change(living, "link/is/a folder.txt", b"now", FULL_UNIX + 10)
    (living.root / "gone later.txt").unlink()
    change(living, "gone later.txt/too.txt", b"now", FULL_UNIX + 10)
    (living.root / "empty").chmod(0o755)
    change(living, "empty/no more.txt", b"now", FULL_UNIX + 10)
    (living.root / "empty").chmod(0o550)
    original.increment(FIRST, FIRST_UNIX, FULL_UNIX, base.name)
    run_import(living, original.folder)
    newest = living.points()[0]
    assert newest.state is PointState.GOOD
    out = restored_tree(living, newest)
    assert (out / "deep/er").read_bytes() == b"a file now"
    assert not (out / "link").is_symlink()
    for name in ("link/is/a folder.txt", "gone later.txt/too.txt", "empty/no more.txt"):
        assert (out / name).read_bytes() == b"now"


def test_a_site_that_belongs_to_root_is_imported_like_any_other(installation: Installation) -> None:
    site = installation.add_site("shop.example", {"index.php": "<?php", "img/a.png": os.urandom(2000)}, tenant=None)
    archive = tar(installation.folder / "site.tar.gz", "-C", str(site.root.parent), site.root.name)
    found = installation.smartbackup("import", "shop.example", str(archive))
    assert [row["state"] for row in found["sources"]] == ["imported"]
    again = installation.smartbackup("import", "shop.example", str(archive.parent / "site.tar.gz"))
    assert again["sources"][0]["point"] == found["points"][0]
    assert again["points"] == []
    target = installation.folder / "out"
    installation.smartbackup("restore", "shop.example", "--point", found["points"][0], "--to", str(target), "--yes")
    assert (target / "img/a.png").read_bytes() == (site.root / "img/a.png").read_bytes()
    assert installation.points("shop.example")[0]["imported"] == str(archive)

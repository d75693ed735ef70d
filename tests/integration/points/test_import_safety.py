"""An import trusts nothing: not the archives, not the folders they lie in, not its own last run."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged, NotAllowed, WrongUsage
from smartbackup_panel.core.import_sources import OriginalMeta, SourceKind
from smartbackup_panel.core.model import COMMAND_LINE, Actor, JobState, Role
from smartbackup_panel.engine.fsafe import closing
from smartbackup_panel.services import scratch, store
from smartbackup_panel.services.import_sources import OwnFiles, find_sources, opened
from tests.integration.points.living import TENANT_UID, Living, own
from tests.integration.points.test_import import make_old_site, old, reason_of, rows, run_import, states, tar
from tests.support import hostile_tars
from tests.support.hostile_tars import END, FILE, folder, hardlink, member, symlink

LONG = "SMARTBACKUP_LONG" in os.environ
ALICE = Actor("alice", Role.CUSTOMER, "alice")
MADE = 1770087600
AS_ROOT = os.geteuid() == 0


def digest_of(top: Path) -> str:
    """Return one checksum of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(top.rglob("*")):
        digest.update(f"{path}{path.lstat().st_mode}{path.lstat().st_ctime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def hostile(outside: Path, root: Path) -> dict[str, bytes]:
    """Return streams that attack the import itself, with the domain's folder where it looks for it, and the reader's corpus."""
    below = os.fsencode(root).strip(b"/") + b"/"
    up = os.fsencode(outside)
    own_streams = {
        "up out of the chosen folder": folder(below) + member(below + b"../../../evil", b"0", b"x") + END,
        "a link and a file through it": symlink(below + b"l", up) + member(below + b"l/evil", b"0", b"x") + END,
        "the domain's folder as a link": symlink(b"shop.example", up) + member(b"shop.example/e", b"0", b"x") + END,
        "a hard link out of the chosen folder": member(b"secret", b"0", b"x")
        + member(below + b"a", b"0", b"x")
        + hardlink(below + b"b", b"secret")
        + END,
        "a hard link to an absolute name": member(below + b"a", b"0", b"x")
        + hardlink(below + b"b", b"/etc/passwd")
        + END,
        "absolute names elsewhere": member(up + b"/evil", b"0", b"x") + END,
        "a device beside it": member(below + b"a", b"0", b"x") + member(b"dev", b"3") + END,
        "no end": member(below + b"a", b"0", b"x"),
        "nothing of the domain": folder(b"shop.example/") + END,
    }
    corpus = hostile_tars.refused_streams(up)
    chosen = corpus if LONG else dict(list(corpus.items())[::12])
    return own_streams | chosen


def test_hostile_archives_are_refused_while_the_others_are_imported(living: Living) -> None:
    make_old_site(living)
    outside = living.host.folder / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "canary").write_text("untouched")
    sources = living.host.folder / "sources"
    sources.mkdir(mode=0o755)
    names = {}
    for number, (what, stream) in enumerate(hostile(outside, living.root).items()):
        name = f"hostile-{number}.tar.gz"
        names[name] = what
        (sources / name).write_bytes(gzip.compress(stream))
        old(sources / name, MADE + number)
    good = tar(sources / "good.tar.gz", "-C", str(living.root), ".")
    before = digest_of(outside), digest_of(living.root), digest_of(sources)
    job = run_import(living, sources)
    found = states(job)
    assert [names[name] for name, state in found.items() if name in names and state != "refused"] == []
    assert all(row.get("reason") for row in rows(job) if row["state"] == "refused")
    linked = next(name for name, what in names.items() if what == "a hard link out of the chosen folder")
    assert "outside the domain's folder" in reason_of(job, linked)
    assert found[good.name] == "imported"
    assert len(living.points()) == 1
    assert (digest_of(outside), digest_of(living.root), digest_of(sources)) == before
    assert os.listdir(living.store.parent / ".import") == []


def test_truncated_and_altered_archives_are_refused(living: Living) -> None:
    make_old_site(living)
    sources = living.host.folder / "sources"
    sources.mkdir(mode=0o755)
    whole = tar(living.host.folder / "whole.tar.gz", "-C", str(living.root), ".").read_bytes()
    for number in range(8):
        (sources / f"cut-{number}.tar.gz").write_bytes(whole[: len(whole) * (number + 1) // 9])
        altered = bytearray(whole)
        altered[len(whole) * (number + 1) // 9] ^= 4
        (sources / f"altered-{number}.tar.gz").write_bytes(altered)
    (sources / "two.tar.gz").write_bytes(whole + b"more")
    for path in sources.iterdir():
        old(path, MADE)
    job = run_import(living, sources)
    assert job.state is JobState.FAILED
    assert set(states(job).values()) == {"refused"}
    assert living.points() == []


def test_sources_are_opened_through_no_link_and_are_regular_files(living: Living) -> None:
    make_old_site(living)
    real = tar(living.host.folder / "real.tar.gz", "-C", str(living.root), ".")
    sources = living.host.folder / "sources"
    sources.mkdir(mode=0o755)
    (sources / "link.tar.gz").symlink_to(real)
    os.mkfifo(sources / "fifo.tar.gz")
    (sources / "folder.tar.gz").mkdir()
    old(sources / "fifo.tar.gz", MADE)
    old(sources / "link.tar.gz", MADE)
    old(sources / "folder.tar.gz", MADE)
    job = run_import(living, sources)
    assert states(job) == {"link.tar.gz": "refused", "fifo.tar.gz": "refused", "folder.tar.gz": "refused"}
    assert "is a link" in reason_of(run_import(living, sources / "link.tar.gz"), "link.tar.gz")
    (living.host.folder / "way").symlink_to(sources)
    assert "is a link" in reason_of(run_import(living, living.host.folder / "way"), "way")
    assert "does not exist" in reason_of(run_import(living, sources / "absent.tar.gz"), "absent.tar.gz")


@pytest.mark.skipif(not AS_ROOT, reason="only root can make files of others")
def test_in_a_folder_that_a_tenant_writes_to_only_that_tenants_own_files_count(living: Living) -> None:
    make_old_site(living)
    theirs = living.host.folder / "theirs"
    theirs.mkdir(mode=0o755)
    own(theirs)
    for name in ("own", "bobs", "linked"):
        path = tar(theirs / f"{name}.tar.gz", "-C", str(living.root), ".")
        os.chown(path, TENANT_UID if name != "bobs" else TENANT_UID + 1, TENANT_UID)
    os.link(theirs / "linked.tar.gz", theirs / "second name")
    os.utime(theirs / "own.tar.gz", (MADE, MADE))
    job = run_import(living, theirs)
    assert states(job) == {"own.tar.gz": "imported", "bobs.tar.gz": "refused", "linked.tar.gz": "refused"}
    assert "others may write to" in reason_of(job, "bobs.tar.gz")


def test_a_meta_of_another_domain_refuses_its_archive(living: Living) -> None:
    make_old_site(living)
    archive = tar(living.host.folder / "backup_20260201_030000.tar.gz", "-C", str(living.root), ".")
    Path(f"{archive}.meta").write_text('{"domain": "other.example"}')
    assert "belongs to 'other.example'" in reason_of(run_import(living, archive), archive.name)


def test_a_malformed_meta_says_nothing(living: Living) -> None:
    archive = living.host.folder / "backup_20260201_030000.tar.gz"
    archive.write_bytes(gzip.compress(FILE + END))
    for meta in (b"", b"[]", b"{", b"[" * 100_000, b'{"unix_timestamp": "x", "checksum": 7}', b"\xff"):
        Path(f"{archive}.meta").write_bytes(meta)
        [source], refused = find_sources([str(archive)], living.domain, OwnFiles("", frozenset()))
        assert (source.kind, source.meta, refused) == (SourceKind.FULL, OriginalMeta(), [])


def test_names_that_nobody_can_read_are_passed_over(living: Living) -> None:
    sources = living.host.folder / "sources"
    sources.mkdir(mode=0o755)
    for name in (b"\xff.tar.gz", b"a\nb.tar.gz", b"\x1b[2J.tar.gz"):
        with open(os.fsencode(sources) + b"/" + name, "wb") as file:
            file.write(gzip.compress(FILE + END))
    assert rows(run_import(living, sources)) == []


def test_what_would_be_of_the_future_is_refused(living: Living) -> None:
    archive = tar(living.host.folder / "backup_20300101_000000.tar.gz", "-C", str(living.root), ".")
    assert "still to come" in reason_of(run_import(living, archive), archive.name)


def test_an_archive_of_this_product_is_refused_with_the_right_command(living: Living) -> None:
    point = living.back_up("full")
    copy = shutil.copy(living.store / str(point.archive), living.host.folder / "copy.tar.gz")
    old(Path(copy), MADE)
    [row] = rows(run_import(living, Path(copy)))
    assert "archive of this installation" in str(row["reason"])
    assert "rebuild-catalog" in str(row["hint"])


def test_a_source_that_is_written_to_meanwhile_is_refused(living: Living) -> None:
    archive = tar(living.host.folder / "site.tar.gz", "-C", str(living.root), ".")
    [source], _ = find_sources([str(archive)], living.domain, OwnFiles("", frozenset()))
    with opened(source, living.domain, b"key") as found:
        found.refuse_changed(source.name)
        with archive.open("ab") as file:
            file.write(b"more")
        with pytest.raises(ArchiveDamaged, match="was changed while it was read"):
            found.refuse_changed(source.name)


def test_only_administrators_import_and_only_by_whole_paths(living: Living) -> None:
    requests = living.host.services.requests
    with pytest.raises(NotAllowed):
        requests.import_archives(ALICE, living.domain.id, ["/var/backups"])
    for place in ("/var/back\nups", "/var/\udcff"):
        with pytest.raises(WrongUsage):
            requests.import_archives(COMMAND_LINE, living.domain.id, [place])
    with pytest.raises(WrongUsage):
        requests.import_archives(COMMAND_LINE, living.domain.id, ["backups"])


@pytest.mark.skipif(not AS_ROOT, reason="everything is one user without root")
def test_no_path_leads_into_the_scratch_folder_not_even_for_its_owner(living: Living) -> None:
    with scratch.scratch_folder(living.host.installation, living.domain) as fd:
        place = living.store.parent / ".import" / living.domain.id
        assert os.fstat(fd).st_uid == TENANT_UID
        assert os.fstat(fd).st_mode & 0o777 == 0o700
        assert place.parent.stat().st_uid == 0
        assert place.parent.stat().st_mode & 0o777 == 0o700
        listed = subprocess.run(["ls", place], user=TENANT_UID, group=TENANT_UID, capture_output=True, check=False)
        assert b"Permission denied" in listed.stderr
    assert not place.exists()


def test_what_a_dead_import_left_is_removed_also_where_its_modes_forbid_it(living: Living) -> None:
    above = living.store.parent / ".import"
    left = above / living.domain.id
    (left / "deep/er").mkdir(parents=True)
    (left / "deep/er/file").write_text("x")
    for path in (left / "deep/er/file", left / "deep/er", left / "deep", left):
        own(path)
    (left / "deep/er").chmod(0)
    (left / "deep").chmod(0o500)
    scratch.clear(living.host.installation, living.domain)
    assert os.listdir(above) == []


def test_more_than_the_store_has_room_for_is_refused_before_it_is_unpacked(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room is held still: other programs of the machine take and free some meanwhile."""
    living.write("large.bin", bytes(30_000_000))
    archive = tar(living.host.folder / "large.tar.gz", "-C", str(living.root), ".")
    monkeypatch.setattr(store, "check_room", lambda *_: 40_000_000)
    assert "besides the reserve" in reason_of(run_import(living, archive), "large.tar.gz")
    assert living.points() == []


def test_a_descriptor_stays_open_no_longer_than_its_source(living: Living) -> None:
    with closing(os.open("/", os.O_RDONLY)) as lowest:
        archive = tar(living.host.folder / "site.tar.gz", "-C", str(living.root), ".")
        run_import(living, archive, living.host.folder / "absent")
        with closing(os.open("/", os.O_RDONLY)) as after:
            assert after <= lowest + 2

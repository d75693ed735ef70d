"""Every changed or missing byte of an archive is found, and no damaged byte is delivered."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from smartbackup_panel.core.errors import ArchiveDamaged, ArchiveMissing, ArchiveRefused
from smartbackup_panel.core.tree import AgentPurpose, Codec, PointKind, RestoreOptions
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet, read_file
from smartbackup_panel.engine.verify import verify_point
from tests.integration.engine.store import KEY, Store
from tests.integration.engine.trees import look, write
from tests.support.figures import Figure

IS_LONG = os.environ.get("SMARTBACKUP_LONG") == "1"
FLIPS, CUTS = (500, 50) if IS_LONG else (60, 20)
DAMAGE = (ArchiveDamaged, ArchiveRefused, ArchiveMissing)


def make_site(site: Path) -> dict[bytes, bytes]:
    """Fill a site with several frames and index blocks; return the content of its files."""
    contents = {b"large.bin": os.urandom(700_000) + b"compresses " * 60_000}
    for number in range(400):
        contents[f"posts/{number:03}.txt".encode()] = f"post {number} ".encode() * (number + 1)
    for path, content in contents.items():
        write(site / path.decode(), content)
    return contents


def ignore_progress(_files: int, _size_bytes: int) -> None:
    """Progress is not what these tests are about."""


def verify(folder_fd: int, name: str, *, whole_chain: bool = False) -> None:
    with ArchiveSet.open(folder_fd, name, KEY) as point:
        verify_point(point, whole_chain=whole_chain, advanced=ignore_progress)


def deliver(folder_fd: int, name: str, path: bytes) -> bytes:
    out = os.memfd_create("out")
    try:
        with ArchiveSet.open(folder_fd, name, KEY) as point:
            read_file(point, path, out)
        return os.pread(out, 1 << 24, 0)
    finally:
        os.close(out)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_every_flipped_bit_is_found_and_never_delivered(store: Store, site: Path, codec: Codec, figure: Figure) -> None:
    contents = make_site(site)
    store.back_up(codec=codec)
    sound, dice = store.path().read_bytes(), random.Random(20261101)
    wanted = sorted(contents)
    with store.open() as point:
        index_from = point.own.footer.area_start
    for number in range(FLIPS):
        at = dice.randrange(len(sound)) if number % 2 else dice.randrange(index_from, len(sound))
        damaged = bytearray(sound)
        damaged[at] ^= 1 << dice.randrange(8)
        store.path().write_bytes(damaged)
        with pytest.raises(DAMAGE):
            verify(store.fd, store.names[0])
        path = dice.choice(wanted)
        try:
            delivered = deliver(store.fd, store.names[0], path)
        except DAMAGE:
            continue
        assert delivered == contents[path], f"byte {at}"
    figure(f"{codec} archives with one flipped bit: all found", FLIPS, "archives")


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_the_bytes_that_hide_the_index_are_checked_too(store: Store, site: Path, codec: Codec) -> None:
    make_site(site)
    store.back_up(codec=codec)
    sound = store.path().read_bytes()
    with store.open() as point:
        start, head, tail = (
            point.own.footer.area_start,
            point.own.codec.piece_head_bytes,
            point.own.codec.piece_tail_bytes,
        )
        first_frame = point.own.frame_record(0).packed_bytes
    footer = len(sound) - 512 - head - tail
    wrapping = [*range(start, start + head), *range(start + head + 16_000, start + head + 16_000 + tail)]
    wrapping += [*range(footer, footer + head), *range(len(sound) - tail, len(sound))]
    for at in wrapping:
        damaged = bytearray(sound)
        damaged[at] ^= 0x20
        store.path().write_bytes(damaged)
        with pytest.raises(DAMAGE):
            verify(store.fd, store.names[0])
    for at in (5, 9, first_frame // 2, first_frame - 1):
        damaged = bytearray(sound)
        damaged[at] ^= 0x20
        store.path().write_bytes(damaged)
        with store.open() as point, pytest.raises(ArchiveDamaged, match="has changed between bytes 0 and"):
            point.own.read_frame(0)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD])
def test_every_truncation_is_found(store: Store, site: Path, codec: Codec, figure: Figure) -> None:
    make_site(site)
    store.back_up(codec=codec)
    sound, dice = store.path().read_bytes(), random.Random(20261102)
    lengths = {0, 1, len(sound) - 1, len(sound) - 512, *(dice.randrange(len(sound)) for _ in range(CUTS))}
    for length in lengths:
        store.path().write_bytes(sound[:length])
        with pytest.raises(DAMAGE):
            verify(store.fd, store.names[0])
    figure(f"{codec} archives cut short: all found", len(lengths), "archives")
    store.path().write_bytes(sound + b"\0")
    with pytest.raises(DAMAGE):
        verify(store.fd, store.names[0])
    store.path().write_bytes(sound)
    verify(store.fd, store.names[0])


def test_a_frame_that_swaps_with_another_is_found(store: Store, site: Path) -> None:
    write(site / "a.bin", os.urandom(600_000))
    write(site / "b.bin", os.urandom(600_000))
    store.back_up()
    sound = store.path().read_bytes()
    with store.open() as point:
        places = [point.own.frame_record(number)[:2] for number in range(point.own.footer.frame_count)]
    (first, size), (second, other) = [place for place in places if place[1] > 590_000][:2]
    assert size == other
    damaged = bytearray(sound)
    damaged[first : first + size], damaged[second : second + size] = (
        damaged[second : second + size],
        damaged[first : first + size],
    )
    store.path().write_bytes(damaged)
    with pytest.raises(ArchiveDamaged):
        verify(store.fd, store.names[0])


@pytest.fixture
def chain(store: Store, site: Path) -> Store:
    """Give a chain of a full point and three increments."""
    write(site / "first.txt", b"of the full point")
    store.back_up()
    for number in range(3):
        write(site / f"later{number}.txt", os.urandom(50_000))
        store.back_up(PointKind.INCREMENTAL, earlier=number)
    return store


def test_a_missing_link_of_a_chain_is_said_before_anything_is_touched(chain: Store, site: Path) -> None:
    before = look(site)
    chain.path(1).unlink()
    chain.verify(0)
    for number in (2, 3):
        with pytest.raises(ArchiveMissing, match="20261101_040000"):
            chain.restore(number)
    assert (look(site), os.listdir(site.parent).count(".smartbackup-deadbeef-shop.example")) == (before, 0)


def test_an_exchanged_link_of_a_chain_is_found(chain: Store) -> None:
    shutil.copyfile(chain.path(2), chain.path(1))
    with pytest.raises(ArchiveRefused, match="another name"), chain.open(1):
        pass
    with pytest.raises(ArchiveDamaged, match="is not the archive that"):
        chain.verify(3)


def test_a_damaged_link_of_a_chain_is_found_by_a_whole_verification(chain: Store) -> None:
    content = bytearray(chain.path(1).read_bytes())
    content[20_000] ^= 1
    chain.path(1).write_bytes(content)
    chain.verify(3, whole_chain=False)
    with pytest.raises(ArchiveDamaged):
        chain.verify(3, whole_chain=True)


def test_a_damaged_file_stops_the_restore_before_its_swap(chain: Store, site: Path) -> None:
    with chain.open(1) as point:
        offset = point.own.frame_record(0).offset
    content = bytearray(chain.path(1).read_bytes())
    content[offset + 500] ^= 0x10
    chain.path(1).write_bytes(content)
    before = look(site)
    with chain.open(3) as point, chain.agent(AgentPurpose.RESTORE) as agent:
        staging = agent.prepare_staging("cafe0123")
        with pytest.raises(ArchiveDamaged):
            agent.stage(point, staging, RestoreOptions())
        agent.discard(staging)
    assert look(site) == before


def test_an_archive_of_another_server_is_refused(store: Store, site: Path) -> None:
    write(site / "index.php", b"x")
    store.back_up()
    with pytest.raises(ArchiveRefused, match="signature"):
        ArchiveFile.open(store.fd, store.names[0], b"another server's key")
    ArchiveFile.open(store.fd, store.names[0], None).close()


@pytest.mark.parametrize("name", ["../backup.tar.gz", "/etc/passwd", ".hidden", "", "a\nb", "x" * 300])
def test_names_that_lead_out_of_the_store_are_refused(store: Store, name: str) -> None:
    with pytest.raises(ArchiveRefused):
        ArchiveFile.open(store.fd, name, KEY)


def test_a_link_or_pipe_in_the_store_is_not_followed(store: Store, site: Path) -> None:
    write(site / "index.php", b"x")
    store.back_up()
    (store.folder / "backup_link.tar.gz").symlink_to(store.path())
    os.mkfifo(store.folder / "backup_pipe.tar.gz")
    with pytest.raises(OSError, match="symbolic links"):
        ArchiveFile.open(store.fd, "backup_link.tar.gz", KEY)
    with pytest.raises(ArchiveRefused, match="regular"):
        ArchiveFile.open(store.fd, "backup_pipe.tar.gz", KEY)

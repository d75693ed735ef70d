"""Full archives out of earlier ones: frames whose members are all still the same are copied, the rest is packed again.

What a frame of the chain's first archive holds is told by arithmetic alone: its members follow one another in path order,
every header has a size that follows from its entry, and together they have to fill the frame to the last byte.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from smartbackup_panel.core.tree import Codec
from smartbackup_panel.engine.archive_file import ArchiveFile
from smartbackup_panel.engine.archive_reader import ArchiveSet
from smartbackup_panel.engine.entries import STAT, IndexEntry, data_size, sort_key
from smartbackup_panel.engine.frame_packer import FramePacker
from smartbackup_panel.engine.layout import PACK_BYTES
from smartbackup_panel.engine.tar_headers import header_bytes, tar_headers

TakeEntry = Callable[[IndexEntry], None]


class _Waiting(NamedTuple):
    """An entry whose header lies in the first archive, how long that is, and its content with what fills the last block."""

    entry: IndexEntry
    header: int
    content: int


class Synthesis:
    """Takes the entries of an earlier point that are still true, in path order, into a full archive being packed.

    `take` gets each entry with its new place, in the same order; `flush` has to be called before anything else is packed.
    """

    def __init__(self, point: ArchiveSet, packer: FramePacker, codec: Codec, take: TakeEntry) -> None:
        self._point = point
        self._packer = packer
        self._take = take
        self._first = point.file(0)
        self._may_copy = self._first.footer.codec is codec
        self._originals = None if point.listing is self._first else iter(_own_list(self._first))
        self._original = None if self._originals is None else next(self._originals, None)
        self._waiting: list[_Waiting] = []
        self._frame: int | None = None
        self._frame_bytes = 0
        self._filled = 0

    def offer(self, entry: IndexEntry) -> None:
        """Take the next entry of the earlier point."""
        mode, _, _, nlink, size, *_ = STAT.unpack(entry.stat)
        is_file = stat.S_ISREG(mode)
        if not self._may_copy or (is_file and nlink > 1) or not self._is_original(entry):
            self.flush()
            self._pack(entry)
        elif not is_file:
            waiting = _Waiting(entry, header_bytes(entry), 0)
            self._waiting.append(waiting)
            self._fill(waiting.header)
        elif size > PACK_BYTES or entry.segments is not None:
            size = data_size(entry)
            self._offer_large(_Waiting(entry, header_bytes(entry), size + -size % 512))
        else:
            self._offer_small(_Waiting(entry, header_bytes(entry), size + -size % 512))

    def _is_original(self, entry: IndexEntry) -> bool:
        """Whether the first archive holds exactly this entry's header and content."""
        if self._originals is None:
            return True
        if entry.member or entry.archive:
            return False
        key = sort_key(entry.path)
        while self._original is not None and sort_key(self._original.path) < key:
            self._original = next(self._originals, None)
        return self._original == entry

    def _offer_small(self, waiting: _Waiting) -> None:
        entry = waiting.entry
        if self._frame is not None and (entry.frame != self._frame or entry.offset != self._filled + waiting.header):
            self.flush()
        self._waiting.append(waiting)
        if self._frame is None and not self._begin_frame(entry):
            self.flush()
            return
        self._filled = entry.offset
        self._fill(waiting.content)

    def _begin_frame(self, entry: IndexEntry) -> bool:
        """Find the waiting entries that lie before `entry` in its frame; what came before them is packed again."""
        missing, place = entry.offset, len(self._waiting)
        while missing > 0 and place > 0:
            place -= 1
            missing -= self._waiting[place].header
        if missing:
            return False
        earlier, self._waiting = self._waiting[:place], self._waiting[place:]
        for waiting in earlier:
            self._pack(waiting.entry)
        self._frame = entry.frame
        self._frame_bytes = self._first.frame_record(entry.frame).plain_bytes
        return True

    def _fill(self, size_bytes: int) -> None:
        """Count bytes of the frame under way; copy it when it is complete."""
        if self._frame is None:
            return
        self._filled += size_bytes
        if self._filled == self._frame_bytes:
            self._copy(self._frame, 1)
        elif self._filled > self._frame_bytes:
            self.flush()

    def _offer_large(self, waiting: _Waiting) -> None:
        """Copy a large file's own frames."""
        entry = waiting.entry
        self.flush()
        missing, frame = waiting.header + waiting.content, entry.frame
        while missing > 0 and frame < self._first.footer.frame_count:
            missing -= self._first.frame_record(frame).plain_bytes
            frame += 1
        if missing or entry.offset != waiting.header:
            self._pack(entry)
            return
        self._waiting.append(waiting)
        self._copy(entry.frame, frame - entry.frame)

    def _copy(self, frame: int, count: int) -> None:
        new_frame = self._packer.copy(0, frame, count)
        for waiting in self._waiting:
            entry = waiting.entry
            is_placed = waiting.content or _has_content(entry)
            self._take(msgspec.structs.replace(entry, frame=new_frame) if is_placed else entry)
        self._waiting, self._frame, self._filled = [], None, 0

    def flush(self) -> None:
        """Pack what is waiting for the rest of its frame."""
        waiting, self._waiting = self._waiting, []
        self._frame, self._filled = None, 0
        for row in waiting:
            self._pack(row.entry)

    def _pack(self, entry: IndexEntry) -> None:
        """Write a member anew, its content out of the earlier archives."""
        moved = msgspec.structs.replace(entry, archive=0, member=0)
        header = tar_headers(entry)
        if not _has_content(entry):
            self._packer.add_plain(header)
            self._take(moved)
            return
        pieces, size_bytes = self._point.data(entry), data_size(entry)
        frame, offset = self._packer.add_file(header, pieces, size_bytes, is_alone=entry.segments is not None)
        self._take(msgspec.structs.replace(moved, frame=frame, offset=offset))


def _has_content(entry: IndexEntry) -> bool:
    return stat.S_ISREG(int.from_bytes(entry.stat[:4], "little")) and not entry.link


def _own_list(file: ArchiveFile) -> Iterator[IndexEntry]:
    """Yield what a full archive lists."""
    for number in range(len(file.directory)):
        yield from file.read_block(number)

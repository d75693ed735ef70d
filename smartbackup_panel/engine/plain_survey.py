"""Looking through a plain tar of somebody before it is unpacked: what is in it, and which of its folders is the domain's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

from smartbackup_panel.core.errors import ArchiveRefused
from smartbackup_panel.core.tree import EntryType, NameList, TarSurvey
from smartbackup_panel.engine.plain_tar import PlainTar

LIST_BYTES = 64 * 1024 * 1024
"""The longest list of changed files that is read."""

_LISTED_NAMES = 1_000
Advanced = Callable[[int, int], None]


def survey(
    fd: int,
    name: str,
    root: bytes,
    names: Sequence[bytes],
    strip: bytes | None,
    list_fd: int | None,
    advanced: Advanced,
) -> TarSurvey:
    """Return what an archive holds of the domain whose folder was `root` and is called one of `names`.

    `strip` says which folder of the archive it is (b"": the archive's own), None lets the content decide. Every byte is
    inflated and checked. Raises ArchiveDamaged, ArchiveRefused.
    """
    tar = PlainTar(fd, name, may_be_absolute=True)
    seen = _Seen(root.strip(b"/"), frozenset(names))
    for entry in tar:
        if entry.type is not EntryType.DIRECTORY:
            seen.add(entry.path, entry.size)
            advanced(seen.count, seen.size_bytes)
    chosen = seen.choose(name) if strip is None else strip
    if not chosen and tar.absolute_count:
        raise ArchiveRefused(
            f"{name} has absolute names and the domain's folder is not the one that they lie in",
            hint="Name the archive's folder that is the domain's with --strip.",
        )
    file_count, size_bytes = seen.sums(chosen)
    if not file_count:
        raise ArchiveRefused(f"{name} holds no file of the domain", hint="Is it another domain's archive?")
    listed = [] if list_fd is None else _listed(list_fd, name)
    absent = sorted(path for path in listed if not seen.has_listed(path, chosen))
    return TarSurvey(
        file_count=file_count,
        size_bytes=size_bytes,
        strip=chosen,
        elsewhere_count=seen.count - file_count,
        listed_count=len(listed),
        absent=NameList(len(absent), tuple(absent[:_LISTED_NAMES])),
    )


class _Seen:
    """The files of an archive, by the first of their folders that is called like the domain."""

    def __init__(self, root: bytes, names: frozenset[bytes]) -> None:
        self._root = root
        self._names = names
        self._counts: Counter[bytes] = Counter()
        self._sizes: dict[bytes, int] = {}
        self.size_bytes = 0
        self._has_file_at_top = False

    @property
    def count(self) -> int:
        return len(self._sizes)

    def add(self, path: bytes, size_bytes: int) -> None:
        """Take in a file or link."""
        self._sizes[path] = size_bytes
        self.size_bytes += size_bytes
        self._has_file_at_top |= b"/" not in path
        place = self._place(path)
        if place is not None:
            self._counts[place] += 1

    def _place(self, path: bytes) -> bytes | None:
        if self._root and path.startswith(self._root + b"/"):
            return self._root
        folders = path.split(b"/")[:-1]
        for depth, folder in enumerate(folders, 1):
            if folder in self._names:
                return b"/".join(folders[:depth])
        return None

    def choose(self, name: str) -> bytes:
        """Return the folder that is the domain's: the one that it has on this server, or one of its name with all files in it.

        A site that has files beside such a folder is taken as it is. Raises ArchiveRefused where several could be it.
        """
        if self._counts[self._root]:
            return self._root
        if len(self._counts) > 1 and self._counts.total() == self.count:
            some = ", ".join(repr(place.decode("utf-8", "backslashreplace")) for place in sorted(self._counts)[:3])
            raise ArchiveRefused(
                f"{name} holds several folders that could be the domain's: {some}",
                hint="Name the one that is with --strip.",
            )
        place, count = next(iter(self._counts.items()), (b"", 0))
        if count == self.count or not count or self._has_file_at_top:
            return place if count == self.count else b""
        raise ArchiveRefused(
            f"{name} holds {place.decode('utf-8', 'backslashreplace')!r} and other folders beside it",
            hint="Say with --strip which folder is the domain's ('.': the archive's own).",
        )

    def sums(self, folder: bytes) -> tuple[int, int]:
        """Return how many files lie below a folder, and their bytes."""
        if not folder:
            return self.count, self.size_bytes
        sizes = [size for path, size in self._sizes.items() if path.startswith(folder + b"/")]
        return len(sizes), sum(sizes)

    def has_listed(self, path: bytes, folder: bytes) -> bool:
        """Return whether a path of a list is here: by its name, or as the domain's file that it is below `folder`."""
        place = self._place(path)
        rest = path if place is None else path[len(place) + 1 :]
        return path in self._sizes or (folder + b"/" + rest if folder else rest) in self._sizes


def _listed(list_fd: int, name: str) -> list[bytes]:
    """Return the paths of a list of changed files as an archive would name them. Raises ArchiveRefused."""
    with os.fdopen(os.dup(list_fd), "rb") as file:
        content = file.read(LIST_BYTES + 1)
    if len(content) > LIST_BYTES:
        raise ArchiveRefused(f"the list of changed files of {name} has more than {LIST_BYTES} bytes")
    return [line.lstrip(b"/").removeprefix(b"./") for line in content.split(b"\n") if line.strip(b"/")]

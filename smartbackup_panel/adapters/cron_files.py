"""Files of a cron folder (/etc/cron.d), written so that Debian's cron runs them: its silent refusals are checked here."""

from __future__ import annotations

import os
import re
import stat

PREFIX = "smartbackup-"
# run-parts naming, which Debian's cron demands of /etc/cron.d: a file with a dot in its name is never run.
_NAME = re.compile(r"smartbackup-[A-Za-z0-9_-]{1,100}")


class CronFiles:
    """One cron folder. Files whose names are not ours are neither read, changed nor removed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def write(self, name: str, content: str) -> bool:
        """Write a file (0644, ours) atomically and durably; return whether anything changed."""
        path, body = self._path(name), content.encode()
        if not content.endswith("\n"):
            raise ValueError("cron ignores a last line without its end")
        if self._is_as_wanted(path, body):
            return False
        part = os.path.join(self.folder, f".{name}.part")  # cron passes over names with a dot
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(part, flags, 0o644)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o644)
            file.write(body)
            file.flush()
            os.fsync(fd)
        os.rename(part, path)
        self._sync()
        return True

    def remove(self, name: str) -> bool:
        """Remove a file of ours and return whether it was there."""
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return False
        self._sync()
        return True

    def list_ours(self) -> list[str]:
        """Return the names of our files, sorted; none where the folder is not there."""
        try:
            return sorted(name for name in os.listdir(self.folder) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    def problems(self, name: str) -> list[str]:
        """Return why cron would not run a file as it is meant, in Debian's cron's own rules."""
        path = os.path.join(self.folder, name)
        found = [] if _NAME.fullmatch(name) else [f"{name}: cron never runs a file of this name"]
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return [*found, f"{path} is not there"]
        if not stat.S_ISREG(status.st_mode):
            return [*found, f"{path} is no plain file"]
        if status.st_nlink != 1:
            found.append(f"{path} has {status.st_nlink} links; cron wants one")
        if status.st_mode & 0o777 != 0o644:
            found.append(f"{path} has mode {status.st_mode & 0o777:04o} instead of 0644")
        if status.st_uid != os.geteuid():
            found.append(f"{path} belongs to user {status.st_uid} instead of {os.geteuid()}")
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            if not file.read().endswith(b"\n"):
                found.append(f"{path} does not end with a line end: cron ignores its last line")
        return found

    def _is_as_wanted(self, path: str, body: bytes) -> bool:
        if not os.path.lexists(path) or self.problems(os.path.basename(path)):
            return False
        with open(path, "rb") as file:
            return file.read() == body

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a cron file of ours")
        return os.path.join(self.folder, name)

    def _sync(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

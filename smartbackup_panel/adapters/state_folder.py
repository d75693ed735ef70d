"""The state folder, and the account of the pages: a user who owns the state database in it and nothing else (SECURITY rule 27).

Only root can make use of it; everybody else owns the whole folder and runs the pages too.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys

DATABASE_FOLDER = "db"
SHOWN_FOLDERS = ("catalog", "downloads")
"""What the worker writes for the pages, which may read it and nothing more."""


def find_account(name: str) -> pwd.struct_passwd | None:
    """Return the account that the pages get, None where this process is not root or there is no such user."""
    if os.geteuid() != 0 or not name:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def prepare(state_dir: str, account: pwd.struct_passwd | None) -> None:
    """Make the state folder, for this user alone or, where there is an account, with the database's folder for that one.

    What is there already is handed over when it is root's. Raises OSError.
    """
    database_folder = os.path.join(state_dir, DATABASE_FOLDER)
    os.makedirs(state_dir, mode=0o700, exist_ok=True)
    os.makedirs(database_folder, mode=0o700, exist_ok=True)
    for name in SHOWN_FOLDERS:
        os.makedirs(os.path.join(state_dir, name), mode=0o700, exist_ok=True)
    if account is None:
        return
    for name in SHOWN_FOLDERS:
        os.chown(os.path.join(state_dir, name), 0, account.pw_gid)
        os.chmod(os.path.join(state_dir, name), 0o750)  # noqa: S103  # the account reads what is in it
    if os.stat(state_dir).st_uid == 0:
        os.chown(state_dir, 0, account.pw_gid)
        os.chmod(state_dir, 0o710)  # noqa: S103  # the account has to pass through to its folder
    if os.stat(database_folder).st_uid == 0:
        for name in os.listdir(database_folder):
            _hand_over(os.path.join(database_folder, name), account)
        os.chown(database_folder, account.pw_uid, account.pw_gid)


def _hand_over(path: str, account: pwd.struct_passwd) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.fchown(fd, account.pw_uid, account.pw_gid)
    finally:
        os.close(fd)


def give_to_owner_of(folder: str, fd: int) -> None:
    """Give a file that root made to the owner of the folder that it lies in."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.fchown(fd, owner.st_uid, owner.st_gid)


def become(account: pwd.struct_passwd, state_dir: str) -> bool:
    """Become the account for good; False, and nothing changed, where it cannot reach the program or the state."""
    folder = os.path.join(state_dir, DATABASE_FOLDER)
    program = [os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(os.path.dirname(__file__)))]
    read = [*program, *filter(os.path.isdir, sys.path)]
    written = [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]
    if not all(_may(account, "-r", path) for path in read) or not all(_may(account, "-w", path) for path in written):
        return False
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    return True


def _may(account: pwd.struct_passwd, right: str, path: str) -> bool:
    """Whether the account has a right of test(1) to a path."""
    ended = subprocess.run(
        ["/usr/bin/test", right, path],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        cwd="/",
        check=False,
    )
    return ended.returncode == 0

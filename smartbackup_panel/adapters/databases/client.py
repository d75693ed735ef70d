"""The dump client of MariaDB or MySQL: which program, which options it knows, and its login by descriptor."""

from __future__ import annotations

import re
from functools import lru_cache

from smartbackup_panel.adapters.process import Account, SecretFile, find_program, run
from smartbackup_panel.core.database_hosts import Address, DatabaseLogin
from smartbackup_panel.core.errors import DumpFailed

DUMP_PROGRAMS = ("mariadb-dump", "mysqldump")
INSERT_BYTES = 1024 * 1024
_ALWAYS = (
    "--single-transaction",
    "--quick",
    "--skip-lock-tables",
    "--hex-blob",
    "--skip-triggers",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1073741824",
    f"--net-buffer-length={INSERT_BYTES}",
)
_WHERE_KNOWN = ("--skip-dump-date", "--no-tablespaces", "--set-gtid-purged=OFF", "--column-statistics=0")
_HELP_SECONDS = 20


def dump_options(program: str) -> list[str]:
    """Return the options for a consistent dump of tables and rows by this program, without those that it does not know."""
    known = known_options(program, "--no-defaults")
    return [*_ALWAYS, *(option for option in _WHERE_KNOWN if _plain_name(option) in known)]


@lru_cache(maxsize=8)
def known_options(program: str, *first: str) -> frozenset[str]:
    """Return the long option names, without dashes, that the program's own help lists; `first` are options before it."""
    ended = run(program, [*first, "--help"], time_limit_seconds=_HELP_SECONDS)
    if ended.returncode != 0:
        raise DumpFailed(f"{program} --help exited {ended.returncode}: {ended.stderr_tail}")
    names = re.findall(rb"--([a-z][a-z0-9-]+)", ended.stdout.replace(b"_", b"-"))
    return frozenset(name.decode() for name in names)


def find_dump_program() -> str:
    """Return the absolute path of the dump client, or raise ToolMissing."""
    return find_program(*DUMP_PROGRAMS)


def login_file(login: DatabaseLogin, address: Address, account: Account | None) -> SecretFile:
    """Return the option file of a client: the whole login, so that nothing of it is in the argument list."""
    lines = ["[client]", f"user={option_value(login.user)}", f"password={option_value(login.password)}"]
    if address.socket is not None:
        lines += ["host=localhost", f"socket={option_value(address.socket)}"]
    else:
        lines += [f"host={option_value(address.host or '')}", f"port={address.port}", "protocol=tcp"]
    return SecretFile("\n".join([*lines, ""]).encode(), [login.password], account)


def option_value(text: str) -> str:
    """Return a value as option files write it: in double quotes, so that `#`, quotes, spaces and newlines are its own."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def _plain_name(option: str) -> str:
    return option.removeprefix("--").removeprefix("skip-").partition("=")[0]

"""Six hundred names that harm whoever treats a name as text, option, pattern or command (case T09)."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from smartbackup_panel.core.tree import RestoreOptions
from smartbackup_panel.engine.archive_reader import read_file
from tests.integration.engine.store import Store
from tests.integration.engine.trees import look

COMMANDS = [
    b"-rf",
    b"--checkpoint=1",
    b"--checkpoint-action=exec=touch x",
    b"--to-command=touch x",
    b"$(touch x)",
    b"`touch x`",
    b"'; touch x #",
    b'"; touch x #',
    b"| touch x",
    b"a\nb",
    b"\n",
    b" ",
    b"...",
    b"\x1b[31mred\x1b[0m",
    "\u202egpj.exe".encode(),
    b"\xff\xfe",
    b"\xc3",
    b"%s%n",
    b"{{7*7}}",
    b"*",
    b"[a-z]",
    b"!important",
    b"#comment",
    b"back\\slash",
    b"PaxHeaders",
    b"n" * 255,
    "ü".encode() * 127,
]


def hostile_names() -> list[bytes]:
    """Return 600 names: every byte alone and inside a name, commands and options, the longest, and random bytes."""
    dice = random.Random(9)
    names = dict.fromkeys(COMMANDS)
    for byte in set(range(1, 256)) - {ord("/"), ord(".")}:
        names[bytes([byte])] = None
        names[b"in-" + bytes([byte]) + b"-side"] = None
    while len(names) < 600:
        names[bytes(dice.choice([*range(1, 47), *range(48, 256)]) for _ in range(dice.randrange(3, 256)))] = None
    return list(names)


def test_six_hundred_hostile_names_come_back_to_the_byte(store: Store, site: Path, open_folder: Path) -> None:
    names, root = hostile_names(), os.fsencode(site)
    for number, name in enumerate(names):
        if number % 7 == 0:
            os.mkdir(root + b"/" + name)
            os.symlink(name, root + b"/" + name + b"/link" if len(name) < 200 else root + b"/" + name + b"/l")
        else:
            with open(root + b"/" + name, "wb") as file:
                file.write(b"content of %d" % number)
    store.back_up()
    with store.open() as point:
        assert {entry.path for entry in point.children(b"")} == set(names)
        for number in (1, 2, 3, 10, 599):
            out = os.memfd_create("out")
            read_file(point, names[number], out)
            assert os.pread(out, 100, 0) == b"content of %d" % number
            os.close(out)
    store.restore_into(open_folder / "all")
    assert look(open_folder / "all") == look(site)
    for number in (0, 2, 9, 11):
        store.restore_into(open_folder / f"one-{number}", options=RestoreOptions(paths=(names[number],)))
        assert os.listdir(os.fsencode(open_folder / f"one-{number}")) == [names[number]]
    (open_folder / "tar").mkdir()
    subprocess.run(["/usr/bin/tar", "-xzf", store.path(), "-C", open_folder / "tar"], check=True, cwd=open_folder)
    assert look(open_folder / "tar") == look(site)
    assert not [path for path in open_folder.rglob("x") if path.parent.name not in ("all", "tar", "shop.example")]

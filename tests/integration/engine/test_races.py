"""A tenant who swaps files for links while the agent works wins nothing."""

from __future__ import annotations

import gzip
import os
import signal
import time
from pathlib import Path

import pytest

from smartbackup_panel.core.tree import PointKind
from tests.integration.engine.store import Store
from tests.integration.engine.tenants import ALICE, AS_ALICE, as_user, give
from tests.integration.engine.trees import write

CANARY = b"CANARY-of-the-server"
SWAPPER = """
root, target = sys.argv[1:]
os.chdir(root)
os.symlink(target, "link-to-file")
os.symlink(os.path.dirname(target), "link-to-folder")
while True:
    for name in ("file", "folder"):
        os.rename(name, "kept"); os.rename("link-to-" + name, name)
        os.rename(name, "link-to-" + name); os.rename("kept", name)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("owner_is_root", [False, True], ids=["as the tenant", "as root's own agent"])
def test_a_file_swapped_for_a_link_never_leaks(open_folder: Path, site: Path, owner_is_root: bool) -> None:
    canary = write(open_folder / "outside" / "secret", CANARY)
    give(site, ALICE)
    give(write(site / "file", b"inside"), ALICE)
    give(write(site / "folder" / "secret", b"inside"), ALICE)
    give(site / "folder", ALICE)
    tenant = AS_ALICE
    if owner_is_root:
        from smartbackup_panel.core.tree import Tenant

        tenant = Tenant(0, 0, web_uids=(ALICE,))
    store = Store(open_folder / "store", site, tenant)
    swapper = as_user(ALICE, SWAPPER, site, canary)
    try:
        time.sleep(0.2)
        for _ in range(8):
            store.back_up(PointKind.FULL)
            with gzip.open(store.path()) as file:
                assert CANARY not in file.read()
    finally:
        swapper.send_signal(signal.SIGKILL)
        swapper.wait()
        store.close()

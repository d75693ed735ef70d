"""Debian's own WordPress as a folder that needs nothing else of the system.

The packages are fetched once by apt-get and kept, unpacked, in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

# The theme, and what WordPress's package links to instead of shipping it.
PACKAGES = ("wordpress", "wordpress-theme-twentytwentythree", "libjs-underscore", "libjs-cropper", "php-getid3")


@pytest.fixture(scope="session")
def wordpress_package() -> Path:
    """Give the folder of an unpacked, never installed WordPress; copy it, do not change it."""
    return find_wordpress()


def find_wordpress() -> Path:
    """Return the folder of Debian's WordPress, fetched and unpacked the first time; RuntimeError when apt-get cannot."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartbackup-tests"
    name = "wordpress-" + hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    if not (cache / name).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _unpack(Path(scratch))
            try:
                (Path(scratch) / "site").rename(cache / name)
            except OSError:  # another process of the same run was faster
                if not (cache / name).is_dir():
                    raise
    return cache / name


def _unpack(scratch: Path) -> None:
    """Leave WordPress without any link in `scratch`/site."""
    _run(["apt-get", "download", *PACKAGES], scratch)
    system = scratch / "system"
    for package in sorted(scratch.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(system)], scratch)
    shipped = system / "usr/share/wordpress"
    for link in [path for path in shipped.rglob("*") if path.is_symlink()]:
        target = Path(os.readlink(link))
        # Absolute links lead into the machine: what the packages brought themselves is meant, or the machine's own file.
        inside = system / target.relative_to("/") if target.is_absolute() else link.parent / target
        found = inside if inside.exists() else target
        link.unlink()
        link.write_bytes(found.read_bytes() if found.exists() else b"")
    (shipped / "wp-config.php").unlink()
    shipped.rename(scratch / "site")


def _run(command: list[str], folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited {run.returncode}: {run.stderr[-2000:]}")

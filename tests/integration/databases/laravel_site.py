"""A domain whose .env names a database, as Laravel writes it, in an installation of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from tests.support.installation import Installation
from tests.support.sites import Site

DOMAIN = "app.example.test"


@dataclass
class LaravelSite:
    """The installation and the domain's folder."""

    installation: Installation
    site: Site

    def back_up(self, *options: str) -> dict[str, Any]:
        """Make a point and return it as the command line tells it."""
        return dict(self.installation.smartbackup("backup", DOMAIN, *options))

    def database(self, *options: str) -> dict[str, Any]:
        """Make a point and return its only database."""
        return dict(self.back_up(*options)["databases"][0])

    def dumps(self) -> list[str]:
        return sorted(name for name in os.listdir(self.installation.backup_root / DOMAIN) if "database" in name)


def add_laravel(
    installation: Installation, kind: str, name: str, user: str, password: str, host: str = "localhost", port: str = ""
) -> LaravelSite:
    """Make the domain; its login is as given."""
    lines = {
        "DB_CONNECTION": kind,
        "DB_HOST": host,
        "DB_PORT": port,
        "DB_DATABASE": name,
        "DB_USERNAME": user,
        "DB_PASSWORD": f"'{password}'",
    }
    env = "".join(f"{key}={value}\n" for key, value in lines.items() if value)
    files: dict[str, bytes | str] = {"artisan": "", "composer.json": "{}", ".env": env, "public/index.php": "<?php\n"}
    return LaravelSite(installation, installation.add_site(DOMAIN, files))

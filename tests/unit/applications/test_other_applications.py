"""Laravel, plain PHP, static sites and SQLite files are told apart; what cannot be read is a warning."""

from __future__ import annotations

from typing import Any

import pytest

from smartbackup_panel.engine.applications import find_application
from tests.unit.applications.folder import Folder

LARAVEL_VERSION = "vendor/laravel/framework/src/Illuminate/Foundation/Application.php"
ENV = """APP_NAME="A shop"
DB_CONNECTION=mysql
DB_HOST=127.0.0.1
DB_PORT=3307
DB_DATABASE=alice_shop # the shop
DB_USERNAME='alice'
DB_PASSWORD="p#a ss'$word"
"""


def laravel(env: str | None) -> dict[str, Any]:
    files: dict[str, str | bytes | None] = {
        "artisan": "",
        "composer.json": "{}",
        "public/index.php": "<?php",
        LARAVEL_VERSION: "<?php class A { const VERSION = '11.4.0'; }",
    }
    if env is not None:
        files[".env"] = env
    return find_application(Folder(files))


def test_a_laravel_login_is_read_from_its_env_file() -> None:
    found = laravel(ENV)
    assert (found["kind"], found["version"], found["document_root"], found["config"]) == (
        "laravel",
        "11.4.0",
        "public",
        ".env",
    )
    assert found["warnings"] == []
    assert found["databases"] == [
        {
            "kind": "mysql",
            "name": "alice_shop",
            "user": "alice",
            "password": "p#a ss'$word",
            "host": "127.0.0.1",
            "port": 3307,
            "socket": None,
            "charset": None,
            "table_prefix": None,
        }
    ]


@pytest.mark.parametrize(
    ("env", "warning"),
    [
        (None, "This Laravel application has no .env"),
        (ENV.replace("mysql", "pgsql"), "The database connection 'pgsql' of .env is not dumped yet."),
        (ENV + "DB_URL=mysql://x:y@z/w\n", "DB_URL in .env is not read"),
        (ENV.replace("alice_shop", "${APP_NAME}"), "The database login in .env is incomplete"),
        (ENV.replace("3307", "99999999999"), "The database login in .env is incomplete"),
    ],
)
def test_what_is_not_a_plain_login_is_a_warning(env: str | None, warning: str) -> None:
    found = laravel(env)
    assert found["databases"] == []
    assert found["warnings"][0].startswith(warning)


@pytest.mark.parametrize(
    ("files", "kind", "root"),
    [
        ({"index.html": "x"}, "static", ""),
        ({"public_html/index.html": "x", "logs/a": "x"}, "static", "public_html"),
        ({"index.php": "x"}, "php", ""),
        ({"web/index.php": "x", "composer.json": "{}"}, "php", "web"),
        ({"notes.txt": "x"}, "generic", ""),
        ({}, "generic", ""),
    ],
)
def test_other_sites_are_told_apart(files: dict[str, str | bytes | None], kind: str, root: str) -> None:
    found = find_application(Folder(files))
    assert (found["kind"], found["document_root"], found["databases"], found["warnings"]) == (kind, root, [], [])


def test_sqlite_files_are_listed() -> None:
    found = find_application(Folder({"index.php": "x", "data/shop.sqlite": "x", "public/a.db": "x", "notes.txt": ""}))
    assert found["sqlite_files"] == ["data/shop.sqlite", "public/a.db"]

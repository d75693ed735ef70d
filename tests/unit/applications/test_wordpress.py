"""A WordPress login is read from wp-config.php as PHP would see it, and only where it is written in plain text."""

from __future__ import annotations

import time
from typing import Any

import pytest

from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.engine.applications import find_application
from tests.unit.applications.folder import Folder

CONFIG = """<?php
/** The name of the database: define( 'DB_NAME', 'in_a_comment' ); */
define( 'DB_NAME', 'alice_wp' );
define( "DB_USER", "alice" );
define( 'DB_PASSWORD', 'pa\\'ss\\\\w"ord$x' );
define( 'DB_HOST', 'localhost' );
define( 'DB_CHARSET', 'utf8mb4' );
$table_prefix = 'wp7_';
require_once ABSPATH . 'wp-settings.php';
"""
CORE = {
    "wp-load.php": "<?php",
    "wp-settings.php": "<?php",
    "wp-includes/version.php": "<?php\n$wp_version = '6.8.1';\n",
}


def wordpress(config: str | bytes | None, folder: str = "") -> dict[str, Any]:
    files: dict[str, str | bytes | None] = {f"{folder}{path}": text for path, text in CORE.items()}
    return find_application(Folder({**files, f"{folder}wp-config.php": config}))


def settings(php: str) -> dict[str, Any]:
    """The login of a configuration with one part of it replaced or added in front."""
    return wordpress(CONFIG.replace("<?php\n", f"<?php\n{php}\n"))


def test_a_plain_configuration_is_read_completely() -> None:
    found = wordpress(CONFIG)
    assert found == {
        "kind": "wordpress",
        "version": "6.8.1",
        "document_root": "",
        "config": "wp-config.php",
        "databases": [
            {
                "kind": "mysql",
                "name": "alice_wp",
                "user": "alice",
                "password": "pa'ss\\w\"ord$x",
                "host": "localhost",
                "port": None,
                "socket": None,
                "charset": "utf8mb4",
                "table_prefix": "wp7_",
            }
        ],
        "warnings": [],
        "sqlite_files": [],
    }
    assert DatabaseLogin.from_fields(found["databases"][0]).user == "alice"


@pytest.mark.parametrize("folder", ["public_html/", "public/", "httpdocs/", "htdocs/", "web/"])
def test_it_is_found_below_the_folder_and_its_configuration_one_folder_up(folder: str) -> None:
    assert wordpress(CONFIG, folder)["document_root"] == folder.rstrip("/")
    files: dict[str, str | bytes | None] = {f"{folder}{path}": text for path, text in CORE.items()}
    found = find_application(Folder({**files, "wp-config.php": CONFIG}))
    assert (found["document_root"], found["config"]) == (folder.rstrip("/"), "wp-config.php")
    assert found["databases"][0]["name"] == "alice_wp"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", ("localhost", None, None)),
        ("127.0.0.1:3307", ("127.0.0.1", 3307, None)),
        ("DB.example.com", ("db.example.com", None, None)),
        ("localhost:/run/mysqld/other.sock", ("localhost", None, "/run/mysqld/other.sock")),
        (":/tmp/my.sock", ("localhost", None, "/tmp/my.sock")),
        ("[::1]:3306", ("::1", 3306, None)),
        ("::1", ("::1", None, None)),
    ],
)
def test_hosts_are_read_as_wordpress_reads_them(host: str, expected: tuple[str, int | None, str | None]) -> None:
    login = wordpress(CONFIG.replace("'localhost'", f"'{host}'"))["databases"][0]
    assert (login["host"], login["port"], login["socket"]) == expected


@pytest.mark.parametrize(
    ("php", "name"),
    [
        ("define('DB_NAME', 'first');", "first"),
        ('DEFINE("DB_NAME", "es\\x63\\u{61}\\"p\\$e");', 'esca"p$e'),
        ("\\define('DB_NAME', 'rooted');", "rooted"),
        ("const DB_NAME = 'constant';", "constant"),
        ("if (!defined('DB_NAME')) { define('DB_NAME', 'alice_wp'); }", "alice_wp"),
        ("defined('DB_NAME') || define('DB_NAME', 'alice_wp');", "alice_wp"),
        ("# define('DB_NAME', 'hash');\n// define('DB_NAME', 'slash');", "alice_wp"),
        ("function f() { define('DB_NAME', 'inside'); }", "alice_wp"),
        ("class A { const DB_NAME = 'inside'; }", "alice_wp"),
        ("$x = \"define('DB_NAME', 'quoted');\";", "alice_wp"),
        ("$x = <<<X\ndefine('DB_NAME', 'heredoc');\nX;", "alice_wp"),
        ("?> define('DB_NAME', 'html'); <?php", "alice_wp"),
    ],
)
def test_the_value_that_php_would_see_is_taken(php: str, name: str) -> None:
    assert settings(php)["databases"][0]["name"] == name


@pytest.mark.parametrize(
    ("php", "warning"),
    [
        ("define('DB_PASSWORD', getenv('SECRET'));", "DB_PASSWORD is computed by PHP"),
        ("define('DB_PASSWORD', 'half' . 'half');", "DB_PASSWORD is computed by PHP"),
        ("define('DB_PASSWORD', \"x{$y}\");", "DB_PASSWORD is computed by PHP"),
        ("define('DB_PASSWORD', <<<'X'\nnow\nX);", "DB_PASSWORD is computed by PHP"),
        ("define('DB_HOST', $_SERVER['DB']);", "DB_HOST is computed by PHP"),
        (
            "if (PHP_SAPI == 'cli') { define('DB_NAME', 'other'); }",
            "DB_NAME has different values depending on a condition",
        ),
        ("define('DB_HOST', 'db; rm -rf /');", "DB_HOST in wp-config.php is no host"),
        ("return;", "DB_NAME is not in wp-config.php"),
    ],
)
def test_what_php_would_compute_is_left_alone_with_a_warning(php: str, warning: str) -> None:
    found = settings(php)
    assert found["databases"] == []
    assert found["warnings"][0].startswith(warning)
    assert found["warnings"][-1] == "The database of this site is not backed up until its login is known."
    assert "half" not in str(found["warnings"])


def test_a_network_of_sites_and_a_content_folder_elsewhere_are_said() -> None:
    network = settings("define('MULTISITE', true);")
    assert (network["multisite"], network["warnings"]) == (True, [])
    elsewhere = settings("define('WP_CONTENT_DIR', '/srv/content');")
    assert "multisite" not in elsewhere
    assert elsewhere["databases"][0]["name"] == "alice_wp"
    assert elsewhere["warnings"][0].startswith(
        "WP_CONTENT_DIR is /srv/content; themes and uploads are in a restore point only"
    )
    computed = settings("define('WP_CONTENT_DIR', dirname(__FILE__) . '/content');")
    assert computed["warnings"][0].startswith("WP_CONTENT_DIR is a folder that PHP computes")


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.encode("utf-16"),
        b"\x7fELF" + bytes(range(256)) * 100,
        CONFIG.replace("alice", "\xe4lice").encode("latin-1"),
        b"",
        b"<?php " + b'"{$a["' * 40_000,
        b"<?php " + b"define('DB_NAME','x');" * 10_000,
        b"<?php " + b";\n" * 120_000,
        b"<?php " + b"(" * 250_000,
        b"<?php " + b"<<<X\n" * 50_000,
        b"<?php " + b"if(1)" * 50_000,
        b"\n" * 1_000_000 + CONFIG.encode(),
        None,
    ],
    ids=[
        "utf16",
        "binary",
        "latin1",
        "empty",
        "quotes",
        "defines",
        "lines",
        "nested",
        "heredocs",
        "ifs",
        "long",
        "link",
    ],
)
def test_a_hostile_configuration_costs_a_warning_and_less_than_a_second(config: bytes | None) -> None:
    files: dict[str, str | bytes | None] = {**CORE, "wp-config.php": config}
    folder = Folder(files)
    begin = time.process_time()
    found = find_application(folder)
    assert time.process_time() - begin < 1.0
    assert (found["kind"], found["databases"]) == ("wordpress", [])
    assert found["warnings"]
    assert folder.bytes_read <= 1_000_000

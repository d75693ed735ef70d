"""Laravel, plain PHP, static sites and SQLite files are told apart; what cannot be read is a warning."""

from __future__ import annotations

import time
from typing import Any

import pytest

from smartbackup_panel.engine.applications import find_application, reader
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
        (
            ENV.replace("mysql", "sqlsrv"),
            "The database connection 'sqlsrv' of .env is of a kind that is not backed up.",
        ),
        (ENV + "DB_URL=mysql://x:y@z:port/w\n", "DB_URL in .env cannot be understood."),
        (ENV.replace("alice_shop", "${NOT_SET}"), "The database login in .env is incomplete"),
        (ENV.replace("alice_shop", "${LATER}") + "LATER=x\n", "The database login in .env is incomplete"),
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


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("DB_CONNECTION=pgsql\nDB_PORT=5433\n", {"kind": "pgsql", "port": 5433}),
        ("DB_CONNECTION=mariadb\n", {"kind": "mysql", "name": "alice_shop"}),
        ('STEM=alice\nDB_DATABASE="${STEM}_two"\n', {"name": "alice_two"}),
        ("DB_PASSWORD='${STEM}'\n", {"password": "${STEM}"}),
        ("#DB_DATABASE=other\nexport DB_USERNAME=bea # hers\n", {"user": "bea", "name": "alice_shop"}),
        (
            "DB_URL='mysql://al%40ice:p%2Fw%23@db.example.com:3308/alice%5Fwp?charset=utf8mb4'\n",
            {"user": "al@ice", "password": "p/w#", "host": "db.example.com", "port": 3308, "name": "alice_wp"},
        ),
        ("DB_URL=postgres://alice:x@localhost/alice_pg\n", {"kind": "pgsql", "name": "alice_pg", "port": 3307}),
    ],
)
def test_an_env_file_is_read_as_the_application_reads_it(lines: str, expected: dict[str, Any]) -> None:
    found = laravel(ENV + lines)
    assert found["warnings"] == []
    assert {key: found["databases"][0][key] for key in expected} == expected


@pytest.mark.parametrize(
    ("database", "path"),
    [("", "database/database.sqlite"), ("/srv/alice/database/shop.sqlite", "database/shop.sqlite"), ("x.db", "x.db")],
)
def test_a_laravel_on_sqlite_names_its_file(database: str, path: str) -> None:
    files: dict[str, str | bytes | None] = {"artisan": "", "composer.json": "{}", path: "SQLite format 3"}
    found = find_application(Folder({**files, ".env": f"DB_CONNECTION=sqlite\nDB_DATABASE={database}\n"}))
    assert (found["databases"], found["sqlite_files"]) == ([], [path])


def test_a_symfony_address_is_read_and_the_local_file_wins() -> None:
    files: dict[str, str | bytes | None] = {
        "composer.json": "{}",
        "public/index.php": "",
        ".env": "DATABASE_URL=mysql://app:!ChangeMe!@127.0.0.1:3306/app?serverVersion=8\n",
        ".env.local": "DATABASE_URL=postgresql://alice:s3cret@127.0.0.1:5432/alice_app\n",
    }
    found = find_application(Folder(files))
    login = found["databases"][0]
    assert (found["kind"], login["kind"], login["name"], login["port"]) == ("php", "pgsql", "alice_app", 5432)


JOOMLA = """<?php
class JConfig {
	public $offline = false;
	public $dbtype = 'mysqli';
	public $host = 'localhost:3307';
	public $user = 'alice';
	public $password = 's3\\'cret';
	public $db = 'alice_joomla';
	public $dbprefix = 'k8x_';
	public function secret() { $this->db = 'other'; }
}
"""
DRUPAL = """<?php
/** $databases['default']['default'] = array('database' => 'in_a_comment'); */
$databases = [];
$databases['default']['default'] = array (
  'database' => 'alice_drupal', 'username' => 'alice', 'password' => "p\\$w", 'prefix' => 'd_', 'host' => 'localhost',
  'port' => '', 'driver' => 'mysql', 'init_commands' => ['isolation_level' => 'SET SESSION x'],
);
$databases['legacy']['default'] = [
  'database' => 'alice_old', 'username' => 'alice', 'password' => 'x', 'host' => '127.0.0.1', 'port' => 5433,
  'driver' => 'pgsql', 'autoload' => dirname(__FILE__),
];
"""
PRESTASHOP = """<?php return array ('parameters' => array (
    'database_host' => '127.0.0.1', 'database_port' => '', 'database_name' => 'alice_ps', 'database_user' => 'alice',
    'database_password' => 's3cret', 'database_prefix' => 'ps_', 'secret' => 'x'),);
"""
MAGENTO = """<?php
return [
    'backend' => ['frontName' => 'admin_1x'],
    'db' => ['table_prefix' => 'm_', 'connection' => [
        'default' => ['host' => 'localhost', 'dbname' => 'alice_magento', 'username' => 'alice', 'password' => 'p', 'active' => '1'],
        'indexer' => ['host' => 'localhost', 'dbname' => 'alice_index', 'username' => 'alice', 'password' => 'p'],
        'off' => ['host' => 'localhost', 'dbname' => 'nothing', 'username' => 'alice', 'password' => 'p', 'active' => '0'],
    ]],
];
"""


@pytest.mark.parametrize(
    ("files", "kind", "version", "logins"),
    [
        (
            {
                "configuration.php": JOOMLA,
                "administrator/manifests/files/joomla.xml": "<extension><version>4.4.2</version></extension>",
            },
            "joomla",
            "4.4.2",
            [("mysql", "alice_joomla", "alice", "s3'cret", "localhost", 3307, "k8x_")],
        ),
        (
            {
                "web/sites/default/settings.php": DRUPAL,
                "web/core/lib/Drupal.php": "<?php class Drupal { const VERSION = '10.2.3'; }",
            },
            "drupal",
            "10.2.3",
            [
                ("mysql", "alice_drupal", "alice", "p$w", "localhost", None, "d_"),
                ("pgsql", "alice_old", "alice", "x", "127.0.0.1", 5433, None),
            ],
        ),
        (
            {"app/config/parameters.php": PRESTASHOP, "index.php": ""},
            "prestashop",
            None,
            [("mysql", "alice_ps", "alice", "s3cret", "127.0.0.1", None, "ps_")],
        ),
        (
            {"app/etc/env.php": MAGENTO, "bin/magento": "", "pub/index.php": ""},
            "magento",
            None,
            [
                ("mysql", "alice_magento", "alice", "p", "localhost", None, "m_"),
                ("mysql", "alice_index", "alice", "p", "localhost", None, "m_"),
            ],
        ),
    ],
    ids=["joomla", "drupal", "prestashop", "magento"],
)
def test_the_logins_of_other_systems_are_read_from_their_configuration(
    files: dict[str, str | bytes | None], kind: str, version: str | None, logins: list[tuple[Any, ...]]
) -> None:
    found = find_application(Folder(files))
    assert (found["kind"], found["version"], found["warnings"]) == (kind, version, [])
    columns = ("kind", "name", "user", "password", "host", "port", "table_prefix")
    assert [tuple(login[column] for column in columns) for login in found["databases"]] == logins


def test_a_later_array_takes_the_place_of_the_whole_earlier_one() -> None:
    again = "$databases['default']['default'] = ['database' => 'new', 'username' => 'u', 'password' => 'p'];"
    found = find_application(Folder({"sites/default/settings.php": DRUPAL + again, "core/x": ""}))
    login = next(login for login in found["databases"] if login["name"] == "new")
    assert (login["user"], login["table_prefix"]) == ("u", None)


def test_a_value_that_php_computes_is_left_alone_in_arrays_too() -> None:
    text = PRESTASHOP.replace("'s3cret'", "getenv('SECRET')")
    found = find_application(Folder({"app/config/parameters.php": text}))
    assert found["databases"] == []
    assert "return.parameters.database_password is computed by PHP" in found["warnings"][0]


def test_every_application_of_a_domain_counts_and_the_main_one_is_named() -> None:
    blog = "<?php define('DB_NAME', 'blog'); define('DB_USER', 'alice'); define('DB_PASSWORD', 'p');"
    files = {"public_html/configuration.php": JOOMLA, "public_html/libraries/x": "", "public_html/index.php": ""}
    found = find_application(
        Folder({**files, "public_html/blog/wp-config.php": blog, "public_html/blog/wp-load.php": ""})
    )
    assert found["kind"] == "joomla"
    assert [login["name"] for login in found["databases"]] == ["alice_joomla", "blog"]


LIMIT = 256 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "\n" * (LIMIT - 20) + "A=b",
        "A=" + " " * (LIMIT - 20) + "b",
        ("A=" + " " * 63 + "b\n") * (LIMIT // 70),
        ("\n" * 63 + "A=b") * (LIMIT // 70),
        "A='" + "\\'" * (LIMIT // 2 - 20),
        "A=b\n" * (LIMIT // 5),
        "A=" + "x" * 4_090 + "\n" + "B=" + "${A}" * (LIMIT // 5),
        ("A=" + "x" * 4_090 + "\n" + ("B=" + "${A}" * 1_000 + "\n") * 50),
        "=\n" * (LIMIT // 3),
        "'" * (LIMIT - 20),
        "export " * (LIMIT // 8),
        "A=b #" + " #" * (LIMIT // 3),
    ],
    ids=[
        *("lines", "blanks", "many-blanks", "many-lines", "unclosed", "bindings", "references", "long-references"),
        *("no-names", "quotes", "exports", "comments"),
    ],
)
def test_a_hostile_env_file_costs_less_than_a_second(text: str) -> None:
    begin = time.process_time()
    found = laravel(text)
    assert time.process_time() - begin < 1.0
    assert (found["kind"], found["databases"]) == ("laravel", [])


def test_an_env_file_that_takes_too_long_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PARSE_LIMIT_SECONDS", 0.0)
    assert laravel(ENV)["warnings"] == [".env takes too long to read, so its database login was not read."]
    files: dict[str, str | bytes | None] = {
        "composer.json": "{}",
        "index.php": "<?php",
        ".env": "DATABASE_URL=mysql://a:b@c/d\n",
    }
    assert find_application(Folder(files))["warnings"] == [".env takes too long to read: it was not read."]

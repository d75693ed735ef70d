"""A living WordPress: Debian's package in a domain's folder, installed and used through its own pages."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer.samples import picture
from tests.support.http import Answer, Browser
from tests.support.mariadb import MariaDB
from tests.support.servers import Server, answers_http, free_port, start_server
from tests.support.sites import ALICE, Site, Tenant

ADMIN, ADMIN_PASSWORD = "alice", "correct horse battery staple"


@dataclass
class WordPress:
    """A WordPress that answers at `url`. `browser` is its administrator's, logged in after `install`."""

    site: Site
    mariadb: MariaDB
    database: str
    user: str
    password: str
    port: int
    log: Path
    browser: Browser = field(init=False)
    server: Server | None = None

    def __post_init__(self) -> None:
        self.browser = Browser(self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve the site with PHP's own server, as the tenant, always on the same port."""
        tenant = self.site.tenant
        self.server = start_server(
            "php",
            # Without opcache a changed file counts at once, not two seconds later.
            [
                *("/usr/bin/php", "-d", "sendmail_path=/bin/true", "-d", "opcache.enable=0"),
                *("-S", f"127.0.0.1:{self.port}", "-t", self.site.root),
            ],
            log=self.log,
            # The theme editor asks the site about itself: one process would wait for itself.
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PHP_CLI_SERVER_WORKERS": "3"},
            ready=lambda: answers_http(f"{self.url}/license.txt"),
            folder=self.site.root.parent,
            user=(tenant.uid, tenant.gid) if tenant else None,
        )

    def stop(self) -> None:
        """Stop serving; the files and the database stay."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def install(self, title: str) -> None:
        """Go through WordPress's install page, then log in as its administrator."""
        form = {
            "weblog_title": title,
            "user_name": ADMIN,
            "admin_password": ADMIN_PASSWORD,
            "admin_password2": ADMIN_PASSWORD,
            "pw_weak": "on",
            "admin_email": "alice@example.test",
            "blog_public": "0",
            "language": "",
        }
        welcome = self.browser.get("/wp-admin/install.php")
        assert welcome.status == 200, welcome.text[-2000:]
        done = self.browser.post("/wp-admin/install.php?step=2", form)
        assert "Success!" in done.text, done.text[-2000:]
        self.log_in()

    def log_in(self) -> None:
        """Log the administrator in; his cookies are kept in `browser`."""
        self.browser.get("/wp-login.php")
        answer = self.browser.post(
            "/wp-login.php",
            {"log": ADMIN, "pwd": ADMIN_PASSWORD, "redirect_to": f"{self.url}/wp-admin/", "testcookie": "1"},
        )
        assert answer.status == 200 and "/wp-admin/" in answer.url, (answer.url, answer.text[-2000:])

    def home(self) -> Answer:
        """Fetch the home page as a visitor who was never there."""
        return Browser(self.url).get("/")

    def publish(self, title: str, content: str) -> int:
        """Publish a post and return its number."""
        body = json.dumps({"title": title, "content": content, "status": "publish"}).encode()
        return int(self._rest("/wp/v2/posts", body, {"Content-Type": "application/json"})["id"])

    def upload_picture(self, name: str, *, width: int = 1600, height: int = 900) -> str:
        """Upload a PNG picture (WordPress makes its smaller sizes) and return its path below the document root."""
        headers = {"Content-Type": "image/png", "Content-Disposition": f'attachment; filename="{name}"'}
        answer = self._rest("/wp/v2/media", picture(width, height, (250, 200, 140), (60, 90, 160)), headers)
        return str(answer["source_url"]).removeprefix(self.url + "/")

    def edit_theme_file(self, file: str, content: str) -> None:
        """Replace a file of the active theme in WordPress's theme editor."""
        page = self.browser.get(f"/wp-admin/theme-editor.php?file={file}&theme=twentytwentythree")
        fields = page.fields("template")
        answer = self.browser.post(
            "/wp-admin/admin-ajax.php",
            {
                **fields,
                "newcontent": content,
                "action": "edit-theme-plugin-file",
                "theme": "twentytwentythree",
                "file": file,
            },
        )
        assert json.loads(answer.text)["success"] is True, answer.text[:500]

    def delete_plugin(self, slug: str) -> None:
        """Delete a plugin (never activated ones can be) on the page of plugins."""
        page = self.browser.get("/wp-admin/plugins.php").text
        nonce = re.search(r'_wpUpdatesSettings = \{"ajax_nonce":"([0-9a-f]+)"', page)
        assert nonce is not None, page[-2000:]
        answer = self.browser.post(
            "/wp-admin/admin-ajax.php",
            {"action": "delete-plugin", "slug": slug, "plugin": f"{slug}/{slug}.php", "_ajax_nonce": nonce.group(1)},
        )
        assert json.loads(answer.text)["success"] is True, answer.text[:500]

    def comment(self, post: int, author: str, text: str) -> None:
        """Leave a comment as a visitor; it waits for approval."""
        form = {"comment_post_ID": str(post), "author": author, "email": f"{author}@example.test", "comment": text}
        answer = Browser(self.url).post("/wp-comments-post.php", form)
        assert answer.status == 200, answer.text[-1000:]

    def tables(self) -> dict[str, int]:
        """Return CHECKSUM TABLE of every table of the site's database, without those that are kept for an undo."""
        rows = self.mariadb.admin(
            "SELECT table_name FROM information_schema.tables"
            f" WHERE table_schema = '{self.database}' AND table_type = 'BASE TABLE' ORDER BY table_name"
        )
        return {name: self._checksum(name) for (name,) in rows if not name.startswith("_sb")}

    def wreck(self) -> None:
        """Do what a bad day does: WordPress's own files and uploads go, half of the tables are dropped."""
        for folder in ("wp-includes", "wp-content/uploads", "wp-content/themes"):
            shutil.rmtree(self.site.root / folder, ignore_errors=True)
        (self.site.root / "index.php").write_text("<?php die('hacked');\n")
        self.site.write("evil.php", "<?php system($_GET['x']);\n")
        self.mariadb.admin("DROP TABLE wp_posts, wp_options, wp_postmeta", database=self.database)

    def _checksum(self, table: str) -> int:
        return int(self.mariadb.admin(f"CHECKSUM TABLE `{table}`", database=self.database)[0][1])

    def _rest(self, route: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        nonce = self.browser.get("/wp-admin/admin-ajax.php?action=rest-nonce").text
        answer = self.browser.send("POST", f"/index.php?rest_route={route}", body, {**headers, "X-WP-Nonce": nonce})
        assert answer.status == 201, (answer.status, answer.text[:1000])
        return dict(json.loads(answer.text))


@contextmanager
def make_wordpress(
    package: Path, domains_root: Path, domain: str, mariadb: MariaDB, *, log: Path, tenant: Tenant | None = ALICE
) -> Iterator[WordPress]:
    """Give a WordPress that is served but not yet installed (`install` does that); it stops being served at the end.

    The database, its user and its password are made in `mariadb`; `log` gets what PHP says.
    """
    database, user, password = mariadb.unique("wp"), mariadb.unique("alice"), secrets.token_hex(8) + "'\\#\""
    mariadb.create_tenant(database, user, password)
    root = domains_root / domain
    shutil.copytree(package, root)
    root.chmod(0o755)
    (root / "wp-config.php").write_text(_config(package, database, user, password, f"localhost:{mariadb.socket}"))
    (root / "wp-config.php").chmod(0o640)
    site = Site(domain, root, tenant)
    site.own()
    wordpress = WordPress(site, mariadb, database, user, password, free_port(), log)
    wordpress.start()
    try:
        yield wordpress
    finally:
        wordpress.stop()
        mariadb.drop_tenant(database, user)


def _config(package: Path, database: str, user: str, password: str, host: str) -> str:
    """Return the sample configuration filled in as a person does, with no request leaving the machine and no cron."""
    text = (package / "wp-config-sample.php").read_text()
    filled = {
        "database_name_here": database,
        "username_here": user,
        "password_here": password.replace("\\", "\\\\").replace("'", "\\'"),
        "'localhost'": f"'{host}'",
        "'DB_CHARSET', 'utf8'": "'DB_CHARSET', 'utf8mb4'",
    }
    for placeholder, value in filled.items():
        assert placeholder in text, placeholder
        text = text.replace(placeholder, value)
    while "put your unique phrase here" in text:
        text = text.replace("put your unique phrase here", secrets.token_hex(32), 1)
    quiet = "".join(f"define( '{name}', true );\n" for name in ("DISABLE_WP_CRON", "WP_HTTP_BLOCK_EXTERNAL"))
    return text.replace(
        "/* That's all, stop editing!",
        quiet + "define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.1' );\n/* That's all, stop editing!",
    )

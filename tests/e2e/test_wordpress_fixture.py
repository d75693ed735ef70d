"""The WordPress that the walks are made on is a real one: installed, written to and changed through its own pages."""

from __future__ import annotations

from pathlib import Path

from tests.support.mariadb import MariaDB
from tests.support.wordpress import make_wordpress


def test_wordpress_is_installed_by_its_own_page_and_changes_like_a_real_site(
    wordpress_package: Path, mariadb_server: MariaDB, open_folder: Path
) -> None:
    with make_wordpress(
        wordpress_package, open_folder, "shop.example.test", mariadb_server, log=open_folder / "php.log"
    ) as site:
        site.install("Alice's Shop")
        home = site.home()
        assert (home.status, home.title) == (200, "Alice's Shop")
        before = site.tables()
        assert len(before) == 12

        post = site.publish("Spring sale", "Everything <b>must</b> go 🌷")
        site.comment(post, "visitor", "Is the blue one left?")
        picture = site.upload_picture("tulips.png")
        site.edit_theme_file("style.css", "body { background: mistyrose; }\n")
        site.delete_plugin("akismet")

        assert "Spring sale" in site.home().text
        root = site.site.root
        assert (root / picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(list((root / picture).parent.glob("tulips-*.png"))) >= 4
        style = root / "wp-content/themes/twentytwentythree/style.css"
        assert style.read_text() == "body { background: mistyrose; }\n"
        assert not (root / "wp-content/plugins/akismet").exists()
        after = site.tables()
        assert {name for name in before if before[name] != after[name]} >= {"wp_posts", "wp_postmeta", "wp_comments"}

        site.wreck()
        assert site.home().body == b"hacked"

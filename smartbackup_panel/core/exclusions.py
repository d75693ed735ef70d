"""What a domain leaves out: profiles, lists of one's own, and which of a site's parts nobody leaves out without a warning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from smartbackup_panel.core.errors import WrongUsage

MOST_OWN_LINES = 50
MOST_GENERAL_LINES = 100


class Profile(StrEnum):
    """nothing: all is kept · safe: caches, logs and sessions of the application that was found · full-list: fifteen names anywhere."""

    NOTHING = "nothing"
    SAFE = "safe"
    FULL_LIST = "full-list"


# The original design's fifteen, in its order; "*/x/*" there is the content of any folder x, which itself stays.
FULL_LIST = (
    "**/cache/*",
    "**/tmp/*",
    "**/temp/*",
    "**/.cache/*",
    "**/logs/*",
    "*.log",
    "**/node_modules/*",
    "**/vendor/*",
    "**/.git/*",
    "**/wp-content/cache/*",
    "**/wp-content/uploads/cache/*",
    "**/storage/framework/cache/*",
    "**/storage/framework/sessions/*",
    "**/storage/framework/views/*",
    "**/storage/logs/*",
)

# Content that each application makes again by itself, below its own folder; the folders themselves stay.
SAFE = {
    "wordpress": (
        "wp-content/cache/*",
        "wp-content/uploads/cache/*",
        "wp-content/upgrade/*",
        "wp-content/debug.log",
    ),
    "laravel": (
        "storage/framework/cache/*",
        "storage/framework/sessions/*",
        "storage/framework/views/*",
        "storage/logs/*",
    ),
    "joomla": ("cache/*", "administrator/cache/*", "administrator/logs/*", "tmp/*"),
    "drupal": ("sites/*/files/css/*", "sites/*/files/js/*", "sites/*/files/php/twig/*"),
    "prestashop": ("var/cache/*", "var/logs/*", "cache/smarty/cache/*", "cache/smarty/compile/*"),
    "magento": ("var/cache/*", "var/page_cache/*", "var/session/*", "var/log/*", "var/view_preprocessed/*"),
}

# What a site cannot be put back without; a folder ends with a slash.
CRITICAL = {
    "wordpress": ("wp-config.php", "wp-content/uploads/", "wp-content/themes/", "wp-content/plugins/", "index.php"),
    "laravel": (".env", "artisan", "app/", "storage/app/", "public/", "database/"),
    "joomla": ("configuration.php", "images/", "index.php"),
    "drupal": ("sites/default/settings.php", "sites/default/files/", "index.php"),
    "prestashop": ("app/config/parameters.php", "img/", "index.php"),
    "magento": ("app/etc/env.php", "pub/media/", "app/"),
}
CRITICAL_ANYWHERE = ("index.php", "index.html", ".htaccess")
_SERVED = {"laravel": "public", "magento": "pub"}


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What holds for a domain. `patterns` are lines in gitignore syntax; with `rebuildable`, `vendor` and `node_modules`
    are left out where a lock file beside them says how to make them again."""

    profile: Profile = Profile.SAFE
    patterns: tuple[str, ...] = ()
    rebuildable: bool = False

    def changed(self, own: Mapping[str, object]) -> Exclusions:
        """Return these with a domain's own choices; its patterns come after the general ones. Raises WrongUsage."""
        changed = self
        if "profile" in own:
            if own["profile"] not in list(Profile):
                raise WrongUsage(f"{own['profile']!r} is no profile", hint=f"Use {', '.join(Profile)}.")
            changed = replace(changed, profile=Profile(str(own["profile"])))
        if "rebuildable" in own:
            changed = replace(changed, rebuildable=bool(own["rebuildable"]))
        lines = own.get("patterns", ())
        if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
            raise WrongUsage("patterns are lines of text")
        if len(lines) > MOST_OWN_LINES:
            raise WrongUsage(f"{len(lines)} patterns of one domain are more than {MOST_OWN_LINES}")
        return replace(changed, patterns=(*self.patterns, *lines))

    def lines(self, kind: str, document_root: str) -> tuple[str, ...]:
        """Return the patterns of a domain whose application of this kind is served from a folder (relative, "" its own)."""
        if self.profile is Profile.FULL_LIST:
            return (*FULL_LIST, *self.patterns)
        if self.profile is Profile.NOTHING:
            return self.patterns
        return (
            *(_anchored(application_folder(kind, document_root), line) for line in SAFE.get(kind, ())),
            *self.patterns,
        )


def application_folder(kind: str, document_root: str) -> str:
    """Return the folder of an application, relative to the domain's: some serve a folder of theirs, not themselves."""
    folder, _, last = document_root.rpartition("/")
    return folder if last and last == _SERVED.get(kind) else document_root


def critical_paths(kind: str, document_root: str) -> tuple[str, ...]:
    """Return the paths of a domain that are not left out without a warning; folders end with a slash."""
    folder = application_folder(kind, document_root)
    names = CRITICAL.get(kind, CRITICAL_ANYWHERE)
    return tuple(f"{folder}/{name}" if folder else name for name in names)


def _anchored(folder: str, line: str) -> str:
    plain = re.sub(r"([\\*?\[\]!# ])", r"\\\1", folder)
    return f"/{plain}/{line}" if plain else f"/{line}"

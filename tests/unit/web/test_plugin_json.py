"""plugin.json says what is there."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import smartbackup_panel
from smartbackup_panel.resources import file, folder
from tests.support.pages import host_app

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = json.loads(file("plugin.json").read_text())


def test_its_version_is_the_packages() -> None:
    assert MANIFEST["version"] == smartbackup_panel.__version__


def test_its_entry_points_exist() -> None:
    for name in ("flask", "standalone", "command"):
        module, _, function = MANIFEST["entry_points"][name].partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_its_hooks_are_scripts_that_can_be_run() -> None:
    scripts = [hook["script"] for hook in MANIFEST["hooks"]]
    assert scripts == ["hooks/domain-created", "hooks/domain-deleted"]
    for script in scripts:
        assert os.access(folder("hooks").parent / script, os.X_OK), script


def test_its_menu_leads_to_pages() -> None:
    app = host_app()
    rules = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    for entry in MANIFEST["ui"]["admin"] + MANIFEST["ui"]["customer"]:
        assert rules[entry["endpoint"]] == entry["route"]


def test_its_other_files_exist() -> None:
    assert (ROOT / MANIFEST["icon"]).is_file()
    assert (ROOT / MANIFEST["install"]).is_file()


def test_what_others_made_is_shipped_with_its_licence() -> None:
    vendor = ROOT / "smartbackup_panel/web/static/vendor"
    for library in (entry for entry in vendor.iterdir() if entry.is_dir()):
        assert (library / "LICENSE").read_text(), library.name
        assert library.name in (vendor / "README.md").read_text()

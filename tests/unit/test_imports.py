"""The architecture, read from the source: imports go one way, and what is dangerous occurs nowhere."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "smartbackup_panel"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Layer (a folder or a top-level module) → what it may import of the package besides itself, as dotted beginnings.
# Services know the state and the locks, which are ours; what talks to the world outside is given to them by bootstrap.
MAY_IMPORT = {
    "core": set(),
    "settings": {"core"},
    "resources": set(),
    "log_lines": {"core"},
    "engine": {"core"},
    "adapters": {"core", "resources"},
    "services": {"core", "engine", "settings", "adapters.db", "adapters.locks"},
    "web": {"core", "services", "settings", "resources"},
    "bootstrap": {"core", "engine", "adapters", "services", "settings", "resources"},
    "plugin": {"core", "services", "web", "settings", "resources", "bootstrap"},
    "standalone": {"core", "services", "web", "settings", "resources", "bootstrap", "plugin", "log_lines"},
    "worker": {"core", "services", "settings", "bootstrap"},
    "commands": {"core", "engine", "services", "settings", "bootstrap", "worker", "standalone", "log_lines"},
    "cli": {"commands", "core"},
}

FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "glob"}
FORBIDDEN_NAMES = {
    *("os.walk", "os.fwalk", "os.system", "os.popen", "os.fork", "os.forkpty"),
    *(
        "shutil.rmtree",
        "shutil.copytree",
        "shutil.copy",
        "shutil.copy2",
        "shutil.copyfile",
        "shutil.move",
        "shutil.chown",
    ),
    *("shutil.unpack_archive", "shutil.make_archive", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp"),
}
FORBIDDEN_METHODS = {"extractall", "extract", "rglob", "glob", "iglob"}
FORBIDDEN_BUILTINS = {"eval", "exec", "__import__", "breakpoint"}

WIDE_HANDLERS = {"worker.py": 2, "services/jobs.py": 1}
"""The worker's edges, where one bad job or step stops nobody else (SECURITY rule 24); elsewhere `core.cleanup.on_failure` cleans up."""


def layer_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST, folder: tuple[str, ...]) -> Iterator[str]:
    """Yield the dotted name of everything imported, relative imports resolved against `folder`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield each forbidden thing of a module with its line."""
    for name in imports(tree, ()):
        if name.split(".")[0] in FORBIDDEN_MODULES or name in FORBIDDEN_NAMES:
            yield f"import of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and f"{_dotted(node.value)}.{node.attr}" in FORBIDDEN_NAMES:
            yield f"{node.lineno}: {_dotted(node.value)}.{node.attr}"
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_BUILTINS:
            yield f"{node.lineno}: {node.func.id}()"
        if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
            yield f"{node.lineno}: .{node.func.attr}()"
        for keyword in node.keywords:
            if keyword.arg == "shell" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                yield f"{node.lineno}: shell="


def wide_handlers(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each handler that catches everything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or _dotted(kind) in ("Exception", "BaseException") for kind in kinds):
                yield node.lineno


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def prints(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno


def tree_of(module: Path) -> ast.AST:
    return ast.parse(module.read_text("utf-8"), str(module))


def folder_of(module: Path) -> tuple[str, ...]:
    return ("smartbackup_panel", *module.relative_to(PACKAGE).parts[:-1])


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_imports_go_one_way(module: Path) -> None:
    layer = layer_of(module)
    if layer == "__init__":
        assert list(imports(tree_of(module), folder_of(module))) == []
        return
    assert layer in MAY_IMPORT, f"{layer} is a new layer: say here what it may import"
    for name in imports(tree_of(module), folder_of(module)):
        first, _, inside = name.partition(".")
        if first == "smartbackup_panel" and inside != "__version__":
            allowed = MAY_IMPORT[layer] | {layer}
            assert any(f"{inside}.".startswith(f"{part}.") for part in allowed), f"{layer} may not import {name}"


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("core/**/*.py")), ids=lambda module: module.name)
def test_core_knows_the_standard_library_and_croniter_only(module: Path) -> None:
    for name in imports(tree_of(module), folder_of(module)):
        first = name.split(".")[0]
        assert first in {*sys.stdlib_module_names, "croniter", "smartbackup_panel"}, f"core may not import {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_nothing_dangerous_is_called(module: Path) -> None:
    assert list(dangers(tree_of(module))) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_everything_is_caught_at_the_edges_alone(module: Path) -> None:
    assert len(list(wide_handlers(tree_of(module)))) == WIDE_HANDLERS.get(str(module.relative_to(PACKAGE)), 0)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_only_the_command_line_prints(module: Path) -> None:
    assert module == PACKAGE / "cli.py" or list(prints(tree_of(module))) == []


def test_the_agents_modules_are_importable_without_the_web() -> None:
    """The agent starts for every job: Flask, SQLAlchemy and DBOS would cost it more than its work."""
    for module in PACKAGE.glob("engine/**/*.py"):
        for name in imports(tree_of(module), folder_of(module)):
            assert name.split(".")[0] not in {"flask", "sqlalchemy", "dbos", "alembic", "gunicorn"}, f"{module}: {name}"


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.walk('/')",
        "from os import system",
        "import subprocess\nsubprocess.run('id', shell=True)",
        "import subprocess\nsubprocess.run('id', shell=yes)",
        "import pickle",
        "from glob import glob",
        "import shutil\nshutil.rmtree('x')",
        "from shutil import copytree",
        "import tarfile\ntarfile.open('x').extractall()",
        "archive.extract(member)",
        "from pathlib import Path\nPath('x').rglob('*')",
        "import yaml\nyaml.load(text)",
        "eval('1')",
        "exec(text)",
    ],
)
def test_the_check_sees_what_it_forbids(source: str) -> None:
    assert list(dangers(ast.parse(source))) != []


def test_the_check_resolves_relative_imports() -> None:
    tree = ast.parse("from ..services import backup\nfrom . import tree\nfrom .model import Domain")
    assert list(imports(tree, ("smartbackup_panel", "core"))) == [
        "smartbackup_panel.services.backup",
        "smartbackup_panel.core.tree",
        "smartbackup_panel.core.model.Domain",
    ]

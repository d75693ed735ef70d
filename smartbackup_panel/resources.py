"""Where the files lie that are not Python: templates, hooks, the installer, plugin.json."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the top-level folder `name` of the project, in an installed wheel as in a checkout.

    A wheel carries it in `_data` beside the package's modules; an editable install has it in the repository's root.
    Raises FileNotFoundError where neither has it.
    """
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(f"the folder {name} is in neither {_PACKAGE / '_data'} nor {_PACKAGE.parent}")


def file(name: str) -> Path:
    """Return the top-level file `name` of the project, found like a folder. Raises FileNotFoundError."""
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        if (base / name).is_file():
            return base / name
    raise FileNotFoundError(f"the file {name} is in neither {_PACKAGE / '_data'} nor {_PACKAGE.parent}")

"""The constants and variables that a PHP configuration sets, read from its syntax tree. Nothing is run.

Only plain texts count. A value that PHP would compute is reported as computed, and never shown: it may hold a secret.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import tree_sitter_php
from tree_sitter import Language, Node, Parser, Point, Tree

from smartbackup_panel.engine.applications.php_literals import ARRAY, flattened, literal, place_of, source_of
from smartbackup_panel.engine.applications.reader import PARSE_LIMIT_SECONDS

_LANGUAGE = Language(tree_sitter_php.language_php())
_SLICE_BYTES = 16 * 1024
_NODE_SLICE_BYTES = 512
_SAME_LEVEL = frozenset(
    {"program", "compound_statement", "namespace_definition", "expression_statement", "const_declaration"}
)
_BRANCHES = frozenset(
    {
        "if_statement",
        "else_clause",
        "else_if_clause",
        "colon_block",
        "switch_statement",
        "switch_block",
        "case_statement",
    }
    | {"default_statement", "try_statement", "catch_clause", "finally_clause", "while_statement", "for_statement"}
    | {"foreach_statement", "do_statement", "binary_expression", "conditional_expression"}
)
_TRANSPARENT = frozenset({"parenthesized_expression", "error_suppression_expression", "unary_op_expression"})
_CLASSES = frozenset({"class_declaration"})
_STOPS = frozenset({"return_statement", "exit_statement"})
_SETTERS = frozenset({"function_call_expression", "assignment_expression", "const_element"})
RETURNED = "return"


class Setting(NamedTuple):
    """One place that sets a name. `text` is None when PHP would compute it; `conditional`: only in some branch."""

    text: str | None
    conditional: bool


@dataclass(slots=True)
class PhpValues:
    """What a file sets, in its order: `settings["DB_NAME"]`, `settings["$table_prefix"]`, `settings["$db.default.host"]`,
    `settings["return.db.host"]` of a returned array, `settings["JConfig.host"]` of a class's own values.

    `is_complete` is False when the time was not enough; `has_errors` when parts of the file are no PHP.
    """

    settings: dict[str, list[Setting]] = field(default_factory=lambda: defaultdict(list))
    is_complete: bool = True
    has_errors: bool = False

    def find(self, name: str) -> tuple[str | None, str | None]:
        """Return (value, None), or (None, why there is none); (None, None) for a name that is not set at all."""
        places = self.settings.get(name, [])
        # A constant keeps its first value, a variable has its last one.
        ordered = places[::-1] if name.startswith("$") else places
        first = next((number for number, place in enumerate(ordered) if not place.conditional), len(ordered))
        texts = {place.text for place in ordered[: first + 1]}
        if not texts:
            return None, None
        if None in texts:
            return None, "is computed by PHP (an expression, getenv or another constant)"
        if len(texts) > 1:
            return None, "has different values depending on a condition"
        return texts.pop(), None

    def below(self, path: str) -> list[str]:
        """Return the next keys under a path, in the file's order: those of `$db` are ["default"] for `$db.default.host`."""
        keys = (name[len(path) + 1 :].partition(".")[0] for name in self.settings if name.startswith(f"{path}."))
        return list(dict.fromkeys(keys))

    def forget(self, path: str) -> None:
        """Drop a path and what is below it: a new array takes the place of the whole old one."""
        for name in [name for name in self.settings if name == path or name.startswith(f"{path}.")]:
            del self.settings[name]


def read_php_values(source: str, limit_seconds: float = PARSE_LIMIT_SECONDS) -> PhpValues:
    """Return what the file sets with define(), const, plain assignments and a returned array.

    Functions and methods do not count; of a class, the values that its properties begin with.
    """
    deadline = time.monotonic() + limit_seconds
    values = PhpValues()
    tree = _parse(source.encode(), deadline)
    if tree is None:
        values.is_complete = False
        return values
    values.has_errors = tree.root_node.has_error
    for node, conditional in _settings_in(tree.root_node):
        if time.monotonic() > deadline:
            values.is_complete = False
            break
        _take(values, node, conditional)
    return values


class _Source:
    """The bytes for the parser; they end early when the time is over. Nodes read their text here later, without a limit."""

    def __init__(self, text: bytes, deadline: float) -> None:
        self._text = text
        self._deadline = deadline
        self.is_parsed = False

    def __call__(self, offset: int, _: Point) -> bytes:
        if self.is_parsed:
            return self._text[offset : offset + _NODE_SLICE_BYTES]
        return b"" if time.monotonic() > self._deadline else self._text[offset : offset + _SLICE_BYTES]


def _parse(text: bytes, deadline: float) -> Tree | None:
    source = _Source(text, deadline)
    tree = Parser(_LANGUAGE).parse(source)
    source.is_parsed = True
    return None if time.monotonic() > deadline else tree


def _settings_in(root: Node) -> Iterator[tuple[Node, bool]]:
    """The calls, constants and assignments of the file's own level and its branches, in order, up to a return."""
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, conditional = waiting.pop()
        kind = node.type
        if kind in _STOPS:
            yield node, conditional
            if not conditional:
                return
        elif kind in _SETTERS or kind == "property_element":
            yield node, conditional
        elif kind in _CLASSES:
            waiting += [(child, conditional) for child in reversed(_properties(node))]
        elif kind in _SAME_LEVEL or kind in _TRANSPARENT:
            waiting += [(child, conditional) for child in reversed(node.named_children)]
        elif kind in _BRANCHES:
            waiting += [(child, True) for child in reversed(node.named_children)]


def _properties(declaration: Node) -> list[Node]:
    body = declaration.child_by_field_name("body")
    members = [] if body is None else body.named_children
    elements = (child for member in members if member.type == "property_declaration" for child in member.named_children)
    return [element for element in elements if element.type == "property_element"]


def _take(values: PhpValues, node: Node, conditional: bool) -> None:
    if node.type == "function_call_expression":
        found = _define(node)
    elif node.type == "const_element":
        found = _constant(node)
    elif node.type == "property_element":
        found = _property(node)
    elif node.type in _STOPS:
        found = (RETURNED, node.named_children[0]) if node.named_child_count == 1 else None
    else:
        found = _assignment(node)
    if found is None:
        return
    name, value = found
    if value.type == ARRAY and not conditional:
        values.forget(name)
    for path, text in flattened(name, value):
        values.settings[path].append(Setting(text, conditional))


def _define(node: Node) -> tuple[str, Node] | None:
    function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if function is None or arguments is None or source_of(function).lstrip("\\").lower() != "define":
        return None
    values = [argument.named_children[0] for argument in arguments.named_children if argument.named_child_count == 1]
    if len(values) < 2:
        return None
    name = literal(values[0])
    return None if name is None else (name, values[1])


def _constant(node: Node) -> tuple[str, Node] | None:
    children = node.named_children
    return (source_of(children[0]), children[1]) if len(children) == 2 else None


def _assignment(node: Node) -> tuple[str, Node] | None:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    place = None if left is None else place_of(left)
    return None if place is None or right is None else (place, right)


def _property(node: Node) -> tuple[str, Node] | None:
    children = node.named_children
    members = node.parent.parent if node.parent is not None else None
    declaration = members.parent if members is not None else None
    name = declaration.child_by_field_name("name") if declaration is not None else None
    if name is None or len(children) != 2:
        return None
    return f"{source_of(name)}.{source_of(children[0]).lstrip('$')}", children[1]

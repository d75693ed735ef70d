"""The constants and variables that a PHP configuration sets, read from its syntax tree. Nothing is run.

Only plain texts count. A value that PHP would compute is reported as computed, and never shown: it may hold a secret.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import tree_sitter_php
from tree_sitter import Language, Node, Parser, Point, Tree

from smartbackup_panel.engine.applications.reader import PARSE_LIMIT_SECONDS

_LANGUAGE = Language(tree_sitter_php.language_php())
_SLICE_BYTES = 16 * 1024
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
_STOPS = frozenset({"return_statement", "exit_statement"})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "e": "\x1b", "f": "\f", "\\": "\\", "$": "$", '"': '"'}


class Setting(NamedTuple):
    """One place that sets a name. `text` is None when PHP would compute it; `conditional`: only in some branch."""

    text: str | None
    conditional: bool


@dataclass(slots=True)
class PhpValues:
    """What a file sets, in its order: `settings["DB_NAME"]`, `settings["$table_prefix"]`.

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


def read_php_values(source: str) -> PhpValues:
    """Return what the file sets with define(), const and plain assignments, outside functions and classes."""
    deadline = time.monotonic() + PARSE_LIMIT_SECONDS
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


def _parse(source: bytes, deadline: float) -> Tree | None:
    def read(offset: int, _: Point) -> bytes:
        return b"" if time.monotonic() > deadline else source[offset : offset + _SLICE_BYTES]

    tree = Parser(_LANGUAGE).parse(read)
    return None if time.monotonic() > deadline else tree


def _settings_in(root: Node) -> Iterator[tuple[Node, bool]]:
    """The calls, constants and assignments of the file's own level and its branches, in order, up to a return."""
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, conditional = waiting.pop()
        kind = node.type
        if kind in _STOPS and not conditional:
            return
        if kind in ("function_call_expression", "assignment_expression", "const_element"):
            yield node, conditional
        elif kind in _SAME_LEVEL or kind in _TRANSPARENT:
            waiting += [(child, conditional) for child in reversed(node.named_children)]
        elif kind in _BRANCHES:
            waiting += [(child, True) for child in reversed(node.named_children)]


def _take(values: PhpValues, node: Node, conditional: bool) -> None:
    if node.type == "function_call_expression":
        found = _define(node)
    elif node.type == "const_element":
        found = _constant(node)
    else:
        found = _assignment(node)
    if found is not None:
        name, text = found
        values.settings[name].append(Setting(text, conditional))


def _define(node: Node) -> tuple[str, str | None] | None:
    function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    if function is None or arguments is None or _source(function).lstrip("\\").lower() != "define":
        return None
    values = [argument.named_children[0] for argument in arguments.named_children if argument.named_child_count == 1]
    if len(values) < 2:
        return None
    name = _literal(values[0])
    return None if name is None else (name, _literal(values[1]))


def _constant(node: Node) -> tuple[str, str | None] | None:
    children = node.named_children
    return (_source(children[0]), _literal(children[1])) if len(children) == 2 else None


def _assignment(node: Node) -> tuple[str, str | None] | None:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None or left.type != "variable_name":
        return None
    return _source(left), _literal(right)


def _literal(node: Node) -> str | None:
    """The text of a plain quoted string; None for everything that PHP would compute."""
    source = _source(node)
    if node.has_error:
        return None
    if node.type == "string" and source.startswith("'"):
        return re.sub(r"\\([\\'])", r"\1", source[1:-1])
    if node.type == "encapsed_string" and source.startswith('"'):
        if any(child.type not in ("string_content", "escape_sequence") for child in node.named_children):
            return None
        return re.sub(r"\\(x[0-9A-Fa-f]{1,2}|u\{[0-9A-Fa-f]{1,6}\}|[0-7]{1,3}|[ntrvef\\$\"])", _unescape, source[1:-1])
    return None


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    if code.startswith("u{"):
        number = int(code[2:-1], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
    return chr(int(code[1:], 16) if code.startswith("x") else int(code, 8) & 0xFF)


def _source(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")

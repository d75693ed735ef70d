"""Values that are written out in PHP: texts, numbers, true, false, null, and arrays of these. Nothing is computed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "e": "\x1b", "f": "\f", "\\": "\\", "$": "$", '"': '"'}
_WORDS = {"true": "1", "false": "", "null": ""}
ARRAY = "array_creation_expression"
ARRAY_LIMIT = 2_000


def source_of(node: Node) -> str:
    """Return the node's own text."""
    return (node.text or b"").decode("utf-8", "replace")


def literal(node: Node) -> str | None:
    """Return what PHP would make of a plain value as a text ("1" for true); None for everything that it would compute."""
    source = source_of(node)
    if node.has_error:
        return None
    if node.type == "integer":
        return source
    if node.type in ("boolean", "null"):
        return _WORDS.get(source.lower())
    if node.type == "string" and source.startswith("'"):
        return re.sub(r"\\([\\'])", r"\1", source[1:-1])
    if node.type == "encapsed_string" and source.startswith('"'):
        if any(child.type not in ("string_content", "escape_sequence") for child in node.named_children):
            return None
        return re.sub(r"\\(x[0-9A-Fa-f]{1,2}|u\{[0-9A-Fa-f]{1,6}\}|[0-7]{1,3}|[ntrvef\\$\"])", _unescape, source[1:-1])
    return None


def flattened(name: str, value: Node) -> Iterator[tuple[str, str | None]]:
    """Yield (path, text) of a value: `name` itself, or `name.key.key` of each plain value in an array."""
    waiting = [(name, value)]
    for _ in range(ARRAY_LIMIT):
        if not waiting:
            return
        path, node = waiting.pop()
        if node.type == ARRAY:
            waiting += reversed(list(_elements(path, node)))
        else:
            yield path, literal(node)


def place_of(target: Node) -> str | None:
    """Return the path of what is assigned to (`$a`, `$a.key.key`); None where a key is computed or it is no variable."""
    keys: list[str] = []
    while target.type == "subscript_expression":
        if target.named_child_count != 2:
            return None
        key = literal(target.named_children[1])
        if key is None or len(keys) > 8:
            return None
        keys.append(key)
        target = target.named_children[0]
    if target.type != "variable_name":
        return None
    return ".".join([source_of(target), *reversed(keys)])


def _elements(path: str, array: Node) -> Iterator[tuple[str, Node]]:
    for number, element in enumerate(array.named_children):
        if element.type != "array_element_initializer":
            continue
        children = element.named_children
        key = literal(children[0]) if len(children) == 2 else str(number)
        if children and key is not None:
            yield f"{path}.{key}", children[-1]


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    if code.startswith("u{"):
        number = int(code[2:-1], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
    return chr(int(code[1:], 16) if code.startswith("x") else int(code, 8) & 0xFF)

"""Every key of the model as words: for ``docket config explain``, the starter file and the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from ..model import PARTS_OF_FILES
from ..planning.diff import Change
from ..planning.plan import effect_of
from ..reading.keypath import KeyPath
from .schema import schema
from .sentences import shown

ANY_NAME: Final = "NAME"
"""Placeholder for a name that the author of the file chooses."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Arguments:
        path: where it stands; ``NAME`` is any name, 0 any entry.
        kind: what may stand there.
        default: its value where none is set, as TOML; empty without one.
        meaning: what it does.
        is_required: whether its table must have it.
        is_table: whether there are keys in it.
    """

    path: KeyPath
    kind: str
    default: str
    meaning: str
    is_required: bool
    is_table: bool

    @property
    def effect(self) -> str:
        """The effect of editing this key while everything runs."""
        if self.path[0] in PARTS_OF_FILES or self.path[0] == "defaults":
            return "as what it says"
        names = tuple(str(key) for key in self.path)
        return effect_of(Change(names, None, None))


def all_keys() -> Iterator[Key]:
    """Yield every key of the model, in its order; profiles repeat them and are left out."""
    whole = schema()
    yield from _inside((), whole, whole["definitions"])


def key_at(path: KeyPath) -> Key | None:
    """Return the key at a path of a configuration, or None if there is none."""
    whole = schema()
    definitions = cast(Mapping[str, Any], whole["definitions"])
    node: Mapping[str, Any] = whole
    key = Key((), "table", "", "A whole docket.toml.", is_required=False, is_table=True)
    for length, name in enumerate(path, 1):
        resolved = _resolved(node, definitions)
        inner = _step(resolved, name)
        if inner is None:
            return None
        key = _key(path[:length], inner, definitions, resolved)
        node = inner
    return key


def _step(node: Mapping[str, Any], name: str | int) -> Mapping[str, Any] | None:
    if isinstance(name, int):
        return node.get("items")
    if "properties" in node:
        return node["properties"].get(name)
    each = node.get("additionalProperties")
    return {} if each is True else each


def _inside(
    path: KeyPath, node: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[Key]:
    resolved = _resolved(node, definitions)
    for name, inner in resolved.get("properties", {}).items():
        yield from _with_inside((*path, name), inner, definitions, resolved)


def _with_inside(
    path: KeyPath,
    node: Mapping[str, Any],
    definitions: Mapping[str, Any],
    table: Mapping[str, Any],
) -> Iterator[Key]:
    yield _key(path, node, definitions, table)
    resolved = _resolved(node, definitions)
    each, entry = resolved.get("additionalProperties"), resolved.get("items", {})
    if path == ("profiles",):
        return
    if "properties" in resolved:
        yield from _inside(path, resolved, definitions)
    elif isinstance(each, dict) and "properties" in _resolved(cast(Any, each), definitions):
        yield from _inside((*path, ANY_NAME), cast(Mapping[str, Any], each), definitions)
    elif "$ref" in entry:
        yield from _inside((*path, 0), entry, definitions)


def _key(
    path: KeyPath,
    node: Mapping[str, Any],
    definitions: Mapping[str, Any],
    table: Mapping[str, Any],
) -> Key:
    resolved = _resolved(node, definitions)
    inner = cast(Any, resolved.get("additionalProperties") or resolved.get("items") or {})
    is_table = "properties" in resolved or (inner is not True and "$ref" in inner)
    return Key(
        path=path,
        kind=_kind(resolved, definitions),
        default="" if is_table or "default" not in node else shown(node["default"]),
        meaning=node.get("description") or resolved.get("description", ""),
        is_required=path[-1] in table.get("required", ()),
        is_table=is_table,
    )


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    if "allOf" in node:
        return _resolved(node["allOf"][0], definitions)
    if "$ref" in node:
        return cast(Mapping[str, Any], definitions[node["$ref"].rpartition("/")[2]])
    return node


def _kind(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " or ".join(shown(choice) for choice in node["enum"])
    if "const" in node:
        return shown(node["const"])
    if "$comment" in node:
        return node["$comment"]
    match node.get("type"):
        case "object":
            each = node.get("additionalProperties")
            is_simple = isinstance(each, dict) and "$ref" not in each
            return f"table of {_kind(cast(Any, each), definitions)}" if is_simple else "table"
        case "array":
            items = _resolved(node.get("items", {}), definitions)
            return f"array of {_kind(items, definitions)}"
        case "integer":
            return f"whole number{_range(node)}"
        case "number":
            return f"number{_range(node)}"
        case "boolean":
            return "true or false"
        case "string":
            return "string"
        case _:
            return "any value"


def _range(node: Mapping[str, Any]) -> str:
    bounds = {"minimum": "at least", "maximum": "at most"}
    return "".join(f", {words} {node[key]:g}" for key, words in bounds.items() if key in node)

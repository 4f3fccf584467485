"""The allowed tables and keys by path, read off the JSON schema of the model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from ..describing.schema import schema
from ..reading.keypath import KeyPath


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value.

    Arguments:
        is_text: whether only a string can stand here.
    """

    is_text: bool


@dataclass(frozen=True, slots=True)
class KnownNames:
    """A table whose keys the author chooses, all with values of one shape."""

    each: Shape


@dataclass(frozen=True, slots=True)
class Entries:
    """An array of tables."""

    each: Shape


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """A table whose keys are known."""

    keys: Mapping[str, Shape] = field(default_factory=dict[str, "Shape"])


Shape: TypeAlias = Leaf | KnownNames | Entries | KnownKeys


@functools.cache
def whole() -> KnownKeys:
    """Return the shape of a whole configuration."""
    made = schema()
    found = _shape(made, made["definitions"])
    assert isinstance(found, KnownKeys)
    return found


def shape_at(path: KeyPath) -> Shape | None:
    """Return the shape allowed at a path, or None if nothing may stand there."""
    shape: Shape | None = whole()
    for key in path:
        shape = _inside(shape, key)
    return shape


def _inside(shape: Shape | None, key: str | int) -> Shape | None:
    if isinstance(shape, KnownKeys):
        return shape.keys.get(str(key))
    if isinstance(shape, (KnownNames, Entries)):
        return shape.each
    return None


def _shape(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Shape:
    if "allOf" in node:
        return _shape(node["allOf"][0], definitions)
    if "$ref" in node:
        return _shape(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "properties" in node:
        properties = cast(Mapping[str, Any], node["properties"])
        return KnownKeys({key: _shape(value, definitions) for key, value in properties.items()})
    if node.get("type") == "object":
        each = node["additionalProperties"]
        return KnownNames(Leaf(is_text=False) if each is True else _shape(each, definitions))
    if "$ref" in node.get("items", {}):
        return Entries(_shape(node["items"], definitions))
    is_moment = node.get("format") == "date-time"
    return Leaf(is_text=node.get("type") == "string" and not is_moment)

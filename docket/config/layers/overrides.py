"""Single keys that are set outside of the files: by the environment, or on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from ...discovery.layering import value_of
from ..checking.problems import Problem
from ..checking.shape import Entries, KnownKeys, KnownNames, Leaf, Shape, whole
from ..model import PARTS_OF_FILES, Configuration
from ..reading.keypath import KeyPath, entry

Known: TypeAlias = tuple[KeyPath, Shape]
"""A key that can be meant, and what may stand there."""


@dataclass(slots=True)
class Overrides:
    """The settings from outside the files.

    Arguments:
        tree: the keys that are set, as tables.
        variables: what set each of them: an environment variable, or an option such as ``--set name``.
        problems: settings that cannot be meant.
    """

    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    variables: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    problems: list[Problem] = field(default_factory=list[Problem])

    def find(self, path: KeyPath) -> KeyPath | None:
        """Return the path itself if its value is set here, else None."""
        return path if self.variable(path) else None

    def variable(self, path: KeyPath) -> str:
        """Return the variable or option that set the value at a path, or ``""``."""
        for length in range(len(path), 0, -1):
            if found := self.variables.get(path[:length]):
                return found
        return ""

    def neighbour(self, path: KeyPath) -> str:
        """Return the variable or option that set another key of the same table, or ``""``."""
        return next((v for other, v in self.variables.items() if other[:-1] == path[:-1]), "")

    def put(self, path: KeyPath, value: Any, variable: str) -> None:
        """Note what a variable sets; a part of a value that is not a table stays out."""
        table = self.tree
        for key in path[:-1]:
            inner = table.setdefault(str(key), {})
            if not isinstance(inner, dict):
                return
            table = cast(dict[str, Any], inner)
        table[str(path[-1])] = value
        self.variables[path] = variable


def known_keys(
    tree: Mapping[str, Any], is_wanted: Callable[[KeyPath], bool] = lambda _: True
) -> Iterator[Known]:
    """Yield every key that the model has, below names those of the files, tables included.

    Arguments:
        tree: what the files say.
        is_wanted: whether a key, and what is below it, is looked at.
    """
    for path, shape in _inside((), whole(), tree, _defaults(), is_wanted):
        if path[0] not in PARTS_OF_FILES:
            yield path, shape


def is_settable(shape: Shape) -> bool:
    """Return True if a value can be set here as a whole; a table with known keys cannot."""
    return isinstance(shape, Leaf | Entries) or isinstance(getattr(shape, "each", None), Leaf)


def is_blocked(path: KeyPath, tree: Mapping[str, Any]) -> bool:
    """Return True if the files have no table where a setting needs one; then the files are to blame."""
    table: Any = tree
    for key in path[:-1]:
        if not isinstance(table, dict):
            return True
        table = cast(dict[str, Any], table).get(str(key), {})
    return not isinstance(table, dict)


def read_value(text: str, shape: Shape) -> Any:
    """Read a value as TOML, else as a string; where only a string can stand, nothing else is read."""
    value = value_of(text)
    is_text = isinstance(shape, Leaf) and shape.is_text
    return text if is_text and not isinstance(value, str) else value


def _inside(
    path: KeyPath, shape: Shape, table: Any, default: Any, is_wanted: Callable[[KeyPath], bool]
) -> Iterator[Known]:
    for key, inner in _children(shape, table, default):
        below = (*path, key)
        if is_wanted(below):
            yield below, inner
            yield from _inside(below, inner, entry(table, key), entry(default, key), is_wanted)


def _children(shape: Shape, table: Any, default: Any) -> list[tuple[str, Shape]]:
    if isinstance(shape, KnownKeys):
        return list(shape.keys.items())
    if isinstance(shape, KnownNames):
        names = cast(dict[str, Any], table if isinstance(table, dict) else default or {})
        return [(name, shape.each) for name in names]
    return []


@functools.cache
def _defaults() -> dict[str, Any]:
    return Configuration().model_dump()

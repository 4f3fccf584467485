"""The way to a key: a tuple of names and indexes, and how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import tomli

KeyPath: TypeAlias = tuple[str | int, ...]
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_INDEX: Final = re.compile(r"\[(\d{1,9})\]")
_MARK: Final = "\ue000"
_AS_NAME: Final = rf'."{_MARK}\1"'


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as TOML writes it; entries of arrays have an index.

    Example:
        >>> dotted(("tasks", "billing.charge", "retry"))
        'tasks."billing.charge".retry'
    """
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{written(key)}" if text else written(key)
    return text


def written(key: str) -> str:
    """Return one key as TOML writes it, in quotes where it needs them."""
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=not key.isprintable())


def read_path(text: str) -> KeyPath | None:
    """Return the path that ``dotted`` has written, or None if it is not a path.

    Example:
        >>> read_path('tasks."billing.charge".retry')
        ('tasks', 'billing.charge', 'retry')
    """
    if "\n" in text:
        return None
    try:
        table: Any = tomli.loads(f"{_INDEX.sub(_AS_NAME, text)} = '{_MARK}'")
    except (ValueError, RecursionError):
        return None
    path: KeyPath = ()
    while isinstance(table, dict):
        ((name, table),) = cast(dict[str, Any], table).items()
        path = (*path, int(name[1:]) if name.startswith(_MARK) else name)
    # A string with a value of its own, and our value in a comment, is not a path.
    return path if table == _MARK else None


def entry(tree: Any, key: str | int) -> Any:
    """Return what a raw tree has below a key; None if it has nothing there, or is not a table."""
    return cast(dict[str | int, Any], tree).get(key) if isinstance(tree, dict) else None
